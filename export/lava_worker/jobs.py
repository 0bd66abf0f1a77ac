"""Runs the jobs of a folder: networks and codes in, recorded arrays out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.export.lava_worker.network_builder import LavaNetwork
from neurodeploy.export.lava_worker.watchdog import Watchdog
from neurodeploy.network.network_file import load_network

_LOG = logging.getLogger("neurodeploy.worker")


def run_network_job(job: dict[str, Any], folder: Path, watchdog: Watchdog) -> dict[str, Any]:
    """Run one network over all its samples; return its times and sizes.

    Parameters
    ----------
    job : dict
        ``network`` (NET.h5) and ``codes`` (.npy), names in ``folder``; ``steps``; ``record``
        (population -> quantities); ``out`` (name of the folder for recorded arrays).
    """
    begun = time.perf_counter()
    out = folder / job["out"]
    out.mkdir(exist_ok=True)
    net = load_network(folder / job["network"])
    codes = np.load(folder / job["codes"], allow_pickle=False)
    lava = LavaNetwork(net, codes, int(job["steps"]), job["record"], out)
    lava.build()
    watchdog.begin()
    built = time.perf_counter()
    stepping = 0.0
    for sample in range(lava.samples):
        if sample:
            lava.restart()
        sample_begun = time.perf_counter()
        lava.run_sample()
        stepping += time.perf_counter() - sample_begun
    ran = time.perf_counter()
    watchdog.end()
    lava.stop()
    return {
        "build_s": built - begun,
        "stepping_s": stepping,
        "restart_s": ran - built - stepping,
        "stop_s": time.perf_counter() - ran,
        "hardware_steps": lava.samples * lava.steps_per_sample,
    }


def run_jobs(folder: Path, watchdog: Watchdog, note: Callable[[str], None]) -> dict[str, Any]:
    """Run every job of ``folder/jobs.json`` in turn; return one document with all results."""
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))["jobs"]
    results = []
    for number, job in enumerate(jobs, start=1):
        note(f"job {number} of {len(jobs)}")
        _LOG.info("job %d of %d: %s", number, len(jobs), job["kind"])
        if job["kind"] == "golden":
            from neurodeploy.export.lava_worker.golden import run_golden_vectors

            results.append({"checks": run_golden_vectors(folder, watchdog)})
        elif job["kind"] == "probe":
            results.append({})
        else:
            results.append(run_network_job(job, folder, watchdog))
    return {"jobs": results}
