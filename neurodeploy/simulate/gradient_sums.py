"""Compiled synaptic sums for gradients: weight rows per event, shifts and wraps.

Arrays are sample-major, [B, T, N]. Integer sums wrap at 32 bits, as Lava's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.dense_lanes import (
    BYTES,
    EVENTS_PER_SUM,
    ROWS_AT_ONCE,
    count_bits,
    lowest_bit,
    sum_four,
    sum_one,
    sum_two,
)
from neurodeploy.simulate.event_kernels import TABLES, add_fours, add_pairs
from neurodeploy.simulate.lanes import MASK_ALIGNMENT, event_bits

_ONE = np.uint64(1)
#: Places that are written at once, for one word of a mask.
_UNROLLED = 8
#: Room that a list of events needs beyond the events themselves.
SPARE_EVENTS = _UNROLLED + ROWS_AT_ONCE


@inlined
def list_events(masks: Any, at: Any, size: Any, step: Any, events: Any) -> Any:
    """Write ``step`` times the places that are not zero among ``size`` from ``at`` on.

    Returns how many; there must be room for SPARE_EVENTS more, and for reading whole words.
    """
    count = np.int64(0)
    for block in range(0, size, MASK_ALIGNMENT):
        bits = event_bits(masks, at + block)
        left = size - block
        if left < MASK_ALIGNMENT:
            bits &= (_ONE << np.uint64(left)) - _ONE
        here, after = count, count + count_bits(bits)
        # A fixed number at a time: what is too much is overwritten. No branch to mispredict.
        while here < after:
            for k in range(_UNROLLED):
                events[here + k] = np.int32((block + lowest_bit(bits)) * step)
                bits &= bits - _ONE
            here += _UNROLLED
        count = after
    return count


@inlined
def _sum_bytes(events: Any, first: Any, last: Any, pool: Any, row: Any, total: Any) -> None:
    """Write the sums of the rows of at most EVENTS_PER_SUM events."""
    column = np.int64(0)
    while row - column >= 4 * BYTES:
        sum_four(events, first, last, pool, column, total, column)
        column += 4 * BYTES
    if row - column >= 2 * BYTES:
        sum_two(events, first, last, pool, column, total, column)
        column += 2 * BYTES
    if row - column >= BYTES:
        sum_one(events, first, last, pool, column, total, column)


@inlined
def sum_bytes(events: Any, count: Any, pool: Any, row: Any, total: Any, more: Any) -> None:
    """Write the sums of ``ByteRows`` over events, which are the rows' places; ``more`` is scratch.

    The offset of each row is left out.
    """
    for k in range(ROWS_AT_ONCE):
        events[count + k] = np.int32(pool.size - row)
    _sum_bytes(events, np.int64(0), min(count, np.int64(EVENTS_PER_SUM)), pool, row, total)
    for first in range(EVENTS_PER_SUM, count, EVENTS_PER_SUM):
        _sum_bytes(events, first, min(first + EVENTS_PER_SUM, count), pool, row, more)
        for i in range(row):
            total[i] = np.int32(total[i] + more[i])


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
    "void(uint8[:,:,::1], int64, uint8[::1], int64, int32, int32, int32, int64, int32[::1],"
    "int32[:,:,::1])"
)
def add_bytes(
    masks: Any, size: Any, pool: Any, row: Any, offset: Any, left: Any, right: Any, delay: Any,
    start: Any, a: Any,
) -> None:  # fmt: skip
    """Add the weights of all events, one byte each, to ``a``.

    Parameters
    ----------
    masks : uint8 [B, T, n padded to MASK_ALIGNMENT]
        Not zero where the source sent.
    size : int
        n.
    pool, row, offset, left
        Of ``ByteRows``.
    right : int32
        How far sums are shifted back afterwards, floored.
    delay : int
        Steps after which it is felt.
    start : int32 [N], or empty
        What ``a`` holds before; if empty, ``a`` is added to.
    a : int32 [B, T, at least N]
    """
    flat = masks.reshape(-1)
    steps, width = masks.shape[1], masks.shape[2]
    events = np.empty(width + SPARE_EVENTS, np.int32)
    total, more = np.zeros(row, np.int32), np.zeros(row, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1]):
            target = a[b, t]
            if t < delay:
                for i in range(start.size):
                    target[i] = start[i]
                continue
            count = list_events(flat, (b * steps + t - delay) * width, size, row, events)
            sum_bytes(events, count, pool, row, total, more)
            offsets = np.int32(count * offset)
            if start.size:
                for i in range(start.size):
                    part = np.int32(np.int32(total[i] + offsets) << left) >> right
                    target[i] = np.int32(start[i] + part)
            else:
                for i in range(min(target.size, total.size)):
                    part = np.int32(np.int32(total[i] + offsets) << left) >> right
                    target[i] = np.int32(target[i] + part)


@compiled(
    *(
        f"void(uint8[:,:,::1], {TABLES}, {pool}[::1], int64, int64, boolean, int32, int64,"
        "int32[::1], int32[:,:,::1])"
        for pool in ("int16", "int32")
    )
)
def add_stretches(
    masks: Any, tables: Any, pool: Any, zero: Any, period: Any, shared: Any, right: Any,
    delay: Any, start: Any, a: Any,
) -> None:  # fmt: skip
    """Add the weights of all events, in ``Segments``, to ``a`` [B, T, N padded to vectors].

    ``shared``: whether many sources have one list. Other arguments as in ``add_bytes``.
    """
    flat, flat_a = masks.reshape(-1), a.reshape(-1)
    steps, width, size = masks.shape[1], masks.shape[2], a.shape[2]
    scratch = np.zeros(size + MASK_ALIGNMENT, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1]):
            target = a[b, t]
            for i in range(start.size):
                target[i] = start[i]
            if t < delay:
                continue
            at, base = (b * steps + t - delay) * width, (b * a.shape[1] + t) * size
            if right == 0:
                if shared:
                    add_fours(flat, at, width, tables, pool, zero, period, flat_a, base)
                else:
                    add_pairs(flat, at, width, tables, pool, zero, period, flat_a, base)
                continue
            add_fours(flat, at, width, tables, pool, zero, period, scratch, 0)
            for i in range(size):
                target[i] = np.int32(target[i] + np.int32(scratch[i] >> right))
                scratch[i] = 0


@compiled(
    "void(uint8[:,:,::1], int64, int16[:,::1], int64, int64, int32[:,:,::1])",
    "void(uint8[:,:,::1], int64, int32[:,::1], int64, int64, int32[:,:,::1])",
)
def add_events(masks: Any, size: Any, rows: Any, exponent: Any, delay: Any, a: Any) -> None:
    """Add the weight rows of all events to ``a``.

    Parameters
    ----------
    masks, size, delay
        As in ``add_bytes``.
    rows : int16 or int32 [n, N]
        Transposed weights.
    exponent : int
        Shift of the sum.
    a : int32 [B, T, at least N]
        Added to.
    """
    flat, n_out = masks.reshape(-1), rows.shape[1]
    steps, width = masks.shape[1], masks.shape[2]
    events = np.empty(width + SPARE_EVENTS, np.int32)
    scratch = np.empty(n_out, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1] - delay):
            count = list_events(flat, (b * steps + t) * width, size, 1, events)
            target = a[b, t + delay, :n_out]
            if exponent == 0:
                add_rows(events, count, rows, 0, target)
                continue
            scratch[:] = 0
            add_rows(events, count, rows, 0, scratch)
            for i in range(n_out):
                target[i] = np.int32(target[i] + shifted(scratch[i], exponent, False))


@compiled(
    "void(int32[:,:,::1], int64[::1], int32[::1], int32[::1], int64, boolean, int64,int32[:,:,::1])"
)
def add_scattered(
    payloads: Any, indptr: Any, indices: Any, weights: Any, exponent: Any, at_24_bits: Any,
    delay: Any, a: Any,
) -> None:  # fmt: skip
    """Add the sums of payloads int32 [B, T, n] of any size to ``a``; rows stand by source."""
    scratch = np.empty(a.shape[2], np.int32)  # columns that pad ``a`` stay zero
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
    "int64(float32[:,:,::1], int64, float64, int64, uint8[:,:,::1])",
    "int64(float64[:,:,::1], int64, float64, int64, uint8[:,:,::1])",
)
def mark_codes(codes: Any, first: Any, highest: Any, channels: Any, masks: Any) -> Any:
    """Mark the codes [T, all samples, n] of samples from ``first`` on that do not round to zero.

    ``masks`` [B, T, at least n] receives 0 or 1, ``channels`` last. Returns how many codes are not
    within 0..``highest``; a number that is none counts too.
    """
    outside = np.int64(0)
    real = codes.dtype.type
    low, high, half = real(0), real(highest), real(0.5)
    pixels = codes.shape[2] // channels
    # Steps outside: neighbouring samples lie side by side in memory.
    for t in range(masks.shape[1]):
        for b in range(masks.shape[0]):
            row, mask = codes[t, first + b], masks[b, t]
            here = np.int32(0)
            if channels == 1:
                for j in range(row.size):
                    x = row[j]
                    # Half rounds to even, which is zero.
                    mask[j] = x > half
                    here = np.int32(here + np.int32(1) - np.int32((x >= low) & (x <= high)))
            else:
                for channel in range(channels):
                    for pixel in range(pixels):
                        x = row[channel * pixels + pixel]
                        mask[pixel * channels + channel] = x > half
                        here = np.int32(here + np.int32(1) - np.int32((x >= low) & (x <= high)))
            outside += np.int64(here)
    return outside


@compiled(
    "void(float32[:,::1], int32[::1], float32[:,::1])",
    "void(float64[:,::1], int32[::1], float64[:,::1])",
)
def spread(values: Any, kind: Any, out: Any) -> None:
    """``out[r, i] = values[r, kind[i]]`` for every row r."""
    for r in range(out.shape[0]):
        source, target = values[r], out[r]
        for i in range(kind.size):
            target[i] = source[kind[i]]
