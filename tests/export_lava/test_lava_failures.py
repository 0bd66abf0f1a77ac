"""Lava hangs, dies or raises: one clear error, a log, no process and no shared memory left."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import LavaError
from neurodeploy.export.lava import run_lava, staging
from neurodeploy.export.lava.process_group import members, shared_memory_of
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    save_network,
)

pytestmark = [
    pytest.mark.lava,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc"),
]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
ENDLESS = 500_000  # steps: far more than any test waits for


def small_network():
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


CODES = np.array([[1, 2]], np.int32)


def unmapped(paths):
    """Return the shared memory of Lava that no living process uses.

    Another run of Lava on the same machine has shared memory too; it is not ours to judge.
    """
    paths = [path for path in paths if path.name.startswith("psm_")]
    maps = ""
    for entry in Path("/proc").glob("[0-9]*/maps"):
        try:
            maps += entry.read_text()
        except OSError:
            continue  # the process has ended
    return [path for path in paths if path.exists() and str(path) not in maps]


def worker_below(parent):
    """Return (process group, folder) of the worker that ``parent`` has started."""
    for entry in Path("/proc").iterdir():
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if ppid == parent and b"neurodeploy.export.lava_worker" in line:
            return int(entry.name), Path(line[-3].decode())
    return None


class RunningWorker:
    """Waits until the worker below ``parent`` is stepping; keeps what it owns then."""

    def __init__(self, parent):
        limit = time.monotonic() + 60
        found = None
        while found is None or not self.recording(found[1]).exists():
            assert time.monotonic() < limit, "no worker came up"
            time.sleep(0.05)
            found = worker_below(parent)
        self.group, self.folder = found
        self.pids = members(self.group)
        self.objects = shared_memory_of(self.pids)
        assert len(self.pids) >= 6  # leader, source, synapse, neurons, recorder, service
        assert self.objects

    @staticmethod
    def recording(folder):
        return folder / "run0-0" / "0-spikes.npy"

    def recorder(self):
        """Return the id of Lava's process that writes the recording."""
        name = str(self.recording(self.folder))
        return next(pid for pid in self.pids if name in Path(f"/proc/{pid}/maps").read_text())

    def left(self):
        """Return the processes and shared memory objects that still exist."""
        return members(self.group), [path for path in self.objects if path.exists()]


def run_and(act, *, timeout_s):
    """Start an endless run, ``act`` on its worker, and return the worker and the error."""
    errors = []

    def run():
        try:
            run_lava(small_network(), CODES, steps=ENDLESS, timeout_s=timeout_s)
        except LavaError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        worker = RunningWorker(os.getpid())
        act(worker)
    finally:
        thread.join()
    return worker, errors[0]


def log_of(error):
    return Path(str(error).rsplit(": ", 1)[1])


def check_nothing_left(worker):
    assert worker.left() == ((), [])
    assert not worker.folder.exists()


def test_a_hanging_worker_is_ended_at_the_limit():
    def hang(worker):
        os.kill(worker.recorder(), signal.SIGSTOP)

    begun = time.monotonic()
    worker, error = run_and(hang, timeout_s=10)
    assert "did not finish within 10 s" in str(error)
    assert time.monotonic() - begun < 20
    log = log_of(error).read_text()
    assert "most recent call first" in log
    assert "in _run_sample" in log
    check_nothing_left(worker)


def test_a_killed_lava_process_ends_the_run():
    begun = time.monotonic()
    worker, error = run_and(lambda w: os.kill(w.recorder(), signal.SIGKILL), timeout_s=60)
    assert "1 of Lava's processes ended during the run: one was killed by signal 9" in str(error)
    assert time.monotonic() - begun < 30
    assert "in _run_sample" in log_of(error).read_text()
    check_nothing_left(worker)


def test_a_killed_worker_leaves_nothing():
    worker, error = run_and(lambda w: os.kill(w.group, signal.SIGKILL), timeout_s=60)
    assert "the worker was killed by signal 9" in str(error)
    check_nothing_left(worker)


