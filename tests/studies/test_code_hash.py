"""The study's code hash: what it reaches, and that it hangs on nothing else."""

import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(STUDIES))
    yield
    sys.path.remove(str(STUDIES))


def test_scripts_beside_are_followed_wherever_they_are_imported(tmp_path):
    from code_hash import code_hash, reached

    (tmp_path / "one.py").write_text("def f():\n    import two\n")
    (tmp_path / "two.py").write_text("from three import x\nimport json, numpy\n")
    (tmp_path / "three.py").write_text("x = 1\n")
    (tmp_path / "four.py").write_text("import one\n")
    assert sorted(reached(tmp_path / "one.py")) == ["one", "three", "two"]
    before = code_hash(tmp_path / "one.py")
    (tmp_path / "four.py").write_text("import two\n")
    assert code_hash(tmp_path / "one.py") == before
    (tmp_path / "three.py").write_text("x = 2\n")
    assert code_hash(tmp_path / "one.py") != before


def test_only_what_decides_numbers_counts():
    from code_hash import reached

    training, cells = (reached(STUDIES / f"digits_{part}.py") for part in ("models", "cells"))
    assert training.keys() < cells.keys() | {"digits_models"}
    assert {"neurodeploy.training.trainer", "neurodeploy.export.nir.build"} <= training.keys()
    assert "neurodeploy.quantization.rounding" not in training
    assert {
        "neurodeploy.quantization.rounding",
        "neurodeploy.simulate.population_kernels",
        "neurodeploy.robustness.certificates.refined_run",
        "neurodeploy.attacks.apgd",
        "neurodeploy.hardware_profiles/loihi2.toml",
    } <= cells.keys()
    assert not [n for n in cells if n.startswith(("neurodeploy.cli", "neurodeploy.report"))]
    for path in cells.values():
        assert path.is_file()
