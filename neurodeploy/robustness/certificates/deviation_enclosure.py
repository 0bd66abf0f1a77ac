"""Real numbers enclosed between two float64, every result rounded outward.

A sum, difference or product of floats is off by at most half a unit in its last place; moving each
end one float further encloses it. For sums of many terms the usual bound is used: computed in any
order, with or without fused operations, it is off by at most ``n * u / (1 - n * u)`` times the sum
of the magnitudes, u = 2**-53 (Higham, Accuracy and Stability, 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
_INF = np.inf
#: What products below the smallest normal float may lose.
_TINY = 2.0**-1060


def up(values: Any) -> Floats:
    """Return the next larger float."""
    return np.asarray(np.nextafter(values, _INF))


def down(values: Any) -> Floats:
    """Return the next smaller float."""
    return np.asarray(np.nextafter(values, -_INF))


@dataclass(frozen=True, slots=True, eq=False)
class Enclosure:
    """Arrays of real numbers, each somewhere in ``low`` .. ``high``."""

    low: Floats
    high: Floats

    @staticmethod
    def exactly(values: Any) -> Enclosure:
        """Enclose floats that are the numbers themselves."""
        array = np.asarray(values, dtype=np.float64)
        return Enclosure(array, array)

    @staticmethod
    def of_fraction(value: Fraction) -> Enclosure:
        """Enclose one rational number."""
        near = np.float64(float(value))
        return Enclosure(down(near), up(near))

    def __add__(self, other: Enclosure) -> Enclosure:
        """Add."""
        return Enclosure(down(self.low + other.low), up(self.high + other.high))

    def __sub__(self, other: Enclosure) -> Enclosure:
        """Subtract."""
        return Enclosure(down(self.low - other.high), up(self.high - other.low))

    def __mul__(self, other: Enclosure) -> Enclosure:
        """Multiply."""
        with np.errstate(over="ignore"):  # infinite thresholds stay so
            ends = np.broadcast_arrays(
                self.low * other.low,
                self.low * other.high,
                self.high * other.low,
                self.high * other.high,
            )
        return Enclosure(down(np.minimum.reduce(ends)), up(np.maximum.reduce(ends)))

    @property
    def magnitude(self) -> Floats:
        """Largest possible absolute value."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def at_most(self, limit: Enclosure | Floats) -> Enclosure:
        """Return what is left of the numbers if they are known not to exceed ``limit``."""
        high = limit.high if isinstance(limit, Enclosure) else limit
        return Enclosure(self.low, np.minimum(self.high, high))

    def joined(self, other: Enclosure) -> Enclosure:
        """Return the hull of both."""
        return Enclosure(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


def chosen(where: NDArray[np.bool_], yes: Enclosure, no: Enclosure) -> Enclosure:
    """Return ``yes`` where the condition holds, else ``no``."""
    return Enclosure(np.where(where, yes.low, no.low), np.where(where, yes.high, no.high))


@dataclass(frozen=True, slots=True, eq=False)
class ExactMatrix:
    """A matrix [out, in] whose float64 entries are the numbers meant, split by sign."""

    positive: sparse.csr_array
    negative: sparse.csr_array

    @staticmethod
    def of(matrix: sparse.csr_array) -> ExactMatrix:
        """Split ``matrix``."""
        return ExactMatrix(matrix.maximum(0).tocsr(), matrix.minimum(0).tocsr())

    def times(self, x: Enclosure) -> Enclosure:
        """Return the sums [B, out] for ``x`` [B, in]."""
        low = product(self.positive, x.low) + product(self.negative, x.high)
        high = product(self.positive, x.high) + product(self.negative, x.low)
        n = self.positive.shape[1]
        magnitude = product(self.positive, x.magnitude) - product(self.negative, x.magnitude)
        # Twice the bound for n + 1 roundings, so that this product's own errors are covered too.
        error = magnitude * ((n + 8) * 2.0**-52) + n * _TINY
        return Enclosure(down(low - error), up(high + error))


def product(matrix: sparse.csr_array, x: Floats) -> Floats:
    """Return ``x @ matrix.T`` for a sparse matrix, in float64, rounded to nearest."""
    return np.asarray(np.ascontiguousarray((matrix @ x.T).T))
