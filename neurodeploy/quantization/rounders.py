"""Ways to round a synapse's weights: to the nearest, or with an eye on the membrane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import ConvLayout, SparseLayout
from neurodeploy.quantization.dead_rows import revived
from neurodeploy.quantization.exact_products import product
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.input_moments import Moments, grouped, plain_moments
from neurodeploy.quantization.rounding import (
    RoundedWeight,
    candidates,
    quantize_weight,
    quantize_weight_at,
    unclipped,
    weight_limits,
    weight_step,
)

#: Passes over all inputs of a synapse; most settle in a few.
_PASSES = 12


class Rounder(Protocol):
    """Float weights to mantissas."""

    def best(
        self, arriving: Incoming, bits: int, *, highest_exponent: int | None = None
    ) -> RoundedWeight:
        """Round at the exponent of least loss, of those up to ``highest_exponent``."""

    def at(self, arriving: Incoming, exponent: int, bits: int) -> RoundedWeight:
        """Round at one exponent."""


class MeanErrorRounder(Rounder, Protocol):
    """One that knows what a bias could take away."""

    def mean_error(self, arriving: Incoming, rounded: RoundedWeight) -> NDArray[np.float64]:
        """Return the constant input per step [N] that the rounding's error comes nearest to."""


@dataclass(frozen=True, slots=True)
class NearestRounder:
    """To the nearest mantissa, at the exponent of the least squared error of the weights.

    With ``largest`` at the finest exponent at which no weight is clipped.
    """

    largest: bool = False

    def best(
        self, arriving: Incoming, bits: int, *, highest_exponent: int | None = None
    ) -> RoundedWeight:
        """Round at the best exponent; of equal ones a convolution takes the finer scale."""
        if self.largest:
            return unclipped(arriving.values, bits, highest_exponent=highest_exponent)
        finest = highest_exponent is None and isinstance(arriving.layout, ConvLayout)
        return quantize_weight(
            arriving.values, bits, highest_exponent=highest_exponent, finest=finest
        )

    def at(self, arriving: Incoming, exponent: int, bits: int) -> RoundedWeight:
        """Round at one exponent."""
        return quantize_weight_at(arriving.values, exponent, bits)


