"""Gaussian noise on the code grid, drawn exactly from a table of 64-bit probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.robustness.certificates.smoothing_bounds import SLACK, normal_tail

_BITS = 64
_GUIDE_BITS = 16
_UNDECIDED = np.int32(-(2**31))
#: Random words per slab: bounds memory.
_SLAB_WORDS = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class GridGaussian:
    """A real Gaussian of mean 0, rounded to whole codes.

    ``P(k) = Phi((k + 1/2) / sigma) - Phi((k - 1/2) / sigma)``. Values beyond ``limit`` are cut to
    it; after clamping ``code + k`` into 0..limit nobody can tell. A value is the number of
    ``thresholds`` at or below a uniform 64-bit word, plus ``lowest``.

    Parameters
    ----------
    sigma : float
        Standard deviation in codes before rounding.
    limit : int
        Largest |k|.
    thresholds : uint64 [K], ascending
        Cumulative probabilities times 2**64, each the nearest whole number.
    distance : Decimal
        Upper bound of the total variation distance between one drawn value and the exact
        distribution: what rounding the table may cost.
    """

    sigma: float
    limit: int
    thresholds: NDArray[np.uint64]
    distance: Decimal
    _guide: NDArray[np.int32]

    @staticmethod
    def of(sigma: float, limit: int) -> GridGaussian:
        """Compute the table for ``sigma`` codes.

        Raises
        ------
        RangeError
            Unless sigma is positive and finite.
        """
        if not 0 < sigma < float("inf"):
            raise RangeError(f"smoothing: sigma is {sigma} codes; it must be positive and finite")
        words, distance = _upper_tails(Decimal(sigma), limit)
        upper = [2**_BITS - word for word in words]
        thresholds = np.array([*reversed(words), *upper], dtype=np.uint64)
        return GridGaussian(sigma, limit, thresholds, distance, _guide(thresholds))

    @property
    def lowest(self) -> int:
        """The smallest value that can be drawn; minus the largest."""
        return -(self.thresholds.size // 2)

    def values(self, words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the value, int32, that each uniform 64-bit word stands for."""
        found = self._guide[(words >> np.uint64(_BITS - _GUIDE_BITS)).astype(np.int64)]
        open_cells = np.flatnonzero(found == _UNDECIDED)
        if open_cells.size:
            rest = words.reshape(-1)[open_cells]
            ranks = self.thresholds.searchsorted(rest, side="right")
            found.reshape(-1)[open_cells] = ranks
        found += np.int32(self.lowest)
        return found

    def noisy(
        self, codes: NDArray[np.integer], draws: int, bits: np.random.Philox, max_code: int
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Return ``draws`` noisy copies [draws, n] of ``codes`` [n], clamped to 0..max_code.

        ``bits`` is advanced by ``draws * n`` words; the same stream gives the same points whatever
        the size of the batches they are drawn in.
        """
        n = codes.size
        points = np.empty((draws, n), np.uint8 if max_code < 2**8 else np.uint16)
        rows = max(1, _SLAB_WORDS // n)
        for first in range(0, draws, rows):
            count = min(rows, draws - first)
            words = bits.random_raw(count * n).reshape(count, n)
            shifted = self.values(words)
            shifted += codes
            points[first : first + count] = np.clip(shifted, 0, max_code, out=shifted)
        return points


def noise_stream(seed: int, key: int) -> np.random.Philox:
    """Return the random bits of one sample: a stream of its own for every (seed, key)."""
    return np.random.Philox(key=np.array([seed, key], dtype=np.uint64))


def _upper_tails(sigma: Decimal, limit: int) -> tuple[list[int], Decimal]:
    """Return ``P(value > k)`` times 2**64 for k = 0, 1, ..., rounded, and the distance."""
    words: list[int] = []
    with localcontext() as context:
        context.prec, context.rounding = 60, ROUND_HALF_EVEN
        whole = Decimal(2**_BITS)
        before, stored_before, apart = Decimal("0.5"), Decimal("0.5"), Decimal(0)
        for k in range(limit):
            tail = normal_tail((k + Decimal("0.5")) / sigma)
            word = int((tail * whole).to_integral_value())
            stored = Decimal(word) / whole
            apart += abs((before - tail) - (stored_before - stored)) + SLACK
            before, stored_before = tail, stored
            if word == 0:
                break
            words.append(word)
        # What is beyond the last threshold. Two sides, and half the sum of both is the distance.
        apart += abs(before - stored_before) + SLACK
        return words, apart


def _guide(thresholds: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return, by the leading bits of a word, how many thresholds it reaches, where they tell."""
    cells = np.arange(2**_GUIDE_BITS, dtype=np.uint64) << np.uint64(_BITS - _GUIDE_BITS)
    inside = np.uint64(2 ** (_BITS - _GUIDE_BITS) - 1)
    first = thresholds.searchsorted(cells, side="right")
    last = thresholds.searchsorted(cells + inside, side="right")
    return np.where(first == last, first, _UNDECIDED).astype(np.int32)
