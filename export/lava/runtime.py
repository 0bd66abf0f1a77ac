"""The isolated environment that Lava runs in: building it, finding it, asking what it is.

lava-nc 0.10.0 supports Python 3.10 only; that is the *official* mode. On Python 3.11 and 3.12 its
import breaks on a detail, which a small shim in the worker repairs: the *shim* mode.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neurodeploy.errors import InputError, LavaError, MissingComponentError
from neurodeploy.export.lava.interpreters import Interpreter, ask, find_interpreter
from neurodeploy.export.lava.launch import Limits, Worker, new_log, run_workers
from neurodeploy.export.lava.staging import stage
from neurodeploy.export.lava_worker.lifeline import RUN_FOLDER
from neurodeploy.files import write_json

Mode = Literal["official", "shim"]
Progress = Callable[[str], None]

ENVIRONMENT_VARIABLE = "NEURODEPLOY_LAVA_RUNTIME"
INSTALL_HINT = "install it with `neurodeploy lava install`"
_STAMP_SCHEMA = 1
_MODES: tuple[Mode, ...] = ("official", "shim")
_PYTHONS: Mapping[Mode, tuple[tuple[int, int], ...]] = {
    "official": ((3, 10),),
    "shim": ((3, 11), (3, 12)),
}
_LAVA = "lava-nc==0.10.0"
#: What lava-nc 0.10.0 was made for, and h5py for the network file.
_PINS = (
    "asteval==0.9.33",
    "h5py==3.12.1",
    "joblib==1.4.2",
    "networkx==2.8.7",
    "numpy==1.26.4",
    "scikit-learn==1.5.2",
    "scipy==1.14.1",
    "threadpoolctl==3.5.0",
)
_PROBE_S = 120.0
_SELF_TEST_S = 120.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """A complete runtime.

    Parameters
    ----------
    root : Path
        Folder that holds the environments, the staged copies of neurodeploy and the logs.
    mode : {"official", "shim"}
    versions : mapping
        Of Python, lava-nc and the packages it uses, as the runtime itself reported them.
    """

    root: Path
    mode: Mode
    versions: Mapping[str, str]

    @property
    def python(self) -> Path:
        """Interpreter of the environment."""
        return _python(self.root / self.mode)

    def run(
        self,
        jobs: Sequence[Mapping[str, Any]],
        folder: Path,
        *,
        timeout_s: float | None = None,
        log: Path | None = None,
    ) -> dict[str, Any]:
        """Run ``jobs`` in one worker; return its result. Otherwise as ``run_all``."""
        return self.run_all([jobs], folder, limits=Limits(timeout_s), log=log)[0]

    def run_all(
        self,
        shares: Sequence[Sequence[Mapping[str, Any]]],
        folder: Path,
        *,
        limits: Limits | None = None,
        log: Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Run each share of jobs in a worker of its own, at the same time; return the results.

        A log that was not asked for is kept only on failure; of several workers all but the first
        write to ``log`` with their number in its name. ``progress`` receives the number of
        samples that are complete.

        Raises
        ------
        LavaError
            If a worker fails, dies or hangs, or the limit is over.
        """
        # A runtime that an administrator installed may be read-only.
        spare = Path(tempfile.gettempdir()) / f"neurodeploy-lava-{os.getuid()}"
        own = self.root if os.access(self.root, os.W_OK) else spare
        first = new_log(own / "logs") if log is None else log
        logs = [
            first if i == 0 else first.with_stem(f"{first.stem}-{i}") for i in range(len(shares))
        ]
        staged = stage(own / "staged")
        workers = [
            Worker(self.python, staged, folder, number, jobs, logs[number])
            for number, jobs in enumerate(shares)
        ]
        results = run_workers(workers, limits or Limits(), progress)
        if log is None:
            for path in logs:
                path.unlink(missing_ok=True)
        return results


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """One known answer, asked of the installed Lava."""

    name: str
    expected: tuple[int, ...]
    found: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether the answer is the known one."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """Which runtime there is, and what its self-test said.

    ``mode`` is "absent" where there is none; ``detail`` then says how to get one. ``checks`` is
    empty if no self-test ran.
    """

    mode: Literal["official", "shim", "absent"]
    root: Path
    versions: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[GoldenCheck, ...] = ()
    detail: str = ""

    @property
    def available(self) -> bool:
        """Whether a complete runtime exists."""
        return self.mode != "absent"

    @property
    def ok(self) -> bool:
        """Whether a runtime exists and no check failed."""
        return self.available and all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return {
            "available": self.available,
            "mode": self.mode,
            "detail": self.detail,
            "root": str(self.root),
            "versions": dict(self.versions),
            "checks": [
                {
                    "name": check.name,
                    "ok": check.ok,
                    "expected": list(check.expected),
                    "found": list(check.found),
                }
                for check in self.checks
            ],
        }


def default_root() -> Path:
    """Return the runtime's folder: NEURODEPLOY_LAVA_RUNTIME, else in the user's data folder."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "neurodeploy" / "lava-runtime"


