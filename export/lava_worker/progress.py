"""Tells the host, by a file, how far the worker is and when to expect more.

A pipe would be kept open by orphans of Lava, and no reader means no end. The host takes a worker
that stays silent much longer than it said itself for hanging.
"""

from __future__ import annotations

import time
from pathlib import Path

from neurodeploy.files import write_json

_PERIOD_S = 0.25


class ProgressFile:
    """Writes ``{"beat", "done", "expected_s"}`` to ``path``, a few times a second at most.

    ``beat`` counts up, ``done`` is the number of samples that are complete, ``expected_s`` how
    long the next piece of work should take.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beat = 0
        self._written_s = float("-inf")
        self._said_s = 0.0
        self.done = 0

    def expect(self, seconds: float) -> None:
        """Say that the next piece of work should take ``seconds``."""
        now = time.monotonic()
        if seconds <= self._said_s and now - self._written_s < _PERIOD_S:
            return
        self._beat += 1
        self._written_s, self._said_s = now, seconds
        write_json(
            self._path, {"beat": self._beat, "done": self.done, "expected_s": round(seconds, 3)}
        )

    def sample_done(self) -> None:
        """Count a sample; the next beat reports it."""
        self.done += 1
