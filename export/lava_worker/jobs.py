"""Runs the jobs of a worker one after the other: networks and codes in, recorded arrays out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurodeploy.export.lava_worker.network_job import NetworkJob
from neurodeploy.export.lava_worker.progress import ProgressFile
from neurodeploy.export.lava_worker.watchdog import Watchdog

_LOG = logging.getLogger("neurodeploy.worker")
_GOLDEN_S = 10.0


def run_jobs(
    folder: Path, number: int, watchdog: Watchdog, note: Callable[[str], None]
) -> dict[str, Any]:
    """Run every job of ``folder/jobs-<number>.json``; return one document with all results."""
    document = json.loads((folder / f"jobs-{number}.json").read_text(encoding="utf-8"))
    jobs = document["jobs"]
    progress = ProgressFile(folder / f"progress-{number}.json")
    results = []
    for place, job in enumerate(jobs, start=1):
        note(f"job {place} of {len(jobs)}")
        _LOG.info("job %d of %d: %s", place, len(jobs), job["kind"])
        if job["kind"] == "golden":
            from neurodeploy.export.lava_worker.golden import run_golden_vectors

            progress.expect(_GOLDEN_S)
            results.append({"checks": run_golden_vectors(folder, watchdog)})
        elif job["kind"] == "probe":
            results.append({})
        else:
            results.append(NetworkJob(job, folder, watchdog, progress).run())
    return {"jobs": results}
