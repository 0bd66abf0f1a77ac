"""Which rounding moved one membrane how far: parameters are exchanged one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.robustness.explanation.neuron_sides import (
    FloatArray,
    NeuronSide,
    Sent,
    with_delays_of,
)

#: In this order the integers' parameters replace the float ones. ``input``: spikes of the neuron's
#: own population that already differ (a recurrent one). ``delay``: feedback that the chip slows.
#: ``floors``: all that is left, the truncations, wraps and clips of the run itself.
RUNGS = (
    "input", "delay", "weights", "start", "bias", "decay_u", "decay_v", "gain", "threshold",
    "floors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """How far a neuron is above its threshold, from the float network to the integers.

    Parameters
    ----------
    float_margin, fixed_margin : float64 [T]
        v minus threshold before each step's reset, in membrane units (for a neuron that never
        fires: v itself).
    contributions : mapping of rung to float64 [T]
        They add up to ``fixed_margin - float_margin``.
    """

    float_margin: FloatArray
    fixed_margin: FloatArray
    contributions: Mapping[str, FloatArray]

    def largest(self, t: int) -> str:
        """Return the rung that moved the margin of step ``t`` most in the direction it went."""
        direction = np.sign(self.fixed_margin[t] - self.float_margin[t]) or 1.0
        return max(RUNGS, key=lambda rung: direction * self.contributions[rung][t])


def climb(
    exact: NeuronSide,
    rounded: NeuronSide,
    sent_float: Sent,
    sent_fixed: Sent,
    fired: NDArray[np.bool_],
    membrane_fixed: FloatArray,
) -> Ladder:
    """Exchange one parameter after the other and note how the margin moves.

    Parameters
    ----------
    exact, rounded : NeuronSide
        The neuron with float and with integer parameters.
    sent_float, sent_fixed : mapping of source to int array [T, n]
        What it receives in either network.
    fired : bool [T]
        Its spikes; both networks agree on those before the step that is looked at.
    membrane_fixed : float64 [T]
        What the integer run has, before reset, in membrane units.
    """
    sides: list[tuple[str, NeuronSide, Sent]] = [("input", exact, sent_fixed)]

    def exchange(rung: str, side: NeuronSide) -> None:
        sides.append((rung, side, sent_fixed))

    exchange("delay", with_delays_of(exact, rounded))
    exchange("weights", replace(exact, lines=rounded.lines))
    exchange("start", replace(sides[-1][1], start=rounded.start))
    biased = replace(sides[-1][1], into_sum=rounded.into_sum, into_v=rounded.into_v)
    exchange("bias", biased)
    exchange("decay_u", replace(biased, keep_u=rounded.keep_u))
    exchange("decay_v", replace(sides[-1][1], keep_v=rounded.keep_v))
    exchange("gain", replace(sides[-1][1], gain=rounded.gain))
    exchange("threshold", rounded)
    before = first = _margin(exact, sent_float, fired)
    found = {}
    for rung, side, sent in sides:
        after = _margin(side, sent, fired)
        found[rung] = after - before
        before = after
    last = membrane_fixed - (rounded.distance if np.isfinite(rounded.distance) else 0.0)
    found["floors"] = last - before
    return Ladder(first, last, found)


def _margin(side: NeuronSide, sent: Sent, fired: NDArray[np.bool_]) -> FloatArray:
    limit = side.distance if np.isfinite(side.distance) else 0.0
    return side.membrane(sent, fired) - limit
