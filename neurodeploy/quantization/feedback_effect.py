"""What extra steps on feedback change, measured: the float network with them against without."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding
from neurodeploy.network import Network, Traces, decide
from neurodeploy.simulate import run_float


class FeedbackEffect:
    """Changed spikes and decisions, added up over blocks of samples.

    Parameters
    ----------
    meant, possible : Network
        The float network, and the same with feedback as slow as on the chip.
    """

    def __init__(self, meant: Network, possible: Network) -> None:
        self._possible = possible
        late = {s.name: s.delay_steps for s in possible.synapses}
        self._extra = {
            s.name: late[s.name] - s.delay_steps
            for s in meant.synapses
            if late[s.name] != s.delay_steps
        }
        self._spikes = self._changed = self._samples = self._decisions = 0

    def add(self, codes: NDArray[Any], before: Traces) -> None:
        """Run ``codes`` with the extra steps; ``before``: the run without, spikes recorded."""
        after = run_float(self._possible, codes, record=("spikes",))
        for key, spikes in before.records.items():
            if self._possible.population(key.rsplit("/", 1)[0]).fires:
                self._changed += int((spikes != after.records[key]).sum())
                self._spikes += int(spikes.sum())
        decisions = decide(before.scores()), decide(after.scores())
        self._decisions += int(np.sum(decisions[0] != decisions[1]))
        self._samples += int(decisions[0].size)

    def findings(self) -> list[Finding]:
        """Return the measured effect as one finding."""
        named = ", ".join(f"{name} (+{steps})" for name, steps in self._extra.items())
        text = (
            f"the extra steps on feedback ({named}) change {self._changed} entries of the spike "
            f"trains, beside {self._spikes} spikes, and {self._decisions} of {self._samples} "
            "decisions, both in float"
        )
        numbers = {
            "changed_spikes": self._changed,
            "spikes": self._spikes,
            "changed_decisions": self._decisions,
            "samples": self._samples,
        }
        remedy = "train with the feedback as late as on the chip"
        return [Finding("warning", "calibration", text, remedy, numbers)]
