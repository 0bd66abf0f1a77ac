"""Whole data sets: several workers, progress, and limits that follow from measured steps."""

import os
from pathlib import Path

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from oracles.random_topologies import random_case

from neurodeploy.export.lava import LavaRun, launch, run_lava, run_lava_batch, verify_against
from neurodeploy.export.lava.launch import Limits, Worker
from neurodeploy.export.lava.prepared_run import share_out
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
