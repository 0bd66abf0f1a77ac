"""Lets Lava's processes die with the worker that forked them, and its files with their host.

The watchdog lives in the worker. If the worker itself is killed and the host is gone too, nobody
would end Lava's processes, which wait for each other for ever.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

#: Name of the temporary folders that the host makes for runs, up to their random part.
RUN_FOLDER = "neurodeploy-lava-"
_PR_SET_PDEATHSIG = 1


def tie_children_to_this_process() -> bool:
    """Make every process forked from now on die when this one does; return whether it can be.

    Linux only. Elsewhere the host alone cleans up.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        # Only direct children: what they start (none does) belongs to them.
        library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be asked
            os._exit(1)

    os.register_at_fork(after_in_child=tie)
    return True


def end_without_host(folder: Path) -> None:
    """Leave with all of Lava's processes: nobody is there any more to end them, or to wait."""
    # A folder of another name is not the host's to make, nor ours to remove.
    if folder.name.startswith(RUN_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        # Python's resource tracker ignores this signal and removes the shared memory.
        os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(1)
