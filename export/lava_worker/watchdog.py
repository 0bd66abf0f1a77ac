"""Turns Lava's silent hangs into an end: watches Lava's processes and our own parent.

Lava starts one operating-system process per Lava process and waits for them without any limit. If
one is killed, the others wait for ever. A thread of the worker looks every 0.2 s.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_PERIOD_S = 0.2
#: Lava itself reports a process that ended with an exception; it gets this long to do so.
_GRACE_S = 3.0


class Watchdog:
    """Calls ``fail(message)`` when a Lava process has ended although a run is going on.

    Parameters
    ----------
    fail : callable
        Called once from the watching thread; does not return.
    orphaned : callable
        Called from the watching thread when our own parent is gone; does not return.
    """

    def __init__(self, fail: Callable[[str], Any], orphaned: Callable[[], Any]) -> None:
        self._fail, self._orphaned = fail, orphaned
        self._parent = os.getppid()
        self._stepping = threading.Event()
        self._children: list[Any] = []
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def begin(self) -> None:
        """Lava's processes are up; from now on none of them may end."""
        self._children = multiprocessing.active_children()
        self._stepping.set()

    def end(self) -> None:
        """Lava's processes may end now."""
        self._stepping.clear()

    def _watch(self) -> None:
        ended_since: float | None = None
        while True:
            time.sleep(_PERIOD_S)
            if os.getppid() != self._parent:
                self._orphaned()
            ended = [c for c in self._children if not _alive(c)] if self._stepping.is_set() else []
            if not ended:
                ended_since = None
                continue
            ended_since = ended_since or time.monotonic()
            if time.monotonic() - ended_since > _GRACE_S:
                faulthandler.dump_traceback(all_threads=True)
                self._fail(_describe(ended))


def _alive(child: Any) -> bool:
    try:
        return bool(child.is_alive())
    except ValueError:  # closed by Lava after it ended
        return False


def _describe(ended: list[Any]) -> str:
    texts = []
    for child in ended:
        # Lava keeps the exception of a process in a pipe; its text is all there is to see.
        exception = getattr(child, "exception", None)
        if exception:
            print(exception[1], file=sys.stderr)  # noqa: T201
        try:
            code = child.exitcode
        except ValueError:
            code = None
        if code is not None and code < 0:
            texts.append(f"was killed by signal {-code}")
        else:
            texts.append(f"ended with {exception[0]!r}" if exception else f"ended with {code}")
    return f"{len(ended)} of Lava's processes ended during the run: one {texts[0]}"
