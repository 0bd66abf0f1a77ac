"""200 Lava runs, a third of which fail in every way we know: nothing may be left or hang.

Each failing run is a program or a thread of its own, so that "the host is killed" can be true.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import LavaError
from neurodeploy.export.lava import LavaRun, run_lava, run_lava_batch, staging
from neurodeploy.export.lava.process_group import members, shared_memory_of
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)

pytestmark = [
    pytest.mark.lava,
    pytest.mark.slow,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc"),
]
CODES = np.array([[1, 2]], np.int32)
ENDLESS = 500_000
#: No single run may take longer; a run of this network takes two seconds on an idle machine.
PATIENCE_S = 120
AT_ONCE = 3


def network():
    population = FixedPopulation(
        name="layer", nir_nodes=("layer",), kind="lif", decay_u=np.full(3, 4095),
        decay_v=np.full(3, 100), bias=np.zeros(3), bias_exp=0, v_threshold=np.full(3, 20),
        u_init=np.zeros(3), v_init=np.zeros(3), latency=1, scale=1.0,
    )  # fmt: skip
    synapse = FixedSynapse(
        "s", INPUT, "layer", np.array([[2, 4], [6, -8], [10, 12]]), 0, "mixed", 8, 8
    )
    return FixedPointNetwork(
        (population,), (synapse,), 2, ConstantEncoder(), Readout("layer", "count"), 4
    )


def processes_of(parent):
    """Return the worker that ``parent`` started: its group, its folder; or None."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if ppid == parent and b"neurodeploy.export.lava_worker" in line:
            return int(entry.name), Path(line[-3].decode())
    return None


HOST = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("torture", sys.argv[1])
torture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(torture)
torture.run_lava(torture.network(), torture.CODES, steps=int(sys.argv[2]))
"""


class Host:
    """A program that runs Lava; what it owns is looked up while it steps."""

    def __init__(self, steps=ENDLESS):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST, __file__, str(steps)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        limit = time.monotonic() + PATIENCE_S
        found = None
        while found is None or not (found[1] / "run0-0" / "0-spikes.npy").exists():
            assert time.monotonic() < limit, "no worker came up"
            time.sleep(0.05)
            found = processes_of(self.process.pid)
        self.group, self.folder = found
        self.pids = members(self.group)
        self.objects = shared_memory_of(self.pids)
        assert len(self.pids) >= 6
        assert self.objects

    def child(self):
        """Return one of Lava's processes."""
        return max(pid for pid in self.pids if pid != self.group)

    def finish(self):
        """Wait for the host to end, then for all that it owned; return what it said."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        limit = time.monotonic() + 30
        while time.monotonic() < limit and (members(self.group) or self.left()):
            time.sleep(0.05)
        assert members(self.group) == ()
        assert self.left() == []
        return errors

    def left(self):
        return [path for path in self.objects if path.exists()]


def killed_lava_process():
    host = Host()
    os.kill(host.child(), signal.SIGKILL)
    assert "was killed by signal 9" in host.finish()


def killed_worker():
    host = Host()
    os.kill(host.group, signal.SIGKILL)
    assert "was killed by signal 9" in host.finish()


def killed_host():
    host = Host()
    host.process.kill()
    host.finish()
    assert host.process.returncode == -signal.SIGKILL
    assert not host.folder.exists()


def killed_host_and_worker():
    # Nobody is left who knows: Lava's processes have to go by themselves.
    host = Host()
    host.process.kill()
    os.kill(host.group, signal.SIGKILL)
    host.finish()
    shutil.rmtree(host.folder, ignore_errors=True)


def terminated_host():
    host = Host()
    host.process.terminate()
    host.finish()
    assert not host.folder.exists()


def interrupted_host():
    host = Host()
    host.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in host.finish()
    assert not host.folder.exists()


def twice_interrupted_host():
    host = Host()
    host.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    host.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in host.finish()


def out_of_time():
    with pytest.raises(LavaError, match="did not finish within 4 s"):
        run_lava(network(), CODES, steps=ENDLESS, timeout_s=4)


OUTSIDE = (
    killed_lava_process, killed_worker, killed_host, killed_host_and_worker, terminated_host,
    interrupted_host, twice_interrupted_host, out_of_time,
)  # fmt: skip


def open_files():
    return len(os.listdir("/proc/self/fd"))


def shared_memory():
    return set(Path("/dev/shm").iterdir())  # noqa: S108


class Broken:
    """Stages a worker one of whose files is changed."""

    def __init__(self, folder, monkeypatch):
        self._folder, self._patch = folder, monkeypatch
        self._sources = staging.staged_sources()

    def stage(self, name, old, new):
        text = self._sources[name].read_text()
        assert old in text
        changed = self._folder / Path(name).name
        changed.write_text(text.replace(old, new))
        sources = {**self._sources, name: changed}
        self._patch.setattr(staging, "staged_sources", lambda: sources)

    def mend(self):
        self._patch.setattr(staging, "staged_sources", lambda: self._sources)


WORKER = "neurodeploy/export/lava_worker/network_builder.py"
RECORDER = "neurodeploy/export/lava_processes/layer_recorder.py"


def run_well(count):
    """``count`` runs one after the other; a run of several networks is one worker's."""
    traces = run_lava_batch([LavaRun(network(), CODES)] * count, timeout_s=PATIENCE_S)
    assert len(traces) == count
    for one in traces:
        np.testing.assert_array_equal(one.output, traces[0].output)
    return count


def run_badly(match):
    with pytest.raises(LavaError, match=match):
        run_lava(network(), np.repeat(CODES, 2, axis=0), timeout_s=PATIENCE_S)


def test_two_hundred_runs(tmp_path, monkeypatch):
    broken = Broken(tmp_path, monkeypatch)
    run_well(1)
    files, memory, threads = open_files(), shared_memory(), threading.active_count()
    runs = failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(6):
            # The changed code is staged for all runs of a round, so these do not overlap others.
            for name, old, new, match in [
                (RECORDER, "spikes = self.s_in.recv()", "raise RuntimeError('no')", "RuntimeError"),
                (WORKER, "variable.set(value)", "raise OSError('no')", "OSError"),
                (WORKER, "self._entry.stop()", "pass", None),
            ]:
                broken.stage(name, old, new)
                if match is None:
                    # Not stopping is no failure of the run, but it leaves all of Lava's processes.
                    assert run_well(1) == 1
                else:
                    run_badly(match)
                runs, failed = runs + 1, failed + 1
                broken.mend()
            good = [pool.submit(run_well, count) for count in (1, 10, 11)]
            bad = [pool.submit(way) for way in OUTSIDE]
            runs += sum(job.result(timeout=10 * PATIENCE_S) for job in good)
            for job in bad:
                job.result(timeout=10 * PATIENCE_S)
                runs, failed = runs + 1, failed + 1
    while runs < 200:
        runs += run_well(1)
    assert failed * 3 >= 0.95 * runs
    assert processes_of(os.getpid()) is None
    assert open_files() <= files
    left = {path for path in shared_memory() - memory if path.name.startswith("psm_")}
    assert not still_unmapped(left)
    limit = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < limit:
        time.sleep(0.1)
    assert threading.active_count() <= threads


def still_unmapped(paths):
    """Return the objects that no living process uses: those of other programs are not ours."""
    maps = ""
    for entry in Path("/proc").glob("[0-9]*/maps"):
        try:
            maps += entry.read_text()
        except OSError:
            continue
    return [path for path in paths if path.exists() and str(path) not in maps]
