"""Dense weights of one byte each, where all of a synapse's weights span 255 of a common step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.simulate.aligned import aligned
from neurodeploy.simulate.dense_lanes import BYTES

#: Widest target whose states, parameters and sums stay in the first cache level.
_WIDEST = 512


@dataclass(frozen=True, slots=True, eq=False)
class ByteRows:
    """Weights ``(byte + offset) * 2**left``, a row for each source.

    Parameters
    ----------
    pool : uint8
        Rows of ``row`` bytes, whole vectors; after the last source's a row of zeros. In each
        vector, columns 0 .. 31 stand in the even places and columns 32 .. 63 in the odd ones.
    row : int
    offset : int
        Smallest weight, or 0, in units of ``2**left``.
    left : int
        Shift of the sums, a positive exponent included.
    """

    pool: NDArray[np.uint8]
    row: int
    offset: int
    left: int

    @property
    def zero(self) -> int:
        """Where the row of zeros begins."""
        return self.pool.size - self.row


def byte_rows(weight: NDArray[np.int64], left: int) -> ByteRows | None:
    """Return the rows of ``weight`` [targets, sources] times ``2**left``; None if not bytes.

    Legal Loihi weights fit: mixed ones are even and in -256 .. 254, others span 255.
    """
    n_out, n_in = weight.shape
    if not 0 < n_out <= _WIDEST or n_in == 0:
        return None
    common = 0
    used = int(np.bitwise_or.reduce(weight, axis=None))
    while used and not used & 1:
        used, common = used >> 1, common + 1
    units = weight >> common
    offset = min(int(units.min()), 0)
    if max(int(units.max()), 0) - offset > 255:
        return None
    row = -(-n_out // BYTES) * BYTES
    if (n_in + 1) * row > np.iinfo(np.int32).max:
        return None
    bytes_ = np.zeros((n_in + 1, row), np.uint8)
    bytes_[:-1] = -offset
    bytes_[:-1, :n_out] = (units - offset).T
    halves = bytes_.reshape(n_in + 1, row // BYTES, 2, BYTES // 2)
    pool = aligned(halves.transpose(0, 1, 3, 2)).ravel()
    return ByteRows(pool, row, offset, left + common)
