"""Compiled synapses: weight rows are added for each event, so silence costs nothing.

Kernels work on one block: some samples times some steps, sample-major ``[B, T, ...]``. Sums are
int32 and wrap as Lava's do; a cast after every operation keeps numba from widening to int64,
which is what lets the loops vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined, trailing_zeros

#: Rows of spike masks are padded to a multiple of this.
MASK_ALIGNMENT = 64
#: Gathers the lowest bits of eight bytes (each 0 or 1) in the top byte of a product.
_GATHER = np.uint64(0x0102040810204080)


@inlined
def _add_rows(mask: Any, rows: Any, total: Any) -> None:
    """``total += rows[j]`` for each j that ``mask`` (uint8, 0 or 1) marks, two at a time.

    The last row is zero and stands in for a missing second one: no branch to mispredict.
    """
    words = mask.view(np.uint64)
    zero = rows.shape[0] - 1
    for block in range(words.size // 8):
        bits = np.uint64(0)
        for i in range(8):
            byte = (words[block * 8 + i] * _GATHER) >> np.uint64(56)
            bits |= byte << np.uint64(8 * i)
        first = block * MASK_ALIGNMENT
        while bits != 0:
            one = rows[first + np.int64(trailing_zeros(bits))]
            bits &= bits - np.uint64(1)
            other = rows[first + np.int64(trailing_zeros(bits)) if bits != 0 else zero]
            bits &= bits - np.uint64(1)
            for i in range(total.size):
                total[i] = np.int32(total[i] + np.int32(one[i] + other[i]))


@compiled(
    "void(uint8[:,:,::1], int16[:,::1], int32, int32[:,:,::1], int32[:,:,::1])",
    "void(uint8[:,:,::1], int32[:,::1], int32, int32[:,:,::1], int32[:,:,::1])",
)
def add_spikes(masks: Any, rows: Any, right_shift: Any, start: Any, a: Any) -> None:
    """Add one synapse's sums over spikes to ``a``.

    Parameters
    ----------
    masks : uint8 [B, at least T, n_in padded to MASK_ALIGNMENT]
        1 where the source sent.
    rows : int16 or int32 [n_in + 1, n_out]
        Transposed weights, already shifted left where the exponent is positive, then zeros.
    right_shift : int32
        Minus the exponent where it is negative: the sum is floored. Else 0.
    start : int32 [B, 1, n_out], or empty
        What ``a`` holds before, the same at every step; if empty, ``a`` is added to.
    a : int32 [B, T, n_out]
        Synaptic input, changed in place; wraps at 32 bits.
    """
    # Loops, not slice assignments: those cost as much as the sums themselves.
    size = a.shape[2]
    scratch = np.zeros(size, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1]):
            target = a[b, t]
            if start.size:
                first = start[b, 0]
                for i in range(size):
                    target[i] = first[i]
            if right_shift == 0:
                _add_rows(masks[b, t], rows, target)
                continue
            _add_rows(masks[b, t], rows, scratch)
            for i in range(size):
                target[i] = np.int32(target[i] + np.int32(scratch[i] >> right_shift))
                scratch[i] = 0


@compiled(
    "void(int32[:,:,::1], int16[:,::1], int32, int32[:,:,::1])",
    "void(int32[:,:,::1], int32[:,::1], int32, int32[:,:,::1])",
)
def add_payloads(payloads: Any, rows: Any, right_shift: Any, a: Any) -> None:
    """Add one synapse's sums over graded payloads int32 [B, T, n_in] to ``a``."""
    scratch = np.empty(a.shape[2], np.int32)
    for b in range(payloads.shape[0]):
        for t in range(payloads.shape[1]):
            scratch[:] = 0
            for j in range(payloads.shape[2]):
                payload = payloads[b, t, j]
                if payload != 0:
                    row = rows[j]
                    for i in range(scratch.size):
                        scratch[i] = np.int32(scratch[i] + np.int32(payload * row[i]))
            target = a[b, t]
            for i in range(target.size):
                target[i] = np.int32(target[i] + np.int32(scratch[i] >> right_shift))


@compiled(
    "void(uint8[:,:,::1], int64, int64, uint8[:,:,::1], int64[:,::1])",
    "void(uint16[:,:,::1], int64, int64, uint8[:,:,::1], int64[:,::1])",
)
def mask_codes(codes: Any, first_step: Any, first_sample: Any, masks: Any, sent: Any) -> None:
    """Mark the codes of one block that are not zero.

    Parameters
    ----------
    codes : uint8 or uint16 [T of the run, B of the run, n]
    first_step, first_sample : int
        Where the block begins.
    masks : uint8 [B, T, n padded]
        Receives 0 or 1.
    sent : int64 [B, n]
        Added to: events of each input.
    """
    n = codes.shape[2]
    counted = np.zeros((masks.shape[0], n), np.int32)
    # Steps outside: codes of neighbouring samples lie side by side in memory.
    for t in range(masks.shape[1]):
        for b in range(masks.shape[0]):
            row, mask, here = codes[first_step + t, first_sample + b], masks[b, t], counted[b]
            for j in range(n):
                event = row[j] != 0
                mask[j] = event
                here[j] = np.int32(here[j] + np.int32(event))
    for b in range(masks.shape[0]):
        for j in range(n):
            sent[b, j] += counted[b, j]
