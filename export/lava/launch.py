"""Starts workers in process groups of their own, waits for them under limits, and cleans up.

Lava hangs rather than fails, and its processes survive their parent. So: a group for each worker,
limits, files instead of pipes (an orphan would keep a pipe open), and whatever happens, every
group is ended before this returns.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodeploy.errors import LavaError
from neurodeploy.export.lava.process_group import end_group, show_stacks
from neurodeploy.files import write_json

WORKER = "neurodeploy.export.lava_worker"
Jobs = Sequence[Mapping[str, Any]]
_KEEP_LOGS = 20
#: Variables of the caller that would lead the worker's Python to other code.
_FOREIGN = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS")
_POLL_S = 0.02
_SLOWEST_POLL_S = 0.2
#: A worker may take this long to import Lava.
_START_UP_S = 120.0
#: It may be this many times slower than it has said, and any silence up to this is no hang: other
#: programs need the processor too.
_PATIENCE = 20.0
_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long workers may take.

    Parameters
    ----------
    total_s : float or None
        Wall-clock limit for everything; None: as long as they go on at the pace that they measured
        in their first steps.
    start_up_s, silence_s, patience
        A worker is taken for hanging if it is silent for longer than ``start_up_s`` at first, and
        later for longer than ``silence_s`` and than ``patience`` times what it expected itself.
    """

    total_s: float | None = None
    start_up_s: float = _START_UP_S
    silence_s: float = _SILENCE_S
    patience: float = _PATIENCE


class Worker:
    """One worker: its process group, its files, and how far it is.

    Parameters
    ----------
    python : Path
        Interpreter of the Lava runtime.
    staged : Path
        Folder with the copy of neurodeploy that the worker may import.
    folder : Path
        Where the jobs' files are, and where the worker writes.
    number : int
        Tells the files of several workers in one folder apart.
    jobs : sequence of mappings
    log : Path
        Receives the worker's standard output and error.
    """

    def __init__(
        self, python: Path, staged: Path, folder: Path, number: int, jobs: Jobs, log: Path
    ) -> None:
        self._folder, self._number, self._log = folder, number, log
        self._command = [str(python), "-m", WORKER, str(folder.resolve()), str(number)]
        self._environment = _environment(staged)
        write_json(self._file("jobs"), {"jobs": list(jobs)})
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._heard_s = time.monotonic()
        self._told: dict[str, Any] = {}
        self._stamp = 0

    def start(self) -> None:
        """Start it. An interrupt comes before or after, when it is known what to end."""
        with self._log.open("wb") as stream, _interrupts_wait():
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
            self._heard_s = time.monotonic()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}-{self._number}.json"

    @property
    def done(self) -> int:
        """Samples that are complete."""
        return int(self._told.get("done", 0))

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs; read how far it is."""
        code = None if self._process is None else self._process.poll()
        with suppress(OSError, ValueError):
            stamp = self._file("progress").stat().st_mtime_ns
            if stamp != self._stamp:
                self._told = json.loads(self._file("progress").read_text(encoding="utf-8"))
                self._stamp, self._heard_s = stamp, time.monotonic()
        return code

    def hangs(self, limits: Limits) -> str:
        """Return what is wrong where it has been silent for too long, else nothing."""
        silent_s = time.monotonic() - self._heard_s
        if not self._told:
            if silent_s <= limits.start_up_s:
                return ""
            return f"did not start within {limits.start_up_s:g} s and was ended"
        expected_s = float(self._told["expected_s"])
        if silent_s <= max(limits.silence_s, limits.patience * expected_s):
            return ""
        return (
            f"made no step for {silent_s:.0f} s, where about {expected_s:.3g} s were to be expected"
            f" ({self.done} samples were complete), and was ended: Lava hangs"
        )

    def show_stacks(self) -> None:
        """Have its processes write where they are to the log."""
        if self._process is not None:
            show_stacks(self._process.pid, WORKER, self._log)

    def end(self) -> None:
        """End the whole group and wait for the worker itself."""
        if self._process is not None:
            # The leader's id stays taken as long as its group lives.
            end_group(self._process.pid)
            self._process.wait()

    def outcome(self, code: int | None, why: str = "") -> dict[str, Any]:
        """Return its ``result``, or raise LavaError; ``why`` it was ended, if it was."""
        result, failed = self._file("result"), self._file("failure")
        if code == 0 and result.exists():
            document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return document
        if code is None:
            what = why
        elif failed.exists():
            failure = json.loads(failed.read_text(encoding="utf-8"))
            what = f"failed at {failure['where']}: {failure['what']}"
        elif code < 0:
            what = f"was killed by signal {-code} (out of memory?)"
        else:
            what = f"ended with exit code {code} and no result"
        raise LavaError(f"lava: the worker {what}. Its log, with tracebacks: {self._log}")


def run_workers(
    workers: Sequence[Worker],
    limits: Limits,
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Start workers, wait for all of them, and return their results in order.

    Parameters
    ----------
    workers : sequence of Worker
        Not started yet.
    limits : Limits
    progress : callable or None
        Receives the number of complete samples now and then, from this thread.

    Raises
    ------
    LavaError
        If a worker fails, dies or hangs, or the limit is over. No process of any of them is left.
    """
    try:
        for worker in workers:
            worker.start()
        return _wait(workers, limits, progress)
    finally:
        # Also on KeyboardInterrupt, and if a second one comes while groups are being ended.
        _end_all(workers)


def _wait(
    workers: Sequence[Worker], limits: Limits, progress: Callable[[int], None] | None
) -> list[dict[str, Any]]:
    begun = time.monotonic()
    results: dict[int, dict[str, Any]] = {}
    reported = 0
    pause_s = _POLL_S
    while len(results) < len(workers):
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, _SLOWEST_POLL_S)
        over = limits.total_s is not None and time.monotonic() - begun > limits.total_s
        for number, worker in enumerate(workers):
            if number in results:
                continue
            code = worker.poll()
            why = "" if code is not None else worker.hangs(limits)
            if code is None and over:
                why = (
                    f"did not finish within {limits.total_s:g} s and was ended; raise the limit "
                    "with timeout_s if the run is long"
                )
            if why or (code is not None and code < 0):
                worker.show_stacks()
            if code is not None or why:
                results[number] = worker.outcome(code, why)
        done = sum(worker.done for worker in workers)
        if progress is not None and done > reported:
            reported = done
            progress(done)
    return [results[number] for number in range(len(workers))]


def _end_all(workers: Sequence[Worker]) -> None:
    interrupt: KeyboardInterrupt | None = None
    for worker in workers:
        while True:
            try:
                worker.end()
                break
            except KeyboardInterrupt as again:
                interrupt = again
    if interrupt is not None:
        raise interrupt


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back Ctrl-C. The worker inherits that, and is none the worse: only its host ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
