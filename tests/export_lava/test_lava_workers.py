"""Whole data sets: several workers, progress, and limits that follow from measured steps."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from oracles.random_topologies import random_case

from neurodeploy.errors import LavaError
from neurodeploy.export.lava import LavaRun, launch, run_lava, run_lava_batch, verify_against
from neurodeploy.export.lava.launch import Limits, Worker
from neurodeploy.export.lava.prepared_run import share_out
from neurodeploy.export.lava.process_group import members
from neurodeploy.export.lava.run import _prepare
from neurodeploy.simulate import run_fixed


@pytest.fixture(scope="module")
def case():
    return random_case(np.random.default_rng(4), layers=2, steps=8, samples=7, held=True)


class TestShares:
    def test_all_samples_in_order(self, case):
        run = _prepare(LavaRun(*case), "run")
        for seconds in (0.0, run.sample_s, 3 * run.sample_s + 0.4, float("inf")):
            jobs = run.jobs_within(seconds)
            assert [job.first for job in jobs] == [0, *(job.last for job in jobs[:-1])]
            assert jobs[-1].last == 7
        assert len(run.jobs_within(float("inf"))) == 1
        assert len(run.jobs_within(0.0)) == 7

    def test_work_is_shared_evenly(self, case):
        net, codes = case
        runs = [_prepare(LavaRun(net, codes[..., :n, :]), f"run{n}") for n in (1, 2, 3, 7, 5, 6)]
        jobs = [job for run in runs for job in run.jobs_within(float("inf"))]
        shares = share_out(jobs, 3)
        assert sorted(job.name for share in shares for job in share) == sorted(
            job.name for job in jobs
        )
        seconds = [sum(job.seconds for job in share) for share in shares]
        assert max(seconds) <= 1.5 * min(seconds)
        assert len(share_out(jobs[:2], 3)) == 2


class TestSilence:
    """When a worker counts as hanging, told by its progress file and a clock of our own."""

    @pytest.fixture
    def worker(self, tmp_path, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(launch.time, "monotonic", lambda: self.now)
        return Worker(Path("python"), tmp_path, tmp_path, 0, [], tmp_path / "log")

    def say(self, tmp_path, beat, done, expected_s):
        from neurodeploy.files import write_json

        path = tmp_path / "progress-0.json"
        write_json(path, {"beat": beat, "done": done, "expected_s": expected_s})
        os.utime(path, ns=(beat, beat))

    def test_limits(self, worker, tmp_path):
        limits = Limits(start_up_s=100, silence_s=10, patience=20)
        self.now += 99
        assert not worker.hangs(limits)
        self.now += 2
        assert "did not start within 100 s" in worker.hangs(limits)
        self.say(tmp_path, 1, 0, 0.1)
        assert worker.poll() is None
        self.now += 9
        assert not worker.hangs(limits)
        self.now += 2
        assert "made no step for 11 s" in worker.hangs(limits)
        self.say(tmp_path, 2, 3, 5.0)
        worker.poll()
        assert worker.done == 3
        self.now += 99
        assert not worker.hangs(limits)
        self.now += 2
        assert "3 samples were complete" in worker.hangs(limits)


@pytest.mark.lava
@pytest.mark.usefixtures("runtime")
class TestOnLava:
    def test_several_workers_and_progress(self, case):
        net, codes = case
        reports = []
        many = run_lava(net, codes, workers=3, progress=lambda *done: reports.append(done))
        literal = run_aligned(net, codes)
        for key, values in many.records.items():
            np.testing.assert_array_equal(values, literal.records[key], err_msg=key)
        assert reports
        assert reports == sorted(set(reports))
        assert all(total == 7 and 0 < done <= 7 for done, total in reports)

    def test_verify_passes_its_options_on(self, case):
        net, codes = case
        reports = []
        reference = run_fixed(net, codes, record=("v", "spikes"), timing="lava")
        result = verify_against(
            net, codes, reference, workers=2, progress=lambda *done: reports.append(done)
        )
        assert result.ok
        assert reports

    def test_no_run_is_no_work(self):
        assert run_lava_batch([]) == []

    def test_one_failing_worker_ends_the_others(self, case, tmp_path):
        net, codes = case
        group = []

        def kill_one(done, total):
            if not group:
                group.append(worker_groups()[0])
                os.kill(group[0], signal.SIGKILL)

        begun = time.monotonic()
        with pytest.raises(LavaError, match="killed by signal 9"):
            run_lava(net, codes, steps=600, workers=2, progress=kill_one)
        assert time.monotonic() - begun < 60
        assert worker_groups() == []

    def test_a_hang_is_found_without_a_limit_of_the_caller(self, case, monkeypatch):
        net, codes = case
        monkeypatch.setattr(launch.Limits.__init__, "__defaults__", (None, 60.0, 3.0, 4.0))
        errors = []

        def run():
            try:
                run_lava(net, codes[..., :1, :], steps=100_000)
            except LavaError as error:
                errors.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        limit = time.monotonic() + 60
        stopped = None
        while stopped is None:
            assert time.monotonic() < limit
            time.sleep(0.2)
            for group in worker_groups():
                others = [pid for pid in members(group) if pid != group]
                if len(others) >= 5 and recording_began():
                    stopped = max(others)
                    os.kill(stopped, signal.SIGSTOP)
        thread.join(timeout=120)
        assert not thread.is_alive()
        assert "made no step for" in errors[0]
        assert worker_groups() == []


def worker_groups():
    """Return the process groups of workers that this process has started."""
    groups = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if ppid == os.getpid() and b"neurodeploy.export.lava_worker" in line:
            groups.append(int(entry.name))
    return groups


def recording_began():
    """Whether the newest worker of this process has recorded something."""
    for group in worker_groups():
        try:
            folder = Path(os.readlink(f"/proc/{group}/cwd"))
        except OSError:
            continue
        return any(folder.glob("run0-0/*-spikes.npy"))
    return False
