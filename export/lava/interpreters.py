"""Looks for a Python that can hold the Lava runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_QUESTION = (
    "import ctypes, ensurepip, json, ssl, sys, venv; "
    "print(json.dumps([list(sys.version_info[:3]), getattr(sys, '_base_executable', '')]))"
)
_ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that answered: its path and version, and that it has venv and ensurepip."""

    path: Path
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """Version as text, ``"3.10.13"``."""
        return ".".join(str(part) for part in self.version)


def ask(path: Path) -> Interpreter | str:
    """Run ``path``; return what it is, or why it cannot be used.

    Names on the search path prove nothing: a pyenv shim exists for versions that are not active,
    and a system Python may come without venv.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        answer = subprocess.run(
            [str(path), "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=False,
            env=clean,
        )
        if answer.returncode != 0:
            lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
            return lines[-1] if "Error" in lines[-1] else lines[0]
        version, base = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return str(error)
    major, minor, micro = version
    # The environment should stand on the real interpreter, not on a shim or another environment.
    real = Path(base) if base and Path(base).exists() else path
    return Interpreter(real, (int(major), int(minor), int(micro)))


def find_interpreter(
    versions: tuple[tuple[int, int], ...],
) -> tuple[Interpreter | None, tuple[str, ...]]:
    """Return the first usable Python of ``versions`` (in that order), and what was rejected."""
    rejected: list[str] = []
    for version in versions:
        for path in _candidates(*version):
            answer = ask(path)
            if isinstance(answer, str):
                rejected.append(f"{path}: {answer}")
            elif answer.version[:2] == version:
                return answer, tuple(rejected)
    return None, tuple(rejected)


def _candidates(major: int, minor: int) -> Iterator[Path]:
    """Yield paths that may be Python ``major.minor``, each file once."""
    name = f"python{major}.{minor}"
    if sys.version_info[:2] == (major, minor):
        yield Path(sys.executable)
    seen: set[Path] = set()
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    if pyenv.is_dir():
        newest_first = sorted(pyenv.glob(f"{major}.{minor}.*"), key=_micro, reverse=True)
        folders += [version / "bin" for version in newest_first]
    for folder in folders:
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _micro(path: Path) -> int:
    digits = path.name.rsplit(".", 1)[-1]
    return int(digits) if digits.isdigit() else -1
