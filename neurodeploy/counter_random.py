"""Random numbers by counter and key: nothing depends on what was drawn before.

Philox4x32-10 (Salmon et al., SC 2011), on whole arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def uniforms(
    seed: int, keys: NDArray[np.int64], count: int, stream: int, *, part: int = 0
) -> NDArray[np.float64]:
    """Return numbers in [0, 1), float64 [B, count], with 53 random bits each.

    Parameters
    ----------
    seed : int
        64 bits of it are used.
    keys : int64 [B]
        Equal seed and key give equal numbers, whatever else is drawn.
    stream, part : int
        0 .. 2**32 - 1 and 0 .. 255: tell draws of one key apart.
    """
    blocks = (count + 1) // 2
    words = keys.astype(np.uint64)[:, None]
    index = np.arange(blocks, dtype=np.uint64)[None, :] + np.uint64(part << 24)
    shape = (words.shape[0], blocks)
    drawn = philox(
        (
            np.broadcast_to(index, shape),
            np.full(shape, np.uint64(stream)),
            np.broadcast_to(words & _LOW, shape),
            np.broadcast_to(words >> _SHIFT, shape),
        ),
        (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF),
    )
    pairs = [_unit(drawn[0], drawn[1]), _unit(drawn[2], drawn[3])]
    return np.stack(pairs, axis=-1).reshape(words.shape[0], 2 * blocks)[:, :count]


def philox(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[int, int]
) -> tuple[NDArray[np.uint64], ...]:
    """Return four words of 32 random bits for four counter words of 32 bits, as uint64 arrays."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # Products of 32-bit words fit 64 bits.
        a, b = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (b >> _SHIFT) ^ c1 ^ np.uint64(k0),
            b & _LOW,
            (a >> _SHIFT) ^ c3 ^ np.uint64(k1),
            a & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def _unit(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return 53 of 64 random bits as a number in [0, 1)."""
    bits = (high << np.uint64(21)) | (low >> np.uint64(11))
    return np.asarray(bits * 2.0**-53)
