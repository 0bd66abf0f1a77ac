# Everything a developer needs, on a fresh machine with Python >= 3.11 and make.
#   make demo   train, deploy and judge three networks; report in demo-out/report.html
#   make test   the fast tests          make test-slow   the others
#   make lint   ruff, mypy --strict on the installed wheel, import contracts
#   make bench  speed ratios, measured side by side
#   make study  robustness of 210 digit networks before and after quantisation; resumes
#   make study-check   one fold of it again, compared with the table

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint bench study study-check clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-out
SEED ?= 0
export NEURODEPLOY_LAVA_RUNTIME ?= $(CURDIR)/.lava-runtime
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One thread per library: neurodeploy runs its own threads over samples.
export OMP_NUM_THREADS ?= 1

help:
	@sed -n 's/^#   //p' Makefile

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one or set PYTHON"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[norse,dev]"
	# Attacks of others, for one slow test; without its pins, which are older than ours.
	$(BIN)/pip install --quiet --no-deps torchattacks==3.5.1
	touch $@

# The Lava runtime is optional: without it everything else runs, and says so.
$(NEURODEPLOY_LAVA_RUNTIME)/.attempted: $(VENV)/.installed
	@mkdir -p $(@D)
	$(BIN)/neurodeploy lava install || echo "warning: no Lava runtime; its checks will be skipped"
	@touch $@

setup: $(VENV)/.installed $(NEURODEPLOY_LAVA_RUNTIME)/.attempted

demo: setup
	$(BIN)/neurodeploy demo --out $(OUT) --seed $(SEED)

test: setup
	$(BIN)/pytest -m "not slow" -n auto --dist loadfile $(PYTEST_ARGS)

test-slow: setup
	$(BIN)/pytest -m slow -n auto --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build .lint
	$(BIN)/python -m build --wheel --no-isolation --outdir .lint/dist . >/dev/null
	$(BIN)/pip install --quiet --no-deps --no-index --target .lint/site .lint/dist/*.whl
	cd .lint && MYPYPATH=site ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p neurodeploy
	cd .lint/site && ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache
	@rm -rf build

bench: setup
	@failed=0; for script in simulator_against_lava simulator_against_norse gradient_against_norse \
		read_against_nir; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py || failed=1; \
		done; exit $$failed

study: $(VENV)/.installed
	$(BIN)/python studies/digits_robustness.py $(STUDY_ARGS)

study-check: $(VENV)/.installed
	$(BIN)/python studies/digits_robustness.py --out study-check-out --seeds 1 --folds 1 \
		--check studies/digits_robustness.csv

clean:
	rm -rf $(VENV) .lava-runtime .lint build dist study-check-out *.egg-info .mypy_cache .ruff_cache .pytest_cache