def test_an_exception_inside_lava_reaches_the_log(runtime):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(small_network(), folder / "net.h5")
        np.save(folder / "codes.npy", CODES)
        # The recorder wants to write here and cannot: it raises inside a process of Lava.
        (folder / "out" / "0-spikes.npy").mkdir(parents=True)
        job = {
            "kind": "network", "network": "net.h5", "codes": "codes.npy", "steps": 4,
            "record": {"layer": ["spikes"]}, "out": "out",
        }  # fmt: skip
        before = set(SHARED_MEMORY.iterdir())
        begun = time.monotonic()
        with pytest.raises(LavaError, match=r"failed at job 1 of 1: ") as caught:
            runtime.run([job], folder, timeout_s=60)
        assert time.monotonic() - begun < 20
    log = log_of(caught.value).read_text()
    assert "IsADirectoryError" in str(caught.value)
    assert "Traceback" in log
    assert "IsADirectoryError" in log
    assert worker_below(os.getpid()) is None
    assert not unmapped(p for p in set(SHARED_MEMORY.iterdir()) - before)


def test_an_exception_that_makes_lava_hang_reaches_the_log(runtime, tmp_path, monkeypatch):
    # Neurons that raise send nothing: whoever waits for them waits for ever.
    sources = staging.staged_sources()
    name = "neurodeploy/export/lava_processes/dlif.py"
    text = sources[name].read_text()
    broken = tmp_path / "dlif.py"
    broken.write_text(text.replace("self.gain[min(", "self.gain[self.gain.size + min("))
    assert broken.read_text() != text
    monkeypatch.setattr(staging, "staged_sources", lambda: {**sources, name: broken})
    net = small_network()
    neurons = replace(net.populations[0], kind="dlif", gain=np.ones(2, np.int32))
    save_network(replace(net, populations=(neurons,)), tmp_path / "net.h5")
    np.save(tmp_path / "codes.npy", CODES)
    job = {
        "kind": "network", "network": "net.h5", "codes": "codes.npy", "steps": 4,
        "record": {"layer": ["spikes"]}, "out": "out",
    }  # fmt: skip
    with pytest.raises(LavaError, match=r"failed at job 1 of 1: .*IndexError") as caught:
        runtime.run([job], tmp_path, timeout_s=60)
    assert "IndexError" in log_of(caught.value).read_text()
    assert worker_below(os.getpid()) is None


def test_an_exception_of_the_worker_reaches_the_log(runtime, tmp_path):
    (tmp_path / "net.h5").write_bytes(b"not a network")
    job = {
        "kind": "network",
        "network": "net.h5",
        "codes": "",
        "steps": 4,
        "record": {},
        "out": "o",
    }
    log = tmp_path / "kept.log"
    with pytest.raises(LavaError, match="failed at job 1 of 1: FileFormatError") as caught:
        runtime.run([job], tmp_path, timeout_s=60, log=log)
    assert log_of(caught.value) == log
    assert "Traceback" in log.read_text()


def start_host(tmp_path):
    """Run an endless Lava run in a program of its own."""
    script = tmp_path / "host.py"
    script.write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('failures', {__file__!r})\n"
        "failures = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(failures)\n"
        "failures.run_lava(failures.small_network(), failures.CODES, steps=failures.ENDLESS)\n"
    )
    host = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    return host, RunningWorker(host.pid)


def test_an_interrupt_ends_everything(tmp_path):
    host, worker = start_host(tmp_path)
    host.send_signal(signal.SIGINT)
    _, errors = host.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    check_nothing_left(worker)


def test_the_worker_ends_itself_when_its_host_is_gone(tmp_path):
    host, worker = start_host(tmp_path)
    host.kill()
    host.communicate(timeout=30)
    limit = time.monotonic() + 10
    while worker.left() != ((), []) and time.monotonic() < limit:
        time.sleep(0.1)
    assert worker.left() == ((), [])
    assert not worker.folder.exists()
