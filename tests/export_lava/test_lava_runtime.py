"""The isolated runtime: what enters it, when it counts as installed, what is said without one."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import InputError, MissingComponentError
from neurodeploy.export.lava import interpreters, run_lava
from neurodeploy.export.lava import runtime as lava_runtime
from neurodeploy.export.lava.process_group import end_group, members
from neurodeploy.export.lava.staging import stage, staged_sources

ALLOWED = {"h5py", "numpy", "scipy", "neurodeploy", "lava"}
#: They load what they offer when it is asked for; the worker asks for nothing there.
FRONT_DOORS = {"neurodeploy/__init__.py", "neurodeploy/export/__init__.py"}
ALLOWED_NEXT_TO_PROCESSES = {"numpy", "lava"}


def imported(path):
    """Return the full names of all modules that the file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


def outside(names):
    return {n for n in names if n.split(".")[0] not in sys.stdlib_module_names | {"__future__"}}


class TestWhatEntersTheRuntime:
    def test_files_import_only_what_is_there(self):
        sources = staged_sources()
        assert "neurodeploy/network/fixed.py" in sources
        assert "neurodeploy/export/lava_worker/__main__.py" in sources
        modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                   for name in sources}  # fmt: skip
        for name, path in sources.items():
            for module in outside(imported(path)):
                assert module.split(".")[0] in ALLOWED, f"{name} imports {module}"
                # What is loaded lazily on the host need not be in the runtime.
                if module.startswith("neurodeploy.") and name not in FRONT_DOORS:
                    assert module in modules, f"{name} imports {module}, which is not staged"

    def test_processes_import_lava_and_numpy_alone(self):
        # Lava imports each neighbour of a process when it compiles; one that fails hangs the run.
        files = [p for n, p in staged_sources().items() if "/lava_processes/" in n]
        assert len(files) >= 4
        for path in files:
            tops = {module.split(".")[0] for module in outside(imported(path))}
            assert tops <= ALLOWED_NEXT_TO_PROCESSES, path

    def test_no_var_is_called_like_a_member_of_a_model(self):
        # Such a Var shadows the member and the run hangs without a word.
        members_of_models = {
            "start", "run", "stop", "pause", "join", "time_step", "phase", "model_id", "proc_params",
            "run_spk", "run_pre_mgmt", "run_lrn", "run_post_mgmt", "py_ports", "var_ports", "log",
            "pre_guard", "lrn_guard", "post_guard", "implements_process", "service_to_process",
        }  # fmt: skip
        names = set()
        for path in (p for n, p in staged_sources().items() if "/lava_processes/" in n):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                    made = getattr(node.value.func, "id", "")
                    if made in ("Var", "InPort", "OutPort", "RefPort"):
                        names |= {t.attr for t in node.targets if isinstance(t, ast.Attribute)}
        assert {"elapsed", "gain", "wait", "s_in", "a_in", "s_out", "v"} <= names
        assert not names & members_of_models

    @pytest.mark.lava
    def test_it_imports_with_numpy_and_h5py_alone(self, runtime, tmp_path):
        blocked = (
            "import sys\n"
            "class Block:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        top = name.split('.')[0]\n"
            "        known = sys.stdlib_module_names | {'numpy', 'h5py', 'neurodeploy'}\n"
            "        if top not in known and not top.startswith('_'):\n"
            "            raise ImportError(f'{name} is blocked')\n"
            "sys.meta_path.insert(0, Block())\n"
            "import neurodeploy, neurodeploy.errors, neurodeploy.findings, neurodeploy.files\n"
            "import neurodeploy.network, neurodeploy.network.start_state, neurodeploy.export\n"
            "import neurodeploy.network.agreement, neurodeploy.network.samples\n"
            "import neurodeploy.export.lava_worker.__main__\n"
            "import neurodeploy.export.lava_processes\n"
            "try:\n"
            "    import lava\n"
            "except ImportError:\n"
            "    print(sys.version_info[:2], neurodeploy.__file__)\n"
        )
        answer = subprocess.run(
            [runtime.python, "-c", blocked],
            env={**os.environ, "PYTHONPATH": str(stage(tmp_path))},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        minor = 10 if runtime.mode == "official" else int(runtime.versions["python"].split(".")[1])
        assert answer.stdout.startswith(f"(3, {minor}) {tmp_path}")

    def test_the_copy_follows_the_content(self, tmp_path, monkeypatch):
        first = stage(tmp_path)
        assert stage(tmp_path) == first
        for name, path in staged_sources().items():
            assert (first / name).read_bytes() == path.read_bytes()
        changed = tmp_path / "changed.py"
        changed.write_text("other = 1\n")
        more = {**staged_sources(), "neurodeploy/other.py": changed}
        monkeypatch.setattr("neurodeploy.export.lava.staging.staged_sources", lambda: more)
        second = stage(tmp_path / "copies")
        assert second.name != first.name
        assert (second / "neurodeploy" / "other.py").exists()

    def test_copies_that_nobody_used_go(self, tmp_path):
        old = tmp_path / "0123456789abcdef"
        old.mkdir()
        os.utime(old, (time.time() - 40 * 86400,) * 2)
        kept = stage(tmp_path)
        assert not old.exists()
        assert kept.is_dir()


class TestWithoutRuntime:
    def test_every_entry_says_how_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setenv(lava_runtime.ENVIRONMENT_VARIABLE, str(tmp_path))
        assert lava_runtime.find() is None
        status = lava_runtime.status()
        assert (status.mode, status.available, status.ok) == ("absent", False, False)
        assert "neurodeploy lava install" in status.detail
        assert str(tmp_path) in status.detail
        with pytest.raises(MissingComponentError, match="neurodeploy lava install") as caught:
            lava_runtime.require()
        assert caught.value.exit_code == 3

    def test_running_says_so_too(self, tmp_path, monkeypatch):
        from oracles.random_networks import random_codes, random_fixed_network

        monkeypatch.setenv(lava_runtime.ENVIRONMENT_VARIABLE, str(tmp_path))
        rng = np.random.default_rng(0)
        net = random_fixed_network(rng, layers=1)
        with pytest.raises(MissingComponentError):
            run_lava(net, random_codes(rng, net, 1))

    def test_the_default_folder_is_the_users(self, tmp_path, monkeypatch):
        monkeypatch.delenv(lava_runtime.ENVIRONMENT_VARIABLE, raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert lava_runtime.default_root() == tmp_path / "neurodeploy" / "lava-runtime"
        monkeypatch.delenv("XDG_DATA_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert lava_runtime.default_root().is_relative_to(tmp_path / ".local" / "share")


class TestInstall:
    def test_no_python_is_a_missing_component(self, tmp_path, monkeypatch):
        monkeypatch.setattr(interpreters, "_candidates", lambda *version: iter(()))
        with pytest.raises(MissingComponentError, match=r"no usable Python 3.10 or 3.11 or 3.12"):
            lava_runtime.install(root=tmp_path)
        with pytest.raises(MissingComponentError, match=r"no usable Python 3.10 found"):
            lava_runtime.install("official", root=tmp_path)

    def test_a_name_on_the_path_is_not_enough(self, tmp_path, monkeypatch):
        shim = tmp_path / "python3.10"
        shim.write_text("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
        shim.chmod(0o755)
        assert "command not found" in interpreters.ask(shim)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        found, rejected = interpreters.find_interpreter(((3, 10),))
        if sys.version_info[:2] != (3, 10):
            assert found is None
            assert "command not found" in rejected[0]

    def test_a_wrong_python_is_an_input_error(self, tmp_path):
        with pytest.raises(InputError, match="cannot be used"):
            lava_runtime.install(python=tmp_path / "none", root=tmp_path)
        if sys.version_info[:2] != (3, 10):
            with pytest.raises(InputError, match=r"this needs 3\.10"):
                lava_runtime.install("official", python=sys.executable, root=tmp_path)

    def test_a_failed_install_is_not_taken_for_one(self, tmp_path, monkeypatch):
        # pip that may look nowhere fails after the environment has been made.
        found, _ = interpreters.find_interpreter(((3, 10), (3, 11), (3, 12)))
        if found is None:
            pytest.skip("needs a Python 3.10, 3.11 or 3.12 with venv")
        for name in [n for n in os.environ if n.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        said = []
        with pytest.raises(MissingComponentError, match="could not be installed") as caught:
            lava_runtime.install(python=found.path, root=tmp_path, progress=said.append)
        assert "install" in said[-1]
        assert lava_runtime.find(root=tmp_path) is None
        log = Path(str(caught.value).rsplit(": ", 1)[1])
        assert "ERROR" in log.read_text()

    @pytest.mark.parametrize("damage", ["pins", "schema", "text", "python"])
    def test_a_stamp_must_be_whole_and_current(self, damage, tmp_path):
        python = tmp_path / "official" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        pins = [lava_runtime._LAVA, *lava_runtime._PINS]
        stamp = {"schema": 1, "mode": "official", "pins": pins, "versions": {"python": "3.10.1"}}
        path = tmp_path / "official.json"
        path.write_text(json.dumps(stamp))
        assert lava_runtime.find(root=tmp_path).versions == {"python": "3.10.1"}
        assert lava_runtime.find("shim", root=tmp_path) is None
        if damage == "python":
            python.unlink()
        elif damage == "text":
            path.write_text(json.dumps(stamp)[:-5])
        else:
            path.write_text(json.dumps({**stamp, damage: "other"}))
        assert lava_runtime.find(root=tmp_path) is None

    @pytest.mark.lava
    @pytest.mark.parametrize("named", [False, True])
    def test_a_second_install_changes_nothing(self, named, runtime):
        # The stamp is the last thing that an installation writes.
        stamp = (runtime.root / f"{runtime.mode}.json").stat().st_mtime_ns
        python = runtime.python if named else None
        assert lava_runtime.install(runtime.mode, python=python, root=runtime.root) == runtime
        assert (runtime.root / f"{runtime.mode}.json").stat().st_mtime_ns == stamp


class TestProcessGroup:
    def test_a_group_ends_although_it_ignores_sigterm(self):
        script = (
            "import os, signal, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "os.fork()\n"
            "print('up', flush=True)\n"
            "time.sleep(600)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )
        process.stdout.readline()
        process.stdout.readline()
        assert len(members(process.pid)) == 2
        end_group(process.pid)
        assert members(process.pid) == ()
        process.wait()
        process.stdout.close()
        end_group(process.pid)
