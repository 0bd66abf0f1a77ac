"""Largest singular values between two bounds that hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, svds

from neurodeploy.robustness.certificates.deviation_enclosure import down, up

Floats = NDArray[np.float64]

#: Up to this many rows or columns, whichever are fewer, the bounds meet within 1e-6.
EXACT_SIZE = 4096
#: Up to this many the direction comes from all eigenvectors, beyond from Lanczos.
_SMALL_SIZE = 512
_UNIT = 2.0**-53
_SEED = 0


@dataclass(frozen=True, slots=True)
class Norm:
    """An operator norm: at least ``lower``, at most ``upper``."""

    lower: float
    upper: float

    def __mul__(self, other: Norm) -> Norm:
        """Return the product, rounded outward."""
        low, high = self.lower * other.lower, self.upper * other.upper
        return Norm(max(0.0, float(down(low))), float(up(high)) if high else 0.0)

    def widened(self, relative: float) -> Norm:
        """Return the bounds with room for entries that are off by a share of themselves."""
        return Norm(self.lower * (1 - relative), self.upper * (1 + relative))


def operator_norm(matrix: sparse.csr_array) -> Norm:
    """Bound the largest singular value of ``matrix`` from both sides.

    From below by what the matrix does to one vector. From above, up to ``EXACT_SIZE``, by a
    Cholesky decomposition of ``c**2 - G`` that succeeds, G the smaller Gram matrix: then c is an
    upper bound even where the decomposition's own rounding is counted (Rump, BIT 2006). Beyond
    that size by the root of the largest row sum times the largest column sum of magnitudes, which
    may be several times too large.
    """
    largest = float(abs(matrix).max()) if matrix.nnz else 0.0
    if largest == 0:
        return Norm(0.0, 0.0)
    # A power of two: exact, and no square leaves float64.
    unit = 2.0 ** np.floor(np.log2(largest))
    tall = sparse.csr_array(matrix / unit)
    if tall.shape[0] < tall.shape[1]:
        tall = tall.T.tocsr()
    near = _largest_direction(tall)
    applied = tall @ near
    slack = 1 - 8 * (sum(tall.shape) + 8) * _UNIT
    lower = float(np.linalg.norm(applied) / np.linalg.norm(near)) * slack
    small = tall.shape[1] <= EXACT_SIZE
    upper = _confirmed_above(tall, lower) if small else _from_row_sums(tall)
    return Norm(lower * float(unit), upper * float(unit))


def _largest_direction(tall: sparse.csr_array) -> Floats:
    """Return a vector that the matrix stretches about as much as any."""
    if tall.shape[1] <= _SMALL_SIZE:
        gram = (tall.T @ tall).toarray()
        return np.asarray(np.linalg.eigh(gram)[1][:, -1])
    start = np.random.default_rng(_SEED).random(tall.shape[1])
    try:
        return np.asarray(svds(tall, k=1, v0=start)[2][0])
    except ArpackNoConvergence:
        return np.asarray(start)  # a poor lower bound, and a longer search for the upper one


def _confirmed_above(tall: sparse.csr_array, lower: float) -> float:
    gram = (tall.T @ tall).toarray()
    n = tall.shape[1]
    # Rounding of the Gram matrix, of the difference and of the decomposition itself, per trace.
    share = 4 * (tall.shape[0] + n + 8) * _UNIT
    trace = float(np.trace(gram))
    more = max(2.0**-34, share * (trace / lower**2 + n))
    while True:
        square = (lower * (1 + more)) ** 2
        room = share * (trace + n * square)
        try:
            np.linalg.cholesky((square - room) * np.eye(n) - gram)
        except np.linalg.LinAlgError:
            more *= 2
        else:
            return float(up(lower * (1 + more)))


def _from_row_sums(tall: sparse.csr_array) -> float:
    magnitudes = abs(tall)
    rows, columns = magnitudes.sum(axis=1).max(), magnitudes.sum(axis=0).max()
    return float(np.sqrt(rows * columns) * (1 + 8 * (sum(tall.shape) + 8) * _UNIT))
