"""Compiled synaptic sums for gradients: weight rows per event, shifts and wraps.

Arrays are sample-major, [B, T, N]. Integer sums wrap at 32 bits, as Lava's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined


@inlined
def list_events(mask: Any, events: Any) -> Any:
    """Write the places where ``mask`` is not zero to ``events``; return how many."""
    count = np.int64(0)
    for j in range(mask.size):
        events[count] = np.int32(j)
        count += np.int64(mask[j] != 0)
    return count


@inlined
def add_rows(events: Any, count: Any, rows: Any, first: Any, total: Any) -> None:
    """Add row ``first + j`` of ``rows`` to ``total`` for each event j, four at a time."""
    size = total.size
    whole = count - count % 4
    for k in range(0, whole, 4):
        a, b = rows[first + events[k]], rows[first + events[k + 1]]
        c, d = rows[first + events[k + 2]], rows[first + events[k + 3]]
        for i in range(size):
            one, other = np.int32(a[i] + b[i]), np.int32(c[i] + d[i])
            total[i] = np.int32(total[i] + np.int32(one + other))
    for k in range(whole, count):
        a = rows[first + events[k]]
        for i in range(size):
            total[i] = np.int32(total[i] + a[i])


@inlined
def shifted(total: Any, exponent: Any, at_24_bits: Any) -> Any:
    """Return what an int32 sum adds to the synaptic input: shifted, or wrapped into 24 bits."""
    if at_24_bits:
        return np.int32(np.int32(np.int32(total + np.int32(2**23)) & np.int32(2**24 - 1)) - 2**23)
    if exponent > 0:
        return np.int32(total << np.int32(exponent))
    return np.int32(total >> np.int32(-exponent))


@compiled(
    "void(uint8[:,:,::1], int16[:,::1], int64, int64, int32[:,:,::1])",
    "void(uint8[:,:,::1], int32[:,::1], int64, int64, int32[:,:,::1])",
)
def add_events(masks: Any, rows: Any, exponent: Any, delay: Any, a: Any) -> None:
    """Add the weight rows of all events to ``a``.

    Parameters
    ----------
    masks : uint8 [B, T, n]
        Not zero where the source sent.
    rows : int16 or int32 [n, N]
        Transposed weights.
    exponent, delay : int
        Shift of the sum; steps after which it is felt.
    a : int32 [B, T, N]
        Added to.
    """
    events = np.empty(masks.shape[2] + 1, np.int32)
    scratch = np.empty(a.shape[2], np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1] - delay):
            count = list_events(masks[b, t], events)
            target = a[b, t + delay]
            if exponent == 0:
                add_rows(events, count, rows, 0, target)
                continue
            scratch[:] = 0
            add_rows(events, count, rows, 0, scratch)
            for i in range(scratch.size):
                target[i] = np.int32(target[i] + shifted(scratch[i], exponent, False))


@compiled(
    "void(int32[:,:,::1], int64[::1], int32[::1], int32[::1], int64, boolean, int64,int32[:,:,::1])"
)
def add_scattered(
    payloads: Any, indptr: Any, indices: Any, weights: Any, exponent: Any, at_24_bits: Any,
    delay: Any, a: Any,
) -> None:  # fmt: skip
    """Add the sums of payloads int32 [B, T, n] of any size to ``a``; rows stand by source."""
    scratch = np.empty(a.shape[2], np.int32)
    for b in range(payloads.shape[0]):
        for t in range(min(payloads.shape[1], a.shape[1] - delay)):
            scratch[:] = 0
            for j in range(payloads.shape[2]):
                payload = payloads[b, t, j]
                if payload != 0:
                    for k in range(indptr[j], indptr[j + 1]):
                        i = indices[k]
                        product = np.int32(payload * weights[k])
                        scratch[i] = np.int32(scratch[i] + product)
            target = a[b, t + delay]
            for i in range(scratch.size):
                target[i] = np.int32(target[i] + shifted(scratch[i], exponent, at_24_bits))


@compiled("void(float32[:,:,::1], int64, boolean, int64, int32[:,:,::1])")
def add_part(part: Any, exponent: Any, at_24_bits: Any, delay: Any, a: Any) -> None:
    """Add the whole numbers ``part`` [B, T, N], each below 2^24, to ``a`` ``delay`` steps later."""
    for b in range(a.shape[0]):
        for t in range(a.shape[1] - delay):
            source, target = part[b, t], a[b, t + delay]
            if exponent == 0 and not at_24_bits:
                for i in range(source.size):
                    target[i] = np.int32(target[i] + np.int32(source[i]))
                continue
            for i in range(source.size):
                value = shifted(np.int32(source[i]), exponent, at_24_bits)
                target[i] = np.int32(target[i] + value)


@compiled(
    "int64(float32[:,:,::1], int64, float64, uint8[:,:,::1])",
    "int64(float64[:,:,::1], int64, float64, uint8[:,:,::1])",
)
def mark_codes(codes: Any, first: Any, highest: Any, masks: Any) -> Any:
    """Mark the codes [T, all samples, n] of samples from ``first`` on that do not round to zero.

    ``masks`` [B, T, n] receives 0 or 1. Returns how many codes are not within 0..``highest``; a
    number that is none counts too.
    """
    outside = np.int64(0)
    real = codes.dtype.type
    low, high, half = real(0), real(highest), real(0.5)
    # Steps outside: neighbouring samples lie side by side in memory.
    for t in range(masks.shape[1]):
        for b in range(masks.shape[0]):
            row, mask = codes[t, first + b], masks[b, t]
            here = np.int32(0)
            for j in range(mask.size):
                x = row[j]
                # Half rounds to even, which is zero.
                mask[j] = x > half
                here = np.int32(here + np.int32(1) - np.int32((x >= low) & (x <= high)))
            outside += np.int64(here)
    return outside
