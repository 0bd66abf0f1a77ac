"""Arrays that begin where a vector does: one that crosses a cache line costs two accesses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of a cache line, and of the widest vector.
LINE = 64


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros that begin with a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    begin = -raw.ctypes.data % LINE
    found: NDArray[Any] = raw[begin : begin + size].view(dtype).reshape(shape)
    return found


def aligned(values: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that begins with a cache line."""
    copy = aligned_zeros(values.shape, values.dtype)
    copy[...] = values
    return copy
