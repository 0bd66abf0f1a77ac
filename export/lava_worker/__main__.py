"""Entry point of the worker: ``python -m neurodeploy.export.lava_worker FOLDER NUMBER``.

Reads ``jobs-NUMBER.json``, writes ``result-NUMBER.json`` and, while it runs,
``progress-NUMBER.json``. On failure it writes ``failure-NUMBER.json`` with one sentence, and the
traceback to standard error, which the host has pointed at a log file. It always leaves by
``os._exit``: after an error Lava's own clean-up at exit would wait for ever. The host ends what is
left of the process group.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from neurodeploy.export.lava_worker.import_shim import apply_import_shim
from neurodeploy.export.lava_worker.lifeline import (
    end_without_host,
    tie_children_to_this_process,
)
from neurodeploy.export.lava_worker.watchdog import Watchdog
from neurodeploy.files import write_json

_PACKAGES = ("lava-nc", "numpy", "h5py", "scipy", "networkx", "asteval", "scikit-learn")


def main(folder: Path, number: int) -> NoReturn:
    """Run the jobs of worker ``number`` in ``folder``; leave with 0, or with 1 and why."""
    # The host sends SIGUSR1 before it kills a run past its limit: every process says where it is.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    state = {"where": "start-up"}

    def note(where: str) -> None:
        state["where"] = where

    def fail(what: str) -> NoReturn:
        write_json(folder / f"failure-{number}.json", {"what": what, "where": state["where"]})
        sys.stderr.flush()
        os._exit(1)

    try:
        shimmed = apply_import_shim()
        tie_children_to_this_process()
        watchdog = Watchdog(fail, lambda: end_without_host(folder))
        from neurodeploy.export.lava_worker.jobs import run_jobs

        document = run_jobs(folder, number, watchdog, note)
        document["versions"] = _versions()
        document["shim"] = shimmed
        write_json(folder / f"result-{number}.json", document)
    except BaseException as error:
        traceback.print_exc()
        fail(f"{type(error).__name__}: {error}")
    sys.stderr.flush()
    os._exit(0)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
