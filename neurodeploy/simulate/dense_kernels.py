"""Compiled LIF neurons with dense synapses in front: sums and neurons in one pass.

What a step's events add never leaves the first cache level, and weights take one byte each. One
synapse brings what others sent, a second one the population's own spikes; either may be missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined, scratch
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
from neurodeploy.simulate.event_lists import compresses, list_word
from neurodeploy.simulate.lanes import LANES, MASK_ALIGNMENT, event_bits
from neurodeploy.simulate.neuron_lanes import (
    step_summed,
    step_summed_wrapping,
    step_traced,
    step_twice_summed,
)
from neurodeploy.simulate.population_kernels import LOW_HALF, keep_row, rates

_ONE = np.uint64(1)
#: Places that are written at once, for one word of a mask.
_UNROLLED = 8
#: Sources up to which listing bit by bit has its first event sooner, and is no slower.
_FEW = 2 * MASK_ALIGNMENT

_COUNTERS = "Tuple((int64[:,::1], int64[:,::1]))"
_TRACES = "UniTuple(int32[:,:,:], 3)"
_SYNAPSE = "Tuple((uint8[:,:,::1], int64, uint8[::1], int64, int64, int32, int32))"


@inlined
def _list_events(masks: Any, at: Any, width: Any, row: Any, zero: Any, events: Any) -> Any:
    """List where the rows of a mask's events begin; return how many there are.

    Places of zeros follow, up to a whole group.
    """
    count = np.int64(0)
    for block in range(0, width, MASK_ALIGNMENT):
        bits = event_bits(masks, at + block)
        if width > _FEW and compresses():
            count += list_word(bits, np.int64(block), np.int64(row), events, count)
            continue
        here, after = count, count + count_bits(bits)
        # A fixed number at a time: what is too much is overwritten. No branch to mispredict.
        while here < after:
            for k in range(_UNROLLED):
                events[here + k] = np.int32((block + lowest_bit(bits)) * row)
                bits &= bits - _ONE
            here += _UNROLLED
        count = after
    for k in range(ROWS_AT_ONCE):
        events[count + k] = np.int32(zero)
    return count


@inlined
def _sum_rows(events: Any, first: Any, last: Any, pool: Any, row: Any, total: Any) -> None:
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
def _sum_events(events: Any, count: Any, pool: Any, row: Any, total: Any, more: Any) -> None:
    """Write the sums of the rows of all events; ``more`` is scratch."""
    _sum_rows(events, np.int64(0), min(count, EVENTS_PER_SUM), pool, row, total)
    for first in range(EVENTS_PER_SUM, count, EVENTS_PER_SUM):
        _sum_rows(events, first, min(first + EVENTS_PER_SUM, count), pool, row, more)
        for i in range(row):
            total[i] = np.int32(total[i] + more[i])


@compiled(
    f"void(int32[:,:,::1], {_SYNAPSE}, {_SYNAPSE}, UniTuple(int32[:,::1], 2),"
    f"UniTuple(int32[::1], 4), boolean, uint8[::1], uint8[:,:,::1], int64, {_COUNTERS}, {_TRACES})"
)
def step_dense_lif(
    start: Any, incoming: Any, own: Any, state: Any, parameters: Any, quiet: Any, resets: Any,
    masks: Any, row: Any, counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``lif`` and ``readout`` neurons through a block, their dense synapses included.

    Parameters
    ----------
    start : int32 [B, T or 1, at least N]
        The rest of the synaptic input; one row where it is the same at every step.
    incoming, own : (masks, row, pool, bytes in a row, offset, left, right)
        Synapses. Masks uint8 [B, rows, n padded to MASK_ALIGNMENT] of the source and the row of
        the block's first step; the weights of ``ByteRows``, whose sums are shifted to the left,
        then to the right. Empty masks: there is no such synapse. ``own`` may read ``masks``.
    state, parameters, quiet, resets, masks, row, counters, traces
        As in ``population_kernels.step_lif``.
    """
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_u, trace_v, trace_v_pre = traces
    all_u, all_v = state
    masks_0, row_0, pool_0, bytes_0, offset_0, left_0, right_0 = incoming
    masks_1, row_1, pool_1, bytes_1, offset_1, left_1, right_1 = own
    flat_0, flat_1, flat_masks = masks_0.reshape(-1), masks_1.reshape(-1), masks.reshape(-1)
    flat_start, flat_u, flat_v = start.reshape(-1), all_u.reshape(-1), all_v.reshape(-1)
    rows_0, width_0 = masks_0.shape[1], masks_0.shape[2]
    rows_1, width_1 = masks_1.shape[1], masks_1.shape[2]
    rows, width, start_rows, room = masks.shape[1], masks.shape[2], start.shape[1], start.shape[2]
    rate_u, rate_v = rates(keep_u), rates(keep_v)
    size, steps = bias.size, resets.size
    traced = trace_u.size + trace_v.size + trace_v_pre.size > 0
    events = np.empty(max(width_0, width_1) + MASK_ALIGNMENT, np.int32)
    most = max(bytes_0, bytes_1, size)
    total_0, total_1, more = (
        scratch(most, np.int32), scratch(most, np.int32), scratch(most, np.int32)
    )  # fmt: skip
    v_pre, fired_here = scratch(size, np.int32), scratch(size, np.int32)
    for b in range(all_u.shape[0]):
        fired_here[:] = 0
        counted = np.int64(0)
        for t in range(steps):
            minus_0, minus_1 = np.int32(0), np.int32(0)
            if width_0:
                at = (b * rows_0 + row_0 + t) * width_0
                count = _list_events(flat_0, at, width_0, bytes_0, pool_0.size - bytes_0, events)
                _sum_events(events, count, pool_0, bytes_0, total_0, more)
                minus_0 = np.int32(count * offset_0)
            if width_1:
                at = (b * rows_1 + row_1 + t) * width_1
                count = _list_events(flat_1, at, width_1, bytes_1, pool_1.size - bytes_1, events)
                _sum_events(events, count, pool_1, bytes_1, total_1, more)
                minus_1 = np.int32(count * offset_1)
            if resets[t]:
                all_u[b, :] = 0
                all_v[b, :] = 0
            begin = (b * start_rows + (t if start_rows > 1 else 0)) * room
            mask = (b * rows + row + t) * width
            shifts = (minus_0, left_0, right_0, minus_1, left_1, right_1)
            if traced:
                for i in range(0, size, LANES):
                    counted += step_traced(
                        flat_start, total_0, total_1, flat_u, flat_v, keep_u, keep_v, rate_u,
                        rate_v, bias, threshold, fired_here, v_pre, flat_masks,
                        (begin + i, i, b * size + i, mask + i), shifts,
                    )  # fmt: skip
            elif width_1:
                for i in range(0, size, LANES):
                    counted += step_twice_summed(
                        flat_start, total_0, total_1, flat_u, flat_v, keep_u, keep_v, rate_u,
                        rate_v, bias, threshold, fired_here, v_pre, flat_masks,
                        (begin + i, i, b * size + i, mask + i), shifts,
                    )  # fmt: skip
            elif quiet:
                for i in range(0, size, LANES):
                    counted += step_summed(
                        flat_start, total_0, total_1, flat_u, flat_v, keep_u, keep_v, rate_u,
                        rate_v, bias, threshold, fired_here, v_pre, flat_masks,
                        (begin + i, i, b * size + i, mask + i), shifts,
                    )  # fmt: skip
            else:
                for i in range(0, size, LANES):
                    counted += step_summed_wrapping(
                        flat_start, total_0, total_1, flat_u, flat_v, keep_u, keep_v, rate_u,
                        rate_v, bias, threshold, fired_here, v_pre, flat_masks,
                        (begin + i, i, b * size + i, mask + i), shifts,
                    )  # fmt: skip
            if traced:
                overflows[b, 0] += counted & LOW_HALF
                overflows[b, 1] += counted >> 32
                counted = np.int64(0)
                if trace_u.size:
                    keep_row(all_u[b], trace_u[t, b])
                if trace_v.size:
                    keep_row(all_v[b], trace_v[t, b])
                if trace_v_pre.size:
                    keep_row(v_pre, trace_v_pre[t, b])
        overflows[b, 0] += counted & LOW_HALF
        overflows[b, 1] += counted >> 32
        for i in range(size):
            fired[b, i] += fired_here[i]