def find(mode: Mode | None = None, *, root: Path | None = None) -> Runtime | None:
    """Return the complete runtime in ``root`` (official before shim), or None.

    Only reads a stamp file, which is written after the installed Lava has been imported: a half
    installed runtime, or one of other pinned versions, is not found.
    """
    root = default_root() if root is None else root
    for candidate in _MODES if mode is None else (mode,):
        runtime = _read_stamp(root, candidate)
        if runtime is not None:
            return runtime
    return None


def require(mode: Mode | None = None, *, root: Path | None = None) -> Runtime:
    """Return the runtime, or raise MissingComponentError saying how to install it."""
    runtime = find(mode, root=root)
    if runtime is None:
        where = default_root() if root is None else root
        raise MissingComponentError(f"lava: there is no Lava runtime in {where}; {INSTALL_HINT}")
    return runtime


def status(
    self_test: bool = True, *, mode: Mode | None = None, root: Path | None = None
) -> RuntimeStatus:
    """Say which runtime there is and, with ``self_test``, run the golden vectors on it.

    A self-test that cannot run gives ``checks`` with one failed entry and the reason in ``detail``.
    """
    root = default_root() if root is None else root
    runtime = find(mode, root=root)
    if runtime is None:
        return RuntimeStatus("absent", root, detail=f"no Lava runtime in {root}; {INSTALL_HINT}")
    detail = f"lava-nc {runtime.versions['lava-nc']} on Python {runtime.versions['python']}"
    if not self_test:
        return RuntimeStatus(runtime.mode, root, runtime.versions, detail=detail)
    try:
        checks = golden_checks(runtime)
    except LavaError as error:
        failed = (GoldenCheck("self-test runs", (1,), (0,)),)
        return RuntimeStatus(runtime.mode, root, runtime.versions, failed, str(error))
    return RuntimeStatus(runtime.mode, root, runtime.versions, checks, detail)


def golden_checks(runtime: Runtime) -> tuple[GoldenCheck, ...]:
    """Run the golden vectors on ``runtime``'s Lava."""
    with tempfile.TemporaryDirectory(prefix=RUN_FOLDER) as folder:
        result = runtime.run([{"kind": "golden"}], Path(folder), timeout_s=_SELF_TEST_S)
    return tuple(
        GoldenCheck(check["name"], tuple(check["expected"]), tuple(check["found"]))
        for check in result["jobs"][0]["checks"]
    )


