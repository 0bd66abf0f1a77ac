"""A worker of Lava that steps for as long as a test likes, and what it owns meanwhile.

Also loaded, as a file, by programs that tests start and end: it imports nothing of the tests.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from neurodeploy.export.lava.process_group import members, shared_memory_of
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)

CODES = np.array([[1, 2]], np.int32)
ENDLESS = 500_000  # steps: far more than any test waits for
#: Longer than anything here takes on a machine with ten other programs; hangs are for ever.
PATIENCE_S = 180.0
#: So many steps recorded, and the worker is past the first two pieces, by which it tells its pace.
_STEPPING = 20


def small_network() -> FixedPointNetwork:
    """Return three neurons that fire within a few steps of ``CODES``."""
    population = FixedPopulation(
        name="layer", nir_nodes=("layer",), kind="lif", decay_u=np.full(3, 4095),
        decay_v=np.full(3, 100), bias=np.zeros(3), bias_exp=0, v_threshold=np.full(3, 20),
        u_init=np.zeros(3), v_init=np.zeros(3), latency=1, scale=1.0,
    )  # fmt: skip
    weight = np.array([[2, 4], [6, -8], [10, 12]])
    synapse = FixedSynapse("in_layer", INPUT, "layer", weight, 0, "mixed", 8, 8)
    return FixedPointNetwork(
        (population,), (synapse,), 2, ConstantEncoder(), Readout("layer", "count"), 4
    )


def workers_below(parent: int) -> list[tuple[int, Path]]:
    """Return (process group, folder) of each worker that ``parent`` has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if ppid == parent and b"neurodeploy.export.lava_worker" in line:
            found.append((int(entry.name), Path(line[-3].decode())))
    return found


def unmapped(paths: set[Path]) -> list[Path]:
    """Return the shared memory of Lava that no living process uses.

    Another run of Lava on the same machine has shared memory too; it is not ours to judge.
    """
    maps = ""
    for entry in Path("/proc").glob("[0-9]*/maps"):
        try:
            maps += entry.read_text()
        except OSError:
            continue  # the process has ended
    return [
        path
        for path in paths
        if path.name.startswith("psm_") and path.exists() and str(path) not in maps
    ]


def wait_until(condition, what: str) -> None:
    """Wait until ``condition()`` is true."""
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.05)


class RunningWorker:
    """Waits until a worker below ``parent`` is stepping; keeps what it owns then.

    Its network is ``small_network``, or another one whose first population has v other than 0.
    """

    def __init__(self, parent: int) -> None:
        self.group, self.folder = 0, Path()
        wait_until(lambda: self._find(parent), "a worker that steps")
        self.pids = members(self.group)
        self.objects = shared_memory_of(self.pids)
        assert len(self.pids) >= 6  # leader, source, synapse, neurons, recorder, service
        assert self.objects

    def _find(self, parent: int) -> bool:
        for self.group, self.folder in workers_below(parent):
            try:
                v = np.load(self._recording, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):  # not there yet, or not complete
                continue
            if v[_STEPPING : 2 * _STEPPING].any():
                return True
        return False

    @property
    def _recording(self) -> Path:
        return self.folder / "run0-0" / "0-v.npy"

    def recorder(self) -> int:
        """Return the id of Lava's process that writes the recording."""
        name = str(self._recording)
        return next(pid for pid in self.pids if name in Path(f"/proc/{pid}/maps").read_text())

    def left(self) -> tuple[tuple[int, ...], list[Path]]:
        """Return the processes and shared memory objects that still exist."""
        return members(self.group), [path for path in self.objects if path.exists()]


_HOST = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("running_worker", sys.argv[1])
running_worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(running_worker)
from neurodeploy.export.lava import run_lava
run_lava(running_worker.small_network(), running_worker.CODES, steps=running_worker.ENDLESS)
"""


class Host:
    """A program of its own in the middle of an endless run of Lava."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOST, __file__],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.worker = RunningWorker(self.process.pid)

    def finish(self) -> str:
        """Wait for it to end, then for all that it owned; return what it said."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        wait_until(lambda: self.worker.left() == ((), []), "processes and shared memory to go")
        return errors
