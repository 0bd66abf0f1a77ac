"""What is known of spike trains, and bounds of their weighted sums over time.

A weighted sum ``sum_s c[s] m[s]`` over the messages m[1..T] of each sender is what membranes and
read-outs are made of. The more is known of which messages go together, the narrower its bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval

Reals = NDArray[np.float64]


class Trains(Protocol):
    """Messages of a population in steps 1..T, for each sample of a batch."""

    @property
    def steps(self) -> Interval:
        """Bounds of each message by itself, int64 [T, B, N]."""

    @property
    def largest(self) -> int:
        """The largest message; none is below 0."""

    def sums(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds [K, B, N] of ``sum_s weights[k, s] m[s]``, weights [K, T].

        Computed in float64 and not rounded outward: whoever uses them does that.
        """


@dataclass(frozen=True, slots=True, eq=False)
class FreeTrains:
    """Each message is anything within its bounds, whatever the others are."""

    steps: Interval

    @property
    def largest(self) -> int:
        """The largest message."""
        return int(self.steps.hi.max(initial=0))

    def sums(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds of the weighted sums: each message at the end that its weight asks for."""
        low, high = self.steps.lo.astype(np.float64), self.steps.hi.astype(np.float64)
        up, down = np.maximum(weights, 0), np.minimum(weights, 0)
        least = np.tensordot(up, low, 1) + np.tensordot(down, high, 1)
        return least, np.tensordot(up, high, 1) + np.tensordot(down, low, 1)


@dataclass(frozen=True, slots=True, eq=False)
class HeldTrains:
    """Every step sends the same message, within ``message`` [B, N]."""

    message: Interval
    count: int

    @property
    def steps(self) -> Interval:
        """Bounds of each message by itself, int64 [T, B, N]."""
        shape = (self.count, *self.message.lo.shape)
        return Interval(
            np.broadcast_to(self.message.lo, shape), np.broadcast_to(self.message.hi, shape)
        )

    @property
    def largest(self) -> int:
        """The largest message."""
        return int(self.message.hi.max(initial=0))

    def sums(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds of the weighted sums: all weights meet one message."""
        total = weights.sum(axis=1)[:, None, None]
        first, second = total * self.message.lo, total * self.message.hi
        return np.minimum(first, second), np.maximum(first, second)


@dataclass(frozen=True, slots=True, eq=False)
class ListedTrains:
    """Each neuron's train is one of a short run of listed ones.

    ``lowest``, ``highest`` bool [S, T]: the listed trains (three-valued where the two differ).
    ``first``, ``last`` int64 [B, N]: the run of trains that sample b allows neuron n.
    """

    lowest: Flags
    highest: Flags
    first: Integers
    last: Integers

    @property
    def steps(self) -> Interval:
        """Bounds of each spike by itself, int64 [T, B, N]."""
        low = self._reduced(np.minimum, self.lowest.T.astype(np.int8))
        high = self._reduced(np.maximum, self.highest.T.astype(np.int8))
        return Interval(low.astype(np.int64), high.astype(np.int64))

    @property
    def largest(self) -> int:
        """A spike is 1."""
        return 1

    def sums(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds of the weighted sums over the trains that each neuron may have."""
        least, most = self.of_each(weights)
        return self._reduced(np.minimum, least), self._reduced(np.maximum, most)

    def of_each(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds [K, S] of the weighted sums of each listed train."""
        up, down = np.maximum(weights, 0), np.minimum(weights, 0)
        low, high = self.lowest.T.astype(np.float64), self.highest.T.astype(np.float64)
        return up @ low + down @ high, up @ high + down @ low

    def _reduced(self, function: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """Reduce values [K, S] over each run: [K, B, N]."""
        result = values[:, self.first]
        longest = int((self.last - self.first).max(initial=0))
        # Powers of two: two overlapping stretches cover any run.
        table, length = values, 1
        widths = self.last - self.first + 1
        while length <= longest + 1:
            here = (widths >= length) & (widths < 2 * length)
            if here.any():
                second = self.last[here] - length + 1
                result[:, here] = function(table[:, self.first[here]], table[:, second])
            ahead = np.minimum(np.arange(table.shape[1]) + length, table.shape[1] - 1)
            table = function(table, table[:, ahead])
            length *= 2
        return result


@dataclass(frozen=True, slots=True, eq=False)
class ResetTrains:
    """Spikes are a path from reset to reset.

    ``follows`` bool [T, T, B, N]: whether spike t + 1 (second axis) may come next after spike q
    (first axis; 0 stands for the start). ``ends`` bool [T + 1, B, N]: whether no spike need come
    after spike q.
    """

    follows: Flags
    ends: Flags

    @property
    def steps(self) -> Interval:
        """Bounds of each spike by itself, int64 [T, B, N]."""
        unit = np.eye(self.follows.shape[1])
        low, high = self.sums(unit)
        # Nothing possible (which only a contradiction could bring) is an empty interval.
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        return Interval(low.astype(np.int64), high.astype(np.int64))

    @property
    def largest(self) -> int:
        """A spike is 1."""
        return 1

    def sums(self, weights: Reals) -> tuple[Reals, Reals]:
        """Return bounds of the weighted sums: the cheapest and the dearest path."""
        return -self._dearest(-weights), self._dearest(weights)

    def _dearest(self, weights: Reals) -> Reals:
        n_weights, steps = weights.shape
        shape = (n_weights, *self.ends.shape[1:])
        at = [np.zeros(shape)]
        for t in range(1, steps + 1):
            best = np.full(shape, -np.inf)
            for q in range(t):
                may = self.follows[q, t - 1]
                if may.any():
                    np.maximum(best, np.where(may, at[q], -np.inf), out=best)
            at.append(best + weights[:, t - 1, None, None])
        best = np.full(shape, -np.inf)
        for q in range(steps + 1):
            np.maximum(best, np.where(self.ends[q], at[q], -np.inf), out=best)
        return best
