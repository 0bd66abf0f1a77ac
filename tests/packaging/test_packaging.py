"""The wheel holds what it must and nothing else; importing is cheap; siblings refuse bare names."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {"neurodeploy": ROOT / "neurodeploy", "neurodeploy.export": ROOT / "export",
           "neurodeploy.hardware_profiles": ROOT / "hardware_profiles"}  # fmt: skip


def packages_on_disk():
    found = set()
    for name, folder in FOLDERS.items():
        for init in folder.rglob("__init__.py"):
            parts = init.parent.relative_to(folder).parts
            found.add(".".join((name, *parts)))
    return found


def run_python(code, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_declared_packages_equal_the_folders_on_disk():
    assert set(CONFIG["packages"]) == packages_on_disk()
    assert CONFIG["packages"] == sorted(CONFIG["packages"])


def test_every_folder_with_modules_is_a_package():
    for folder in FOLDERS.values():
        for module in folder.rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the sources, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in ("neurodeploy", "export", "hardware_profiles"):
        shutil.copytree(
            ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True, capture_output=True,
    )  # fmt: skip
    return next(out.glob("*.whl"))


def test_the_wheels_only_import_name_is_neurodeploy(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"neurodeploy"}


def test_the_wheel_holds_every_module_and_data_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name, folder in FOLDERS.items():
        prefix = name.replace(".", "/")
        for path in folder.rglob("*"):
            shipped = (
                path.suffix in (".py", ".toml", ".css", ".js", ".j2") or path.name == "py.typed"
            )
            if shipped and "__pycache__" not in path.parts:
                assert f"{prefix}/{path.relative_to(folder).as_posix()}" in names


@pytest.mark.parametrize("name", ["export", "hardware_profiles"])
def test_importing_a_sibling_by_its_bare_name_is_a_clear_error(name):
    result = run_python(f"import {name}", ROOT)
    assert result.returncode != 0
    assert f"import neurodeploy.{name}" in result.stderr


def test_outside_the_checkout_there_is_no_bare_name(tmp_path):
    result = run_python("import export", tmp_path)
    assert "No module named 'export'" in result.stderr


def test_importing_neurodeploy_is_fast_and_free_of_torch(tmp_path):
    code = (
        "import time, sys; t = time.perf_counter(); import neurodeploy; "
        "print(time.perf_counter() - t, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    runs = [run_python(code, tmp_path).stdout.split() for _ in range(3)]
    assert min(float(run[0]) for run in runs) < 0.3
    assert {run[1] for run in runs} == {"False"}


def test_help_of_every_command_needs_no_torch(tmp_path):
    code = (
        "import sys; from neurodeploy.cli import build_parser, COMMANDS; build_parser().format_help(); "
        "print('torch' in sys.modules, 'matplotlib' in sys.modules, 'numba' in sys.modules)"
    )
    assert run_python(code, tmp_path).stdout.split() == ["False"] * 3


def test_reading_a_profile_or_a_graph_needs_no_torch(tmp_path):
    code = (
        "import sys, neurodeploy.hardware_profiles, neurodeploy.graph, neurodeploy.lowering, "
        "neurodeploy.network; print('torch' in sys.modules)"
    )
    assert run_python(code, tmp_path).stdout.split() == ["False"]


def test_no_file_names_a_machine_or_a_registry():
    forbidden = ("/" + "root/", "/" + "work/", "pypi." + "org", "/" + "home/")
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", ".toml", ".md", ".txt", ".j2", ".ipynb") and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], name
