"""What a run of bounds guarantees: equal spikes, the first doubt, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import Readout, decide
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure
from neurodeploy.robustness.certificates.deviation_real import Spikes

#: A decision that the bounds leave open (-1 is a tie).
OPEN = -2


@dataclass(frozen=True, slots=True)
class Doubt:
    """One neuron-step whose spike is not shown to be equal; ``step`` from 1.

    ``margin``: distance of the integer membrane from its threshold; ``bound``: how far the real
    membrane may be from the integer one. Both in membrane units.
    """

    population: str
    neuron: int
    step: int
    margin: float
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class Guarantee:
    """What is proven for each sample.

    Parameters
    ----------
    equal : bool [B]
        The decision of the real network is certainly that of the integers.
    spikes : mapping of population to int64 [B]
        Neuron-steps whose spike is certainly equal in both; populations that fire.
    neuron_steps : mapping of population to int
        Neuron-steps of one sample.
    first : tuple of Doubt or None, one per sample
        The earliest neuron-step that is not guaranteed.
    deviation : mapping of population to float32 [T * B * N]
        Bound of the difference of the membranes before the reset, in membrane units.
    """

    equal: NDArray[np.bool_]
    spikes: dict[str, NDArray[np.int64]]
    neuron_steps: dict[str, int]
    first: tuple[Doubt | None, ...]
    deviation: dict[str, NDArray[np.float32]]

    def as_dict(self) -> dict[str, Any]:
        """Return shares and quantiles as JSON types."""
        layers = {}
        for name, each in self.spikes.items():
            median, p99, largest = np.quantile(self.deviation[name], [0.5, 0.99, 1.0]).tolist()
            layers[name] = {
                "guaranteed": int(each.sum()),
                "neuron_steps": self.neuron_steps[name] * each.size,
                "deviation": {"median": median, "p99": p99, "largest": largest},
            }
        return {
            "equal": int(self.equal.sum()),
            "n": int(self.equal.size),
            "without_doubt": sum(doubt is None for doubt in self.first),
            "populations": layers,
        }


class Ledger:
    """Collects the steps of one block of samples.

    Parameters
    ----------
    batch : int
    read : Readout
    """

    def __init__(self, batch: int, read: Readout) -> None:
        self._first: list[Doubt | None] = [None] * batch
        self._spikes: dict[str, NDArray[np.int64]] = {}
        self._neuron_steps: dict[str, int] = {}
        self._deviation: dict[str, list[NDArray[np.float32]]] = {}
        self._scores = ScoreBounds(read)

    def add(
        self,
        population: str,
        t: int,
        spikes: Spikes,
        fired: NDArray[np.bool_],
        margin: NDArray[np.float64],
        bound: NDArray[np.float64],
    ) -> None:
        """Take the spikes of one population that fires in step ``t`` (from 0), all [B, N]."""
        same = spikes.known & (spikes.sure == fired)
        before = self._spikes.setdefault(population, np.zeros(len(fired), np.int64))
        before += same.sum(axis=1)
        self._neuron_steps[population] = self._neuron_steps.get(population, 0) + fired.shape[1]
        self._deviation.setdefault(population, []).append(bound.astype(np.float32).ravel())
        for sample in np.flatnonzero(~same.all(axis=1)):
            if self._first[sample] is None:
                neuron = int(np.argmin(same[sample]))
                at = (sample, neuron)
                self._first[sample] = Doubt(
                    population, neuron, t + 1, float(margin[at]), float(bound[at])
                )

    def read(self, t: int, spikes: Spikes, after: Enclosure) -> None:
        """Take what the read-out population holds after step ``t``."""
        self._scores.add(t, spikes, after)

    def close(self, decisions: NDArray[np.int64]) -> tuple[Guarantee, NDArray[np.int64]]:
        """Return the guarantee and the real network's decisions (OPEN where not known), [B]."""
        real = self._scores.decisions()
        deviation = {name: np.concatenate(parts) for name, parts in self._deviation.items()}
        guarantee = Guarantee(
            real == decisions, self._spikes, self._neuron_steps, tuple(self._first), deviation
        )
        return guarantee, real


class ScoreBounds:
    """Bounds of the real network's scores, as ``read_out`` reduces them."""

    def __init__(self, read: Readout) -> None:
        self._read = read
        self._scores: Enclosure | None = None
        self._before: Enclosure | None = None

    def add(self, t: int, spikes: Spikes, after: Enclosure) -> None:
        """Take step ``t`` (from 0)."""
        kind, (start, stop) = self._read.kind, self._read.window or (0, t + 1)
        if kind == "sum" and t == start - 1:
            self._before = after
        if not start <= t < stop:
            return
        kept = self._scores
        if kind == "count":
            now = spikes.as_numbers()
            # Whole numbers: exact.
            adding = kept or Enclosure.exactly(np.zeros_like(now.low))
            self._scores = Enclosure(adding.low + now.low, adding.high + now.high)
        elif kept is None or kind in ("sum", "last_v"):
            self._scores = after
        elif kind == "max_v":
            self._scores = Enclosure(
                np.maximum(kept.low, after.low), np.maximum(kept.high, after.high)
            )
        else:  # the mean decides as the sum does
            self._scores = kept + after

    def decisions(self) -> NDArray[np.int64]:
        """Return the class that is certainly the largest, -1 for a certain tie, or OPEN."""
        scores = self._scores
        if scores is None:
            raise ValueError("no step was read")
        if self._before is not None:
            scores = scores - self._before
        top = scores.low.argmax(axis=1)
        rows = np.arange(len(top))
        others = scores.high.copy()
        others[rows, top] = -np.inf
        clear = scores.low[rows, top] > others.max(axis=1)
        exact = (scores.low == scores.high).all(axis=1)
        return np.where(clear, top, np.where(exact, decide(scores.low), OPEN))
