"""Which rounding moved one membrane how far: parameters are exchanged one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import Readout, read_out
from neurodeploy.robustness.explanation.neuron_sides import (
    FloatArray,
    NeuronSide,
    Sent,
    with_delays_of,
)

#: Differences of terms below this share of the largest are float round-off.
_ROUND_OFF = 1e-9
#: In this order the integers' parameters replace the float ones. ``input``: spikes that already
#: differ, of the neuron's own loop, or a firing read-out's own. ``delay``: feedback that the chip
#: slows. ``floors``: all that is left, the truncations, wraps and clips of the run itself.
RUNGS = (
    "input", "delay", "weights", "start", "bias", "decay_u", "decay_v", "gain", "threshold",
    "floors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """How far one number moved from the float network to the integers, in membrane units.

    ``contributions``, one per rung, add up to ``fixed - float``. ``step`` is where it is taken in
    the integers and ``step_float`` where in float (another one only for a highest membrane).
    """

    step: int
    step_float: int
    before: float
    after: float
    contributions: Mapping[str, float]

    @property
    def rounding(self) -> str:
        """The rung that moved it most in the direction it went."""
        direction = np.sign(self.after - self.before) or 1.0
        return max(RUNGS, key=lambda rung: direction * self.contributions[rung])


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """One neuron's curve over the steps, from the float network to the integers.

    Parameters
    ----------
    float_curve, fixed_curve : float64 [T]
        For a neuron that fires v minus threshold before each step's reset, for a read-out v after
        it; in membrane units.
    contributions : mapping of rung to float64 [T]
        They add up to ``fixed_curve - float_curve``.
    """

    float_curve: FloatArray
    fixed_curve: FloatArray
    contributions: Mapping[str, FloatArray]

    def at(self, t: int) -> Shift:
        """Return how far step ``t`` moved."""
        parts = {rung: float(self.contributions[rung][t]) for rung in RUNGS}
        return Shift(t, t, float(self.float_curve[t]), float(self.fixed_curve[t]), parts)

    def score(self, readout: Readout, origin: float = 0.0) -> Shift:
        """Return how far the score moved that ``readout`` takes from this curve plus ``origin``.

        A score is a sum over the steps of its window: of v / steps for ``mean_v``, of what each
        step adds for ``sum``; ``last_v`` and ``max_v`` read one step. ``step`` is the one of them
        that moved the score most in the direction it went; for ``max_v`` each side's highest.
        """
        curves = [self.float_curve]
        for rung in RUNGS[:-1]:
            curves.append(curves[-1] + self.contributions[rung])
        curves.append(self.fixed_curve)
        scores = [float(read_out(c + origin, readout.kind, readout.window)) for c in curves]
        parts = dict(zip(RUNGS, np.diff(scores).tolist(), strict=True))
        step_float, step = _read_steps(self.float_curve, self.fixed_curve, readout)
        return Shift(step, step_float, scores[0], scores[-1], parts)


def _read_steps(exact: FloatArray, rounded: FloatArray, readout: Readout) -> tuple[int, int]:
    """Return the steps of the float curve and of the integers' that ``Ladder.score`` names."""
    start, stop = readout.window or (0, exact.size)
    if readout.kind == "max_v":
        return start + int(exact[start:stop].argmax()), start + int(rounded[start:stop].argmax())
    if readout.kind == "last_v":
        return stop - 1, stop - 1
    moved = (rounded - exact)[start:stop]
    if readout.kind == "sum":
        moved = np.diff(rounded - exact, prepend=0.0)[start:stop]
    # Sums in another order differ in the last bits; the first of equal steps is meant.
    moved = moved * (np.sign(moved.sum()) or 1.0)
    step = start + int((moved >= moved.max() - _ROUND_OFF * np.abs(moved).max()).argmax())
    return step, step


def climb(
    sides: tuple[NeuronSide, NeuronSide],
    sent: tuple[Sent, Sent],
    fired: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    fixed_curve: FloatArray,
    curve: Callable[[NeuronSide, Sent, NDArray[np.bool_]], FloatArray],
) -> Ladder:
    """Exchange one parameter after the other and note how the curve moves.

    Parameters
    ----------
    sides : pair of NeuronSide
        The neuron with float and with integer parameters.
    sent : pair of mappings of source to int array [T, n]
        What it receives in float and in the integers.
    fired : pair of bool [T]
        The spikes that reset it, in float and in the integers.
    fixed_curve : float64 [T]
        What the integer run has.
    curve : callable
        The curve [T] of a neuron under what it receives and its resets.
    """
    (exact, rounded), (sent_float, sent_fixed) = sides, sent
    rungs: list[tuple[str, NeuronSide]] = [("input", exact)]

    def exchange(rung: str, side: NeuronSide) -> None:
        rungs.append((rung, side))

    exchange("delay", with_delays_of(exact, rounded))
    exchange("weights", replace(exact, lines=rounded.lines))
    exchange("start", replace(rungs[-1][1], start=rounded.start))
    biased = replace(rungs[-1][1], into_sum=rounded.into_sum, into_v=rounded.into_v)
    exchange("bias", biased)
    exchange("decay_u", replace(biased, keep_u=rounded.keep_u))
    exchange("decay_v", replace(rungs[-1][1], keep_v=rounded.keep_v))
    exchange("gain", replace(rungs[-1][1], gain=rounded.gain))
    exchange("threshold", rounded)
    before = first = curve(exact, sent_float, fired[0])
    found = {}
    for rung, side in rungs:
        after = curve(side, sent_fixed, fired[1])
        found[rung] = after - before
        before = after
    found["floors"] = fixed_curve - before
    return Ladder(first, fixed_curve, found)
