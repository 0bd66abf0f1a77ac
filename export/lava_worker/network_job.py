"""Runs one network over all its samples, by the cheaper of two exact ways to start each sample.

Between samples every state goes back to its start: by writing all of them (``Var.set``, tens of
microseconds for each element), or by stopping Lava and building the network anew.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.export.lava_worker.network_builder import LavaNetwork, Recording, sample_pace
from neurodeploy.export.lava_worker.progress import ProgressFile
from neurodeploy.export.lava_worker.watchdog import Watchdog
from neurodeploy.network.network_file import load_network

#: Seconds to write one element of a state, before it is measured.
_SET_S = 40e-6
#: Before anything is measured.
_BUILD_S = 5.0
_FIRST_STEP_S = 2.0
_PIECE_S = 2.0
_PROBE_STEPS = 8


class NetworkJob:
    """One job of kind "network".

    Parameters
    ----------
    job : dict
        ``network`` (NET.h5) and ``codes`` (.npy), names in ``folder``; ``steps``; ``record``
        (population -> quantities); ``out`` (name of the folder for recorded arrays); and, for
        tests, ``restart``: "set" or "fresh" instead of the cheaper one.
    folder : Path
    watchdog : Watchdog
    progress : ProgressFile
    """

    def __init__(
        self, job: dict[str, Any], folder: Path, watchdog: Watchdog, progress: ProgressFile
    ) -> None:
        self._watchdog, self._progress = watchdog, progress
        self._net = load_network(folder / job["network"])
        self._codes = np.load(folder / job["codes"], allow_pickle=False)
        self._steps = int(job["steps"])
        self._samples = int(self._codes.shape[-2])
        self._how: str | None = job.get("restart")
        self._forced = self._how is not None
        self._set_s = _SET_S
        out = folder / job["out"]
        out.mkdir(exist_ok=True)
        self._recording = Recording(job["record"], out, self._samples)
        self._step_s: float | None = None
        self._pieces = 0
        self._seconds = {"build_s": 0.0, "stepping_s": 0.0, "restart_s": 0.0, "stop_s": 0.0}

    def run(self) -> dict[str, Any]:
        """Run all samples; return seconds by kind, hardware steps, and how samples started."""
        pace = sample_pace(self._net, self._steps)
        own = self._steps + self._net.max_latency
        if self._how is None and (self._samples == 1 or pace > 2 * own):
            self._how = "fresh"
        network = self._build(0, 1 if self._how == "fresh" else self._samples)
        for sample in range(self._samples):
            if sample:
                network = self._next(network, sample)
            self._run_sample(network, last=sample + 1 == self._samples)
            self._progress.sample_done()
        self._stop(network)
        steps = {"hardware_steps": self._samples * own}
        return {**self._seconds, **steps, "restart": self._how}

    def _build(self, first: int, samples: int) -> LavaNetwork:
        begun = time.perf_counter()
        self._progress.expect(_BUILD_S)
        network = LavaNetwork(
            self._net,
            self._codes[..., first : first + samples, :],
            self._steps,
            self._recording,
            first,
        )
        network.build()
        self._watchdog.begin()
        self._seconds["build_s"] += time.perf_counter() - begun
        return network

    def _stop(self, network: LavaNetwork) -> None:
        begun = time.perf_counter()
        self._progress.expect(_BUILD_S)
        self._watchdog.end()
        network.stop()
        self._seconds["stop_s"] += time.perf_counter() - begun

    def _next(self, network: LavaNetwork, sample: int) -> LavaNetwork:
        """Return a network at the start of ``sample``."""
        if not self._forced and self._how != "fresh":
            self._how = self._cheaper(network)
        if self._how == "fresh":
            self._stop(network)
            return self._build(sample, 1)
        begun = time.perf_counter()
        self._progress.expect(network.state_size * self._set_s)
        network.restart()
        took_s = time.perf_counter() - begun
        self._set_s = took_s / network.state_size
        self._seconds["restart_s"] += took_s
        return network

    def _cheaper(self, network: LavaNetwork) -> str:
        idle = network.pace - network.steps_per_sample
        setting = network.state_size * self._set_s + idle * (self._step_s or 0.0)
        return "set" if setting <= self._seconds["build_s"] else "fresh"

    def _run_sample(self, network: LavaNetwork, *, last: bool) -> None:
        """Run one sample in pieces of a few seconds; nothing depends on where they end."""
        # Steps that only wait for the next sample are left out after the last one.
        left = network.steps_per_sample if last else network.pace
        begun = time.perf_counter()
        while left:
            steps = min(self._steps_of_next_piece(), left)
            self._progress.expect(_FIRST_STEP_S if self._step_s is None else steps * self._step_s)
            piece_begun = time.perf_counter()
            network.step(steps)
            self._step_s = max((time.perf_counter() - piece_begun) / steps, 1e-6)
            self._pieces += 1
            left -= steps
        self._seconds["stepping_s"] += time.perf_counter() - begun

    def _steps_of_next_piece(self) -> int:
        """Return 1 at first, which is slow, then a few to measure, then a few seconds' worth."""
        if self._step_s is None:
            return 1
        if self._pieces == 1:
            return _PROBE_STEPS
        return max(1, int(_PIECE_S / self._step_s))