def install(
    mode: Mode | None = None,
    *,
    python: str | Path | None = None,
    root: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Runtime:
    """Build the runtime where there is none, and return it.

    Parameters
    ----------
    mode : {"official", "shim"}, optional
        By default official where a Python 3.10 is found, else shim on Python 3.11 or 3.12.
    python : path, optional
        Interpreter to build it on, instead of looking for one.
    root : Path, optional
        Folder; by default ``default_root()``.
    force : bool
        Rebuild a complete runtime.
    progress : callable, optional
        Receives a line of text now and then.

    Raises
    ------
    MissingComponentError
        If there is no fitting Python, or pip cannot fetch the packages; the message says what to
        install.
    """
    say = progress or (lambda _: None)
    root = default_root() if root is None else root
    if not force and python is None:
        present = find(mode, root=root)
        if present is not None:
            return present
    interpreter = _choose(mode, python)
    chosen: Mode = "official" if interpreter.version[:2] == (3, 10) else "shim"
    with _locked(root, say):
        present = find(chosen, root=root)
        if present is not None and not force and present.versions["python"] == interpreter.text:
            return present
        return _build(root, chosen, interpreter, say)


def _choose(mode: Mode | None, python: str | Path | None) -> Interpreter:
    wanted = _MODES if mode is None else (mode,)
    versions = tuple(version for m in wanted for version in _PYTHONS[m])
    names = " or ".join(f"{major}.{minor}" for major, minor in versions)
    if python is not None:
        answer = ask(Path(python))
        if isinstance(answer, str):
            raise InputError(f"lava: {python} cannot be used: {answer}")
        if answer.version[:2] not in versions:
            raise InputError(f"lava: {python} is Python {answer.text}; this needs {names}")
        return answer
    found, rejected = find_interpreter(versions)
    if found is None:
        tried = "".join(f"\n  rejected {reason}" for reason in rejected)
        raise MissingComponentError(
            f"lava: no usable Python {names} found; install one (with its venv module), for "
            f"example python3.10 and python3.10-venv, or `pyenv install 3.10`{tried}"
        )
    return found


def _build(root: Path, mode: Mode, interpreter: Interpreter, say: Progress) -> Runtime:
    environment = root / mode
    stamp = _stamp_path(root, mode)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(environment, ignore_errors=True)
    log = root / f"install-{mode}.log"
    log.write_bytes(b"")
    say(f"creating an environment of Python {interpreter.text} in {environment}")
    _call(log, [str(interpreter.path), "-m", "venv", str(environment)])
    say(f"installing {_LAVA} ({mode}) with numpy 1.26.4; about 100 MB, once")
    pip = [str(_python(environment)), "-m", "pip", "install", "--disable-pip-version-check"]
    if mode == "official":
        _call(log, [*pip, _LAVA, *_PINS])
    else:
        _call(log, [*pip, *_PINS])
        # Lava's metadata admits Python 3.10 only; its needs are the pins above.
        _call(log, [*pip, "--no-deps", "--ignore-requires-python", _LAVA])
    say("importing Lava once")
    runtime = Runtime(root, mode, {})
    with tempfile.TemporaryDirectory(prefix=RUN_FOLDER) as folder:
        result = runtime.run([{"kind": "probe"}], Path(folder), timeout_s=_PROBE_S)
    if bool(result["shim"]) != (mode == "shim"):
        raise LavaError(f"lava: the runtime in {environment} is not of mode {mode}")
    document = {"schema": _STAMP_SCHEMA, "mode": mode, "pins": [_LAVA, *_PINS]}
    write_json(stamp, {**document, "versions": result["versions"]})
    say(f"the Lava runtime is complete: {environment}")
    return Runtime(root, mode, result["versions"])


def _call(log: Path, command: list[str]) -> None:
    """Run ``command`` with its output in ``log``; MissingComponentError if it fails."""
    # Settings that would send the packages elsewhere, or pin them to another environment's.
    dropped = ("PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    with log.open("ab") as stream:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=kept, check=False
        ).returncode
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = next((line for line in reversed(lines) if "ERROR" in line.upper()), "no output")
        raise MissingComponentError(
            f"lava: the runtime could not be installed: `{' '.join(command[1:4])} ...` ended with "
            f"{code}: {reason.strip()}. It needs access to a package index (pip's own settings "
            f"apply); log: {log}"
        )


@contextmanager
def _locked(root: Path, say: Progress) -> Iterator[None]:
    """Hold the folder's lock, so that two installations do not build into each other."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = (root / ".lock").open("a")
    except OSError as error:
        raise InputError(f"lava: {root} cannot be written: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation of the Lava runtime")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read_stamp(root: Path, mode: Mode) -> Runtime | None:
    try:
        stamp = json.loads(_stamp_path(root, mode).read_text(encoding="utf-8"))
        current = stamp["schema"] == _STAMP_SCHEMA and stamp["pins"] == [_LAVA, *_PINS]
        runtime = Runtime(root, mode, dict(stamp["versions"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return runtime if current and runtime.python.exists() else None


def _stamp_path(root: Path, mode: Mode) -> Path:
    return root / f"{mode}.json"


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"
