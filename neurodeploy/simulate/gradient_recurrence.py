"""Compiled components that feed back into themselves: all steps forward, and all steps back.

The neurons of a component's populations stand side by side; ``bounds`` [S + 1] says where each
population begins. Its inner weights are slots: int64 [slots, 12] with the columns SOURCE, TARGET
(populations), DELAY, EXPONENT, AT_24_BITS, FORM, FIRST, PANELS, ROW, OFFSET, LEFT and END. By FORM
a slot is ROWS_OF_INTEGERS: a block of rows from FIRST on, one per source neuron;
ROWS_OF_BYTES: ``ByteRows`` from FIRST to END, with its ROW, OFFSET and LEFT; or LISTED: compressed
rows by source, from FIRST on in ``indptr``. For the way back the first two are panels from PANELS
on. Arrays are sample-major, [B, T, N].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled
from neurodeploy.simulate.gradient_backward import back_columns
from neurodeploy.simulate.gradient_neurons import EXTENDED, extended_lif_row, step_columns
from neurodeploy.simulate.gradient_sums import (
    SPARE_EVENTS,
    add_rows,
    list_events,
    shifted,
    sum_bytes,
)
from neurodeploy.simulate.vector_products import ROWS, add_products

SOURCE, TARGET, DELAY, EXPONENT, AT_24_BITS, FORM, FIRST, PANELS, ROW, OFFSET, LEFT, END = range(12)
#: Forms of a slot.
LISTED, ROWS_OF_INTEGERS, ROWS_OF_BYTES = 0, 1, 2
#: Samples that go back through time together, so that a weight read once serves them all.
BLOCK = ROWS


@compiled(
    "void(int32[:,:,::1], UniTuple(int32[::1], 2), UniTuple(int32[::1], 5), int64[:,::1],"
    "int64[:,::1], boolean[:,::1], int64[::1], int64[:,::1], UniTuple(int32[::1], 4),"
    "uint8[::1], int64[::1], int32[:,:,::1], uint8[:,:,::1])"
)
def step_component(
    a: Any, start: Any, rule: Any, kinds: Any, gain: Any, resets: Any, bounds: Any, slots: Any,
    weights: Any, pool: Any, indptr: Any, marks: Any, masks: Any,
) -> None:  # fmt: skip
    """Run a component over all steps.

    Parameters
    ----------
    a : int32 [B, T, N]
        Synaptic input from outside; the input from inside is added to it.
    start, rule
        As in ``step_lif``, for all populations side by side.
    kinds : int64 [S, 4]
        PLAIN, EXTENDED or DLIF; whether the reset subtracts; refractory steps; gain shift.
    gain : int64 [S, T], resets : bool [S, T]
    bounds, slots, weights, pool, indptr
        See the module; ``weights`` is (rows of integers, flat; targets and weights of the
        compressed rows; how many targets each population has).
    marks : int32 [B, T, N], masks : uint8 [B, T, N]
        Receive marks and spikes.
    """
    keep_u, keep_v, bias, threshold, taken = rule
    flat, indices, sparse, sizes = weights
    u0, v0 = start
    u, v, wait = np.empty_like(u0), np.empty_like(v0), np.zeros_like(v0)
    own = (keep_u, keep_v, bias, threshold)
    steps, n, n_populations = marks.shape[1], marks.shape[2], bounds.size - 1
    flat_a, flat_marks, flat_masks = a.reshape(-1), marks.reshape(-1), masks.reshape(-1)
    room, width = a.shape[2], masks.shape[2]
    memory = min(steps, np.int64(1) + (slots[:, DELAY].max() if slots.shape[0] else 0))
    events = np.empty((memory, n_populations, sizes.max() + SPARE_EVENTS), np.int32)
    counts = np.zeros((memory, n_populations), np.int64)
    scratch = np.empty(sizes.max(), np.int32)
    scaled = np.empty(sizes.max() + SPARE_EVENTS, np.int32)
    room_of_bytes = slots[:, ROW].max() if slots.shape[0] else 0
    total_of_bytes = np.zeros(room_of_bytes, np.int32)
    more = np.zeros(room_of_bytes, np.int32)
    for b in range(marks.shape[0]):
        u[:], v[:], wait[:] = u0, v0, 0
        for t in range(steps):
            for p in range(n_populations):
                low, high = bounds[p], bounds[p + 1]
                a_p = a[b, t, low:high]
                for s in range(slots.shape[0]):
                    sent = t - slots[s, DELAY]
                    if slots[s, TARGET] != p or sent < 0:
                        continue
                    source, first = slots[s, SOURCE], slots[s, FIRST]
                    here = events[sent % memory, source]
                    count = counts[sent % memory, source]
                    form, exponent = slots[s, FORM], slots[s, EXPONENT]
                    if form == ROWS_OF_BYTES:
                        row = slots[s, ROW]
                        for k in range(count):
                            scaled[k] = np.int32(here[k] * row)
                        own_pool = pool[first : slots[s, END]]
                        sum_bytes(scaled, count, own_pool, row, total_of_bytes, more)
                        offsets = np.int32(count * slots[s, OFFSET])
                        left = np.int32(slots[s, LEFT])
                        right = np.int32(max(-exponent, 0))
                        for i in range(high - low):
                            part = np.int32(np.int32(total_of_bytes[i] + offsets) << left)
                            a_p[i] = np.int32(a_p[i] + np.int32(part >> right))
                        continue
                    total = scratch[: high - low]
                    total[:] = 0
                    if form == ROWS_OF_INTEGERS:
                        block = flat[first : first + sizes[source] * (high - low)]
                        add_rows(here, count, block.reshape((-1, high - low)), 0, total)
                    else:
                        for k in range(count):
                            j = first + here[k]
                            for place in range(indptr[j], indptr[j + 1]):
                                i = indices[place]
                                total[i] = np.int32(total[i] + sparse[place])
                    for i in range(total.size):
                        a_p[i] = np.int32(
                            a_p[i] + shifted(total[i], exponent, slots[s, AT_24_BITS] != 0)
                        )
                mark, mask = marks[b, t, low:high], masks[b, t, low:high]
                if kinds[p, 0] != EXTENDED:
                    at = (b * steps + t) * n + low
                    step_columns(
                        kinds[p, 0], flat_a, (b * steps + t) * room + low, 0, own, low, (u, v),
                        low, (resets[p], gain[p]), kinds[p, 3], t, flat_marks, flat_masks,
                        (at, (b * steps + t) * width + low), (0, 0), 1, high - low,
                    )  # fmt: skip
                else:
                    u_p, v_p, wait_p = u[low:high], v[low:high], wait[low:high]
                    if resets[p, t]:
                        u_p[:], v_p[:], wait_p[:] = 0, 0, 0
                    own_p = (
                        keep_u[low:high], keep_v[low:high], bias[low:high], threshold[low:high],
                        taken[low:high],
                    )  # fmt: skip
                    extended_lif_row(
                        a_p, u_p, v_p, wait_p, own_p, kinds[p, 1] != 0, np.int32(kinds[p, 2]),
                        mark, mask,
                    )  # fmt: skip
                counts[t % memory, p] = list_events(
                    flat_masks, (b * steps + t) * width + low, high - low, 1, events[t % memory, p]
                )


def _back_signature(real: str) -> str:
    cube = f"{real}[:,:,::1]"
    return (
        f"void(int32[:,:,::1], {cube}, {cube}, {cube}, UniTuple({real}[::1], 5), int32[::1], int64,"
        f"int64[:,::1], {real}[:,::1], boolean[:,::1], int64[::1], int64[:,::1],"
        f"UniTuple({real}[::1], 2), int32[::1], int64[::1], {cube})"
    )


@compiled(_back_signature("float32"), _back_signature("float64"))
def back_through_component(
    marks: Any, by_spikes: Any, by_v: Any, slopes: Any, own: Any, limits: Any, shape: Any,
    kinds: Any, factor: Any, resets: Any, bounds: Any, slots: Any, weights: Any, indices: Any,
    indptr: Any, by_a: Any,
) -> None:  # fmt: skip
    """Go back through all steps of a component.

    Arguments as in ``back_through_neurons``, for all populations side by side, and as in
    ``step_component``: ``factor`` real [S, T]; ``weights`` (dense ones in panels;
    compressed ones by source), real and shifted already; ``by_spikes`` holds what comes from
    outside.
    """
    flat, sparse = weights
    steps, n, n_populations = marks.shape[1], marks.shape[2], bounds.size - 1
    nothing = np.zeros(n, factor.dtype)
    total = np.zeros(BLOCK * n, factor.dtype)
    # Samples of a block that there are not: what is computed for them is never read.
    rest = np.zeros(BLOCK * n, factor.dtype)
    carried = (np.empty(BLOCK * n, factor.dtype), np.empty(BLOCK * n, factor.dtype))
    by_spikes_rows, by_v_rows = by_spikes.shape[1], by_v.shape[1]
    has_slopes = slopes.size > 0
    flat_by_spikes, flat_by_a = by_spikes.reshape(-1), by_a.reshape(-1)
    arrays = (
        marks.reshape(-1), total, by_v.reshape(-1) if by_v_rows else nothing,
        slopes.reshape(-1) if has_slopes else nothing, flat_by_a,
    )  # fmt: skip
    apart = (0, 0, 0, 0, 0)
    for begin in range(0, marks.shape[0], BLOCK):
        samples = min(np.int64(BLOCK), marks.shape[0] - begin)
        carried[0][:] = 0
        carried[1][:] = 0
        for t in range(steps - 1, -1, -1):
            for p in range(n_populations - 1, -1, -1):
                low, high = bounds[p], bounds[p + 1]
                size = high - low
                total[:] = 0
                if by_spikes_rows:
                    for r in range(samples):
                        row = (begin + r) * by_spikes_rows + (t if by_spikes_rows > 1 else 0)
                        for i in range(size):
                            total[r * n + i] = flat_by_spikes[row * n + low + i]
                for s in range(slots.shape[0]):
                    felt = t + slots[s, DELAY]
                    if slots[s, SOURCE] != p or felt >= steps:
                        continue
                    target, first = slots[s, TARGET], slots[s, FIRST]
                    base, end = bounds[target], bounds[target + 1]
                    if slots[s, FORM] != LISTED:
                        at, panels = (begin * steps + felt) * n + base, slots[s, PANELS]
                        if samples == BLOCK:
                            add_products(
                                flat_by_a,
                                at,
                                steps * n,
                                end - base,
                                flat,
                                panels,
                                total,
                                0,
                                n,
                                size,
                            )
                            continue
                        for r in range(samples):
                            for i in range(end - base):
                                rest[r * n + i] = flat_by_a[at + r * steps * n + i]
                        add_products(rest, 0, n, end - base, flat, panels, total, 0, n, size)
                        continue
                    for r in range(samples):
                        by_target = by_a[begin + r, felt]
                        for j in range(size):
                            at, last = indptr[first + j], indptr[first + j + 1]
                            for place in range(at, last):
                                part = sparse[place] * by_target[base + indices[place]]
                                total[r * n + j] += part
                for r in range(samples):
                    here = ((begin + r) * steps + t) * n + low
                    v_row = (begin + r) * by_v_rows + (t if by_v_rows > 1 else 0)
                    at_v = v_row * n + low if by_v_rows else low
                    at_slope = here if has_slopes else low
                    back_columns(
                        shape, arrays, (here, r * n, at_v, at_slope, here), apart, own, limits,
                        low, carried, r * n + low, (factor[p], resets[p]), t, 1, kinds[p, 1], size,
                    )  # fmt: skip
