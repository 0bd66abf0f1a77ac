"""Compiled synapses: stretches of weights are added for each event, so silence costs nothing.

Kernels work on one block: some samples times some steps, sample-major ``[B, T, ...]``. What was
sent stands in rows of steps, with the last steps of the block before in front of the block's own,
so that a delay is an earlier row. Sums are int32 and wrap as Lava's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined, trailing_zeros
from neurodeploy.simulate.lanes import (
    LANES,
    MASK_ALIGNMENT,
    add_four,
    add_four_scaled,
    add_scaled,
    add_two,
    event_bits,
)

_LANES = np.int64(LANES)
_ONE = np.uint64(1)
#: Sources of one list that are added at once.
_AT_ONCE = 4
#: Steps whose events a byte counts.
_BYTE_COUNT = 255
#: Type of the tables of ``Segments``.
TABLES = "Tuple((int32[::1], int32[:,::1], int32[::1], int32[::1]))"


@inlined
def add_fours(
    masks: Any, at: Any, width: Any, tables: Any, pool: Any, zero: Any, period: Any, total: Any,
    base: Any,
) -> None:  # fmt: skip
    """Add what the events of one step send; up to four sources of one list at a time.

    ``masks``, ``pool`` and ``total`` are 1-D; the step's mask starts at ``at``, its sums at
    ``base``. Zeros stand in for missing sources: no branch to mispredict.
    """
    first, table, lists, offsets = tables
    words, word, begin = width // MASK_ALIGNMENT, np.int64(0), np.int64(0)
    for _ in range(words):
        # Words 0, period, 2 period, ..., then 1, period + 1, ...
        block = word * MASK_ALIGNMENT
        word += period
        if word >= words:
            begin += 1
            word = begin
        bits = event_bits(masks, at + block)
        while bits != 0:
            j = block + np.int64(trailing_zeros(bits))
            bits &= bits - _ONE
            shared = lists[j]
            p, q, r, s = np.int64(offsets[j]), zero, zero, zero
            # The next bit, or the same source again where there is none.
            j = block + np.int64(trailing_zeros(bits)) if bits != 0 else j
            if bits != 0 and lists[j] == shared:
                bits &= bits - _ONE
                q = np.int64(offsets[j])
                j = block + np.int64(trailing_zeros(bits)) if bits != 0 else j
                if bits != 0 and lists[j] == shared:
                    bits &= bits - _ONE
                    r = np.int64(offsets[j])
                    j = block + np.int64(trailing_zeros(bits)) if bits != 0 else j
                    if bits != 0 and lists[j] == shared:
                        bits &= bits - _ONE
                        s = np.int64(offsets[j])
            for k in range(first[shared], first[shared + 1]):
                i = base + np.int64(table[k, 0])
                w = np.int64(table[k, 2])
                for _vector in range(table[k, 1]):
                    add_four(total, i, pool, p + w, q + w, r + w, s + w)
                    i += _LANES
                    w += _LANES


@inlined
def add_pairs(
    masks: Any, at: Any, width: Any, tables: Any, pool: Any, zero: Any, period: Any, total: Any,
    base: Any,
) -> None:  # fmt: skip
    """Do the same, two at a time: for few sources to a list."""
    first, table, lists, offsets = tables
    words, word, begin = width // MASK_ALIGNMENT, np.int64(0), np.int64(0)
    for _ in range(words):
        # Words 0, period, 2 period, ..., then 1, period + 1, ...
        block = word * MASK_ALIGNMENT
        word += period
        if word >= words:
            begin += 1
            word = begin
        bits = event_bits(masks, at + block)
        while bits != 0:
            j = block + np.int64(trailing_zeros(bits))
            bits &= bits - _ONE
            shared = lists[j]
            p, q = np.int64(offsets[j]), zero
            if bits != 0:
                j = block + np.int64(trailing_zeros(bits))
                if lists[j] == shared:
                    bits &= bits - _ONE
                    q = np.int64(offsets[j])
            for k in range(first[shared], first[shared + 1]):
                i = base + np.int64(table[k, 0])
                w = np.int64(table[k, 2])
                for _vector in range(table[k, 1]):
                    add_two(total, i, pool, p + w, q + w)
                    i += _LANES
                    w += _LANES


@compiled(
    *(
        f"void(uint8[:,:,::1], int64, {TABLES}, {pool}[::1], int64, int64, int32, boolean,"
        f"int32[:,:,::1], {a}[:,:,::1])"
        for pool, a in (("int16", "int16"), ("int16", "int32"), ("int32", "int32"))
    )
)
def add_spikes(
    masks: Any, row: Any, tables: Any, pool: Any, zero: Any, period: Any, right_shift: Any,
    shared: Any, start: Any, a: Any,
) -> None:  # fmt: skip
    """Add one synapse's sums over spikes to ``a``.

    Parameters
    ----------
    masks : uint8 [B, rows, n_in padded to MASK_ALIGNMENT]
        1 where the source sent.
    row : int
        Row of ``masks`` that is felt in the block's first step.
    tables, pool, zero, period
        Of the synapse's ``Segments``.
    right_shift : int32
        Minus the exponent where it is negative: the sum is floored. Else 0.
    shared : bool
        Whether many sources have one list.
    start : int32 [B, 1, n_out padded], or empty
        What ``a`` holds before, the same at every step; if empty, ``a`` is added to.
    a : int16 or int32 [B, T, n_out padded]
        Synaptic input, changed in place; wraps at its width. int16 takes no right shift.
    """
    rows, width, size = masks.shape[1], masks.shape[2], a.shape[2]
    flat_masks, flat_a = masks.reshape(-1), a.reshape(-1)
    scratch = np.zeros(size, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1]):
            target = a[b, t]
            if start.size:
                first = start[b, 0]
                for i in range(size):
                    target[i] = first[i]
            at, base = (b * rows + row + t) * width, (b * a.shape[1] + t) * size
            if right_shift == 0:
                if shared:
                    add_fours(flat_masks, at, width, tables, pool, zero, period, flat_a, base)
                else:
                    add_pairs(flat_masks, at, width, tables, pool, zero, period, flat_a, base)
                continue
            add_fours(flat_masks, at, width, tables, pool, zero, period, scratch, 0)
            for i in range(size):
                target[i] = np.int32(target[i] + np.int32(scratch[i] >> right_shift))
                scratch[i] = 0


@inlined
def _add_scaled(
    sent: Any, events: Any, count: Any, tables: Any, pool: Any, zero: Any, total: Any, base: Any
) -> None:
    """Add what the ``count`` listed events send, times their payloads; up to four at a time."""
    first, table, lists, offsets = tables
    e, none = np.int64(0), np.int32(0)
    while e < count:
        j = events[e]
        shared, p, x = lists[j], np.int64(offsets[j]), sent[j]
        alike = np.int64(1)
        while alike < _AT_ONCE and e + alike < count and lists[events[e + alike]] == shared:
            alike += 1
        q, r, s, y, z, w = zero, zero, zero, none, none, none
        if alike > 1:
            j = events[e + 1]
            q, y = np.int64(offsets[j]), sent[j]
        if alike > 2:
            j = events[e + 2]
            r, z = np.int64(offsets[j]), sent[j]
        if alike > 3:
            j = events[e + 3]
            s, w = np.int64(offsets[j]), sent[j]
        e += alike
        for k in range(first[shared], first[shared + 1]):
            i, at = base + np.int64(table[k, 0]), np.int64(table[k, 2])
            for _vector in range(table[k, 1]):
                if alike == 1:
                    add_scaled(total, i, pool, (p + at,), (x,))
                else:
                    add_four_scaled(total, i, pool, (p + at, q + at, r + at, s + at), (x, y, z, w))
                i += _LANES
                at += _LANES


@compiled(
    *(
        f"void(int32[:,:,::1], int64, {TABLES}, {pool}[::1], int64, int32, int32[:,:,::1])"
        for pool in ("int16", "int32")
    )
)
def add_payloads(
    payloads: Any, row: Any, tables: Any, pool: Any, zero: Any, right_shift: Any, a: Any
) -> None:
    """Add one synapse's sums over graded payloads, int32 [B, rows, n_in], to ``a``.

    The other arguments are those of ``add_spikes``.
    """
    n, size = payloads.shape[2], a.shape[2]
    flat_a = a.reshape(-1)
    scratch = np.zeros(size, np.int32)
    events = np.empty(n + 1, np.int32)
    for b in range(a.shape[0]):
        for t in range(a.shape[1]):
            sent = payloads[b, row + t]
            count = np.int64(0)
            for j in range(n):
                events[count] = np.int32(j)  # overwritten where nothing was sent
                count += np.int64(sent[j] != 0)
            if right_shift == 0:
                base = (b * a.shape[1] + t) * size
                _add_scaled(sent, events, count, tables, pool, zero, flat_a, base)
                continue
            _add_scaled(sent, events, count, tables, pool, zero, scratch, np.int64(0))
            target = a[b, t]
            for i in range(size):
                target[i] = np.int32(target[i] + np.int32(scratch[i] >> right_shift))
                scratch[i] = 0


@compiled("int64(int32[:,:,::1])")
def largest_magnitude(a: Any) -> Any:
    """Return the largest magnitude in an array."""
    low, high = np.int32(0), np.int32(0)
    flat = a.reshape(-1)
    for i in range(flat.size):
        low, high = min(low, flat[i]), max(high, flat[i])
    return max(-np.int64(low), np.int64(high))


@compiled(
    "void(uint8[:,:,::1], int64, int64, int64, int64, uint8[:,:,::1], int64[:,::1])",
    "void(uint16[:,:,::1], int64, int64, int64, int64, uint8[:,:,::1], int64[:,::1])",
)
def mark_codes(
    codes: Any, first_step: Any, first_sample: Any, steps: Any, row: Any, masks: Any, sent: Any
) -> None:
    """Mark the codes of one block that are not zero.

    Parameters
    ----------
    codes : uint8 or uint16 [T, B, n]
    first_step, first_sample, steps : int
        Where the block begins, and its length.
    row : int
        Row of ``masks`` for the first step.
    masks : uint8 [B, at least row + T, n padded]
        Receives 0 or 1.
    sent : int64 [B, n]
        Added to: events of each input.
    """
    batch, n = sent.shape
    counted = np.zeros((batch, n), np.uint8)
    for begin in range(0, steps, _BYTE_COUNT):
        # Steps outside: codes of neighbouring samples lie side by side in memory.
        for t in range(begin, min(begin + _BYTE_COUNT, steps)):
            for b in range(batch):
                source = codes[first_step + t, first_sample + b]
                mask, here = masks[b, row + t], counted[b]
                for j in range(n):
                    event = np.uint8(source[j] != 0)
                    mask[j] = event
                    here[j] = np.uint8(here[j] + event)
        for b in range(batch):
            for j in range(n):
                sent[b, j] += counted[b, j]
                counted[b, j] = 0


@compiled("void(uint8[:,:,::1], int64, uint8[:,:,:])")
def copy_spikes(masks: Any, row: Any, spikes: Any) -> None:
    """Copy masks from ``row`` on to a record, [T, B, n]; rows of few neurons, so no calls."""
    steps, batch, n = spikes.shape
    for t in range(steps):
        for b in range(batch):
            source, target = masks[b, row + t], spikes[t, b]
            for i in range(n):
                target[i] = source[i]
