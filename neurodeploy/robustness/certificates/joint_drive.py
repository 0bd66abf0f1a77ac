"""Joint bounds: what neurons that see the same inputs can do together.

Neurons whose trains are listed over their constant input a_j (``drive_table``) share the codes
that make up a_j: not all of them can be at their worst at once. A weighted sum of a train is a
function F_j(a_j), and lines of any slope c bound it,

    F_j(a) <= above_j(c) + c (a - middle_j),   F_j(a) >= below_j(c) + c (a - middle_j),

exactly, by all its stretches. Added up with the next layer's weights, the lines are one linear
function of the codes, whose largest value over the box is known. Any slopes are sound; a few steps
of descent look for good ones. ``above`` is convex in c and ``below`` concave, so that straight
lines between tabulated slopes are sound too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodeploy.network import ALWAYS_ON
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.joint_kernel import SHARES, descend, envelopes
from neurodeploy.robustness.certificates.synapse_bounds import Slot
from neurodeploy.robustness.certificates.trains import ListedTrains, Reals

_UNIT = 2.0**-52
#: Largest matrix from messages to neurons that is held with its zeros.
_LARGEST_MATRIX = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class JointDrive:
    """How codes make the constant inputs of a population whose trains are listed.

    ``a = matrix @ message - floor share``, message within ``centre`` +- ``radius`` [B, M], each
    floor share within 0 .. ``floor``. ``usable`` bool [B]: samples in which nothing can wrap.
    """

    listed: ListedTrains
    start: Integers
    a: Interval
    matrix: Reals
    centre: Reals
    radius: Reals
    floor: float
    usable: Flags

    def gains(self, weights: Reals, rows: Reals, where: Flags) -> tuple[Reals, Reals]:
        """Return by how much joint bounds of weighted sums are tighter than separate ones.

        Parameters
        ----------
        weights : float64 [T]
            Over time, of the trains.
        rows : float64 [R, N]
            Over neurons.
        where : bool [B, R]
            Which sums are asked for.

        Returns
        -------
        tuple of float64 [B, R]
            By how much the lower bound rises and the upper one falls: at least 0, 0 where not
            asked for; safe against rounding.
        """
        least, most = self.listed.of_each(weights[None])
        shape = self.a.lo.shape
        chord, (above, below) = np.empty(shape), np.empty((2, shape[0], SHARES, shape[1]))
        low, high = (np.ascontiguousarray(x, np.float64) for x in self.a)
        envelopes(
            self.listed.first, self.listed.last, self.start, low, high, least[0], most[0],
            chord, above, below,
        )  # fmt: skip
        offset = self.centre @ self.matrix.T - (low + high) / 2
        sample, row = np.nonzero(where & self.usable[:, None])
        both = np.concatenate([rows, -rows])
        # The lower bound of a sum is the upper one of its negative, with the sign turned.
        problems = np.concatenate([sample, sample]), np.concatenate([row + len(rows), row])
        best = np.empty(2 * sample.size)
        descend(
            problems[0], both, problems[1], chord, offset, above, below,
            (self.matrix, np.ascontiguousarray(self.matrix.T)), self.radius, self.floor, best,
        )  # fmt: skip
        separate = self._separate(above, below, both, problems)
        better = np.maximum(separate - best - self._slack(weights, both, chord, problems), 0)
        gained = np.zeros((2, *where.shape))
        gained[0][sample, row], gained[1][sample, row] = np.split(better, 2)
        return gained[0], gained[1]

    @staticmethod
    def _separate(above: Reals, below: Reals, rows: Reals, problems: Any) -> Reals:
        """Return the upper bound [P] where each neuron is at its worst: lines of slope 0."""
        highest = above[:, 0] @ np.maximum(rows, 0).T + below[:, 0] @ np.minimum(rows, 0).T
        return np.asarray(highest[problems])

    def _slack(self, weights: Reals, rows: Reals, chord: Reals, problems: Any) -> Reals:
        """Return what rounding of floats can make of both bounds, relative to all magnitudes."""
        largest = np.abs(self.matrix) @ (np.abs(self.centre) + self.radius).max(axis=0)
        largest = largest + np.abs(self.a.hi) + np.abs(self.a.lo) + self.floor
        reach = np.abs(weights).sum() + 2 * np.abs(chord) * largest
        operations = 8 * (weights.size + sum(self.matrix.shape)) + 256
        size = reach @ np.abs(rows).T
        return np.asarray(size[problems] * (operations * _UNIT))


def joint_drive(
    listed: ListedTrains,
    start: Integers,
    a: Interval,
    slots: tuple[Slot, ...],
    inputs: InputBounds,
    left: Flags,
) -> JointDrive | None:
    """Describe how held codes make the input ``a`` [B, N]; None if the matrix would be too large.

    ``left`` [B, N]: where a sum may leave its width.
    """
    parts, lows, highs, floor = [], [], [], 0.0
    for slot in slots:
        if slot.weight.shape[0] * slot.weight.shape[1] > _LARGEST_MATRIX:
            return None
        dense = slot.weight if isinstance(slot.weight, np.ndarray) else slot.weight.toarray()
        parts.append(dense * 2.0**slot.exponent)
        message = slot.message(inputs.codes)
        if slot.source == ALWAYS_ON:
            one = np.ones((inputs.batch, 1), np.int64)
            message = Interval(one, one)
        lows.append(message.lo)
        highs.append(message.hi)
        floor += 1 - 2.0 ** min(slot.exponent, 0)
    if not parts:
        return None
    lo, hi = np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)
    matrix = np.ascontiguousarray(np.concatenate(parts, axis=1), np.float64)
    centre, radius = (np.ascontiguousarray(x) for x in ((lo + hi) / 2, (hi - lo) / 2))
    usable = np.asarray(~left.any(axis=1))
    return JointDrive(listed, start, a, matrix, centre, radius, floor, usable)
