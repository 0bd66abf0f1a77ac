"""Ends a process group to the last process, and the shared memory its processes held.

Lava forks one process per Lava process. They survive a killed parent, so only the group tells who
belongs to a run. On Linux the members are read from /proc, elsewhere from ``ps``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the C library keeps it, not a file of ours
_TERM_S = 3.0
_KILL_S = 5.0
#: For all stacks, and for those of one process; a log that is quiet for so long is complete.
_STACKS_S = 10.0
_STACK_S = 1.0
_QUIET_S = 0.1


def members(group: int) -> tuple[int, ...]:
    """Return the ids of the living processes of ``group`` (zombies do not count)."""
    if _PROC.joinpath("self", "stat").exists():
        return tuple(_proc_members(group))
    listing = subprocess.run(
        ["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return tuple(
        int(row[0]) for row in rows if row[1:2] == [str(group)] and not row[2].startswith("Z")
    )


def shared_memory_of(pids: Iterable[int]) -> frozenset[Path]:
    """Return the named shared memory objects that ``pids`` have mapped (Linux; else none)."""
    objects: set[Path] = set()
    for pid in pids:
        with suppress(OSError):
            for line in _PROC.joinpath(str(pid), "maps").read_text().splitlines():
                path = line.split(maxsplit=5)[5:]
                if path and path[0].startswith(f"{_SHARED_MEMORY}/"):
                    objects.add(Path(path[0].removesuffix(" (deleted)")))
    return frozenset(objects)


def show_stacks(group: int, command: str, log: Path) -> None:
    """Have the processes of ``group`` whose command line holds ``command`` write their stacks.

    They have installed a handler for SIGUSR1 that writes to ``log``; others would die of that
    signal. Each is asked when the one before it has finished: the handler writes in small pieces,
    and those of several processes would mix. One that is stopped says nothing and is not waited
    for.
    """
    limit = time.monotonic() + _STACKS_S
    for pid in members(group):
        with suppress(OSError):
            line = _PROC.joinpath(str(pid), "cmdline").read_bytes()
            if command.encode() in line:
                before = log.stat().st_size
                os.kill(pid, signal.SIGUSR1)
                _wait_for_answer(log, before, min(limit, time.monotonic() + _STACK_S))


def _wait_for_answer(log: Path, before: int, limit: float) -> None:
    """Wait until ``log`` holds more than ``before`` bytes and grows no more."""
    size, now = before, -1
    while (now == before or now != size) and time.monotonic() < limit:
        size = now
        time.sleep(_QUIET_S)
        now = log.stat().st_size


def end_group(group: int) -> None:
    """End every process of ``group`` and unlink the shared memory they leave behind.

    First SIGTERM, with SIGCONT for stopped processes: Python's resource tracker, which ignores it,
    then unlinks what its dead clients had registered, and leaves. Then SIGKILL.
    """
    objects: frozenset[Path] = frozenset()
    limit = time.monotonic() + _TERM_S
    for first, second in ((signal.SIGTERM, signal.SIGCONT), (signal.SIGKILL, signal.SIGCONT)):
        alive = members(group)
        if alive:
            objects |= shared_memory_of(alive)
            for number in (first, second):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)
        while members(group) and time.monotonic() < limit:
            time.sleep(0.02)
        limit = time.monotonic() + _KILL_S
    for path in objects:
        path.unlink(missing_ok=True)


def _proc_members(group: int) -> Iterable[int]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            # The command's name, in brackets, may hold spaces: read what follows the last one.
            fields = entry.joinpath("stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in ("Z", "X"):
                yield int(entry.name)
