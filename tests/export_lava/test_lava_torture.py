"""200 Lava runs, a third of which fail in every way we know: nothing may be left or hang.

Each failing run is a program or a thread of its own, so that "the host is killed" can be true.
"""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from export_lava.running_worker import (
    CODES,
    ENDLESS,
    PATIENCE_S,
    Host,
    small_network,
    unmapped,
    wait_until,
    workers_below,
)

from neurodeploy.errors import LavaError
from neurodeploy.export.lava import LavaRun, run_lava, run_lava_batch, staging

pytestmark = [
    pytest.mark.lava,
    pytest.mark.slow,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc"),
]
AT_ONCE = 3


def killed_lava_process():
    host = Host()
    os.kill(max(pid for pid in host.worker.pids if pid != host.worker.group), signal.SIGKILL)
    assert "was killed by signal 9" in host.finish()


def killed_worker():
    host = Host()
    os.kill(host.worker.group, signal.SIGKILL)
    assert "was killed by signal 9" in host.finish()


def killed_host():
    host = Host()
    host.process.kill()
    host.finish()
    assert host.process.returncode == -signal.SIGKILL
    assert not host.worker.folder.exists()


def killed_host_and_worker():
    # Nobody is left who knows: Lava's processes have to go by themselves.
    host = Host()
    host.process.kill()
    os.kill(host.worker.group, signal.SIGKILL)
    host.finish()
    shutil.rmtree(host.worker.folder, ignore_errors=True)


def terminated_host():
    host = Host()
    host.process.terminate()
    host.finish()
    assert not host.worker.folder.exists()


def interrupted_host():
    host = Host()
    host.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in host.finish()
    assert not host.worker.folder.exists()


def twice_interrupted_host():
    host = Host()
    host.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    host.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in host.finish()


def out_of_time():
    with pytest.raises(LavaError, match="did not finish within 4 s"):
        run_lava(small_network(), CODES, steps=ENDLESS, timeout_s=4)


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
    traces = run_lava_batch([LavaRun(small_network(), CODES)] * count, timeout_s=PATIENCE_S)
    assert len(traces) == count
    for one in traces:
        np.testing.assert_array_equal(one.output, traces[0].output)
    return count


def run_badly(match):
    with pytest.raises(LavaError, match=match):
        run_lava(small_network(), np.repeat(CODES, 2, axis=0), timeout_s=PATIENCE_S)


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
    assert workers_below(os.getpid()) == []
    assert open_files() <= files
    assert unmapped(shared_memory() - memory) == []
    wait_until(lambda: threading.active_count() <= threads, "threads to end")
