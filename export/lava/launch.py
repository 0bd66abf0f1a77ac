"""Starts the worker in its own process group, waits for it under a limit, and cleans up.

Lava hangs rather than fails, and its processes survive their parent. So: a group of its own, a
hard limit, files instead of pipes (an orphan would keep a pipe open), and whatever happens, the
whole group is ended before this returns.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from neurodeploy.errors import LavaError
from neurodeploy.export.lava.process_group import end_group, show_stacks
from neurodeploy.files import write_json

WORKER = "neurodeploy.export.lava_worker"
_KEEP_LOGS = 20
#: Variables of the caller that would lead the worker's Python to other code.
_FOREIGN = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS")


def run_worker(
    python: Path,
    staged: Path,
    folder: Path,
    jobs: Sequence[Mapping[str, Any]],
    *,
    timeout_s: float,
    log: Path,
) -> dict[str, Any]:
    """Run ``jobs`` in a worker and return its ``result.json``.

    Parameters
    ----------
    python : Path
        Interpreter of the Lava runtime.
    staged : Path
        Folder with the copy of neurodeploy that the worker may import.
    folder : Path
        Where the jobs' files are, and where the worker writes.
    timeout_s : float
        Wall-clock limit for everything.
    log : Path
        Receives the worker's standard output and error.

    Raises
    ------
    LavaError
        If the worker fails, dies or runs past the limit. No process of it is left then.
    """
    write_json(folder / "jobs.json", {"jobs": list(jobs)})
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(python), "-m", WORKER, str(folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=_environment(staged),
            start_new_session=True,
        )
    code: int | None = None
    try:
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=timeout_s)
        if code is None or code < 0:
            show_stacks(process.pid, WORKER)
            time.sleep(0.5)
    finally:
        # Also on KeyboardInterrupt. The leader's id stays taken as long as its group lives.
        end_group(process.pid)
        process.wait()
    return _outcome(folder, code, timeout_s, log)


def new_log(logs: Path) -> Path:
    """Return a fresh name in ``logs``; the oldest of more than 20 logs are removed."""
    if logs.is_dir():
        for old in sorted(logs.glob("*.log"))[: -_KEEP_LOGS + 1]:
            old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return logs / f"{stamp}-{os.getpid()}-{time.monotonic_ns() % 10**9}.log"


def _environment(staged: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # Lava's processes are many and their arrays small: threads inside numpy only get in the way.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": str(staged), "PYTHONNOUSERSITE": "1"}


def _outcome(folder: Path, code: int | None, timeout_s: float, log: Path) -> dict[str, Any]:
    result = folder / "result.json"
    if code == 0 and result.exists():
        document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return document
    if code is None:
        what = (
            f"did not finish within {timeout_s:g} s and was ended; raise the limit with "
            "timeout_s if the run is long"
        )
    elif (folder / "failure.json").exists():
        failure = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
        what = f"failed at {failure['where']}: {failure['what']}"
    elif code < 0:
        what = f"was killed by signal {-code} (out of memory?)"
    else:
        what = f"ended with exit code {code} and no result"
    raise LavaError(f"lava: the worker {what}. Its log, with tracebacks: {log}")
