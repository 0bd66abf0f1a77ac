"""Lava hangs, dies or raises: one clear error, a log, no process and no shared memory left."""

import os
import signal
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from export_lava.running_worker import (
    CODES,
    ENDLESS,
    PATIENCE_S,
    Host,
    RunningWorker,
    small_network,
    unmapped,
    wait_until,
    workers_below,
)

from neurodeploy.errors import LavaError
from neurodeploy.export.lava import launch, run_lava, staging
from neurodeploy.network import save_network

pytestmark = [
    pytest.mark.lava,
    pytest.mark.usefixtures("runtime"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc"),
]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


class LaterClock:
    """The host's clock; tests put it forward instead of waiting for its limits."""

    def __init__(self, monkeypatch):
        self.ahead_s = 0.0
        names = ("sleep", "strftime", "monotonic_ns")
        rest = {name: getattr(time, name) for name in names}
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + self.ahead_s, **rest)
        monkeypatch.setattr(launch, "time", clock)


def run_and(act, codes=CODES, **options):
    """Start an endless run, ``act`` on its worker, and return the worker and the error."""
    errors = []

    def run():
        try:
            run_lava(small_network(), codes, steps=ENDLESS, **options)
        except LavaError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    worker = RunningWorker(os.getpid())
    act(worker)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return worker, errors[0]


def log_of(error):
    return Path(str(error).rsplit(": ", 1)[1])


def check_nothing_left(worker):
    assert worker.left() == ((), [])
    assert not worker.folder.exists()


@pytest.mark.parametrize(
    ("timeout_s", "said"), [(3000, "did not finish within 3000 s"), (None, "made no step for ")]
)
def test_a_hanging_worker_is_ended_at_the_limit(timeout_s, said, monkeypatch):
    clock = LaterClock(monkeypatch)

    def hang(worker):
        os.kill(worker.recorder(), signal.SIGSTOP)
        clock.ahead_s = 1e5

    worker, error = run_and(hang, timeout_s=timeout_s)
    assert said in str(error)
    log = log_of(error).read_text()
    assert "most recent call first" in log
    assert "in _run_sample" in log
    check_nothing_left(worker)


def test_a_killed_lava_process_ends_the_run():
    worker, error = run_and(lambda w: os.kill(w.recorder(), signal.SIGKILL))
    assert "1 of Lava's processes ended during the run: one was killed by signal 9" in str(error)
    assert "in _run_sample" in log_of(error).read_text()
    check_nothing_left(worker)


def test_a_killed_worker_leaves_nothing():
    worker, error = run_and(lambda w: os.kill(w.group, signal.SIGKILL))
    assert "the worker was killed by signal 9" in str(error)
    check_nothing_left(worker)


def test_a_killed_worker_ends_the_others():
    def kill_one_of_two(worker):
        wait_until(lambda: len(workers_below(os.getpid())) == 2, "two workers")
        os.kill(worker.group, signal.SIGKILL)

    codes = np.repeat(CODES, 2, axis=0)
    _, error = run_and(kill_one_of_two, codes, workers=2)
    assert "killed by signal 9" in str(error)
    assert workers_below(os.getpid()) == []


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
        with pytest.raises(LavaError, match=r"failed at job 1 of 1: ") as caught:
            runtime.run([job], folder, timeout_s=PATIENCE_S)
    log = log_of(caught.value).read_text()
    assert "IsADirectoryError" in str(caught.value)
    assert "Traceback" in log
    assert "IsADirectoryError" in log
    assert workers_below(os.getpid()) == []
    assert not unmapped(set(SHARED_MEMORY.iterdir()) - before)


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
        runtime.run([job], tmp_path, timeout_s=PATIENCE_S)
    assert "IndexError" in log_of(caught.value).read_text()
    assert workers_below(os.getpid()) == []


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
        runtime.run([job], tmp_path, timeout_s=PATIENCE_S, log=log)
    assert log_of(caught.value) == log
    assert "Traceback" in log.read_text()


def test_an_interrupt_ends_everything():
    host = Host()
    host.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in host.finish()
    check_nothing_left(host.worker)


def test_the_worker_ends_itself_when_its_host_is_gone():
    host = Host()
    host.process.kill()
    host.finish()
    assert not host.worker.folder.exists()