@dataclass(frozen=True, slots=True)
class MembraneRounder:
    """By the expected squared error of the membrane (see ``input_moments.py``).

    Parameters
    ----------
    moments : mapping of synapse to Moments
        Without ridge; a synapse that is not there has inputs all alike.
    adaptive : bool
        Whether mantissas may leave the nearest: one input after the other takes the value that is
        best beside all others, until none moves. The loss never rises above that of the nearest.
    corrects_bias : bool
        Whether biases will take the mean errors away, so that only what varies counts.
    """

    moments: Mapping[str, Moments]
    adaptive: bool = False
    corrects_bias: bool = False

    def mean_error(self, arriving: Incoming, rounded: RoundedWeight) -> NDArray[np.float64]:
        """Return the constant input per step [N] that the rounding's error comes nearest to."""
        error = np.ldexp(rounded.mantissa.astype(np.float64), -rounded.exponent) - arriving.values
        return self._known(arriving).mean_error(error, arriving)

    def measure(self, arriving: Incoming) -> Moments:
        """Return the moments that losses of ``arriving`` are measured with, ridge and all."""
        return self._of(arriving)

    def loss(self, arriving: Incoming, rounded: RoundedWeight) -> float:
        """Return the squared error of the membrane, summed over the rows of the weights."""
        error = np.ldexp(rounded.mantissa.astype(np.float64), -rounded.exponent) - arriving.values
        return self._of(arriving).loss(error, arriving.layout)

    def best(
        self, arriving: Incoming, bits: int, *, highest_exponent: int | None = None
    ) -> RoundedWeight:
        """Round at the exponent of the least loss."""
        found = candidates(arriving.values, bits, highest_exponent=highest_exponent)
        losses = [self.loss(arriving, c) for c in found]
        order = sorted(range(len(found)), key=lambda i: losses[i])
        if not self.adaptive:
            return self._alive(arriving, found[order[0]], bits)
        # What adapts can use a finer grid, or a coarser one that clips less.
        chosen = [self._adapted(arriving, found[i], bits) for i in order[:3]]
        return min(chosen, key=lambda c: self.loss(arriving, c))

    def at(self, arriving: Incoming, exponent: int, bits: int) -> RoundedWeight:
        """Round at one exponent."""
        nearest = quantize_weight_at(arriving.values, exponent, bits)
        if self.adaptive:
            return self._adapted(arriving, nearest, bits)
        return self._alive(arriving, nearest, bits)

    def _alive(self, arriving: Incoming, nearest: RoundedWeight, bits: int) -> RoundedWeight:
        if isinstance(arriving.layout, SparseLayout) or not arriving.values.any():
            return nearest
        return revived(arriving.values, nearest, self._of(arriving), bits)

    def _of(self, arriving: Incoming) -> Moments:
        known = self._known(arriving)
        return (known.centred() if self.corrects_bias else known).ridged()

    def _known(self, arriving: Incoming) -> Moments:
        known = self.moments.get(arriving.synapse.name)
        written_out = isinstance(arriving.layout, SparseLayout) and (
            known is not None and known.groups[0].shape != (arriving.layout.n_source,)
        )
        if known is None or written_out:
            return plain_moments(arriving)
        return known

    def _adapted(self, arriving: Incoming, nearest: RoundedWeight, bits: int) -> RoundedWeight:
        moments = self._of(arriving)
        full = all(m.ndim == 2 for m in moments.groups)
        if isinstance(arriving.layout, SparseLayout) or not full or not nearest.mantissa.any():
            return nearest  # inputs that know nothing of each other: the nearest is best
        wanted = np.ldexp(arriving.values, nearest.exponent)
        parts = zip(
            grouped(nearest.mantissa.astype(np.float64), len(moments.groups)),
            grouped(wanted, len(moments.groups)),
            moments.groups,
            strict=True,
        )
        low, high = weight_limits(nearest.sign_mode, bits)
        step = weight_step(nearest.sign_mode, bits)
        settled = [_settled(start, goal, c, step, low, high) for start, goal, c in parts]
        mantissa = np.stack(settled).reshape(nearest.mantissa.shape).astype(np.int64)
        error = np.ldexp(mantissa.astype(np.float64), -nearest.exponent) - arriving.values
        return replace(nearest, mantissa=mantissa, rms_error=float(np.sqrt(np.mean(error**2))))


def _settled(
    mantissa: NDArray[np.float64],
    wanted: NDArray[np.float64],
    moments: NDArray[np.float64],
    step: int,
    low: int,
    high: int,
) -> NDArray[np.float64]:
    """Return mantissas [rows, k] that no change of one of them improves.

    Coordinate descent on ``(m - w) C (m - w)^T``: the best value of one input beside all others is
    ``m - slope / C[j, j]``, rounded to the grid. A column moves only where this lowers the loss.
    """
    mantissa = mantissa.copy()
    slope = product(mantissa - wanted, moments)
    own = np.diag(moments)
    for _ in range(_PASSES):
        moved = 0
        for j in np.argsort(-own, kind="stable"):
            best = mantissa[:, j] - slope[:, j] / own[j]
            change = np.clip(np.rint(best / step) * step, low, high) - mantissa[:, j]
            # On a tie it stays, so that no rounding of the slope can make it go round in circles.
            gain = -change * (2 * slope[:, j] + change * own[j])
            change[gain <= 1e-12 * own[j]] = 0.0
            rows = np.flatnonzero(change)
            if rows.size:
                slope[rows] += change[rows, None] * moments[j]
                mantissa[rows, j] += change[rows]
                moved += rows.size
        if moved == 0:
            break
    return mantissa
