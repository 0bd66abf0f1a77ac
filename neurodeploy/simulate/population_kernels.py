"""Compiled neurons in int32, for inputs small enough that every count of overflows is exact.

One block is some samples times some steps, sample-major; a sample's state and parameters stay in
the first cache level. The decay ``D(x, k) = sign(x) * ((|x| * k) >> 12)`` needs 36 bits as
written. With ``x = 4096 h + l`` (h floored, 0 <= l < 4096) it equals
``h*k + ((l*k + (4095 if x < 0 else 0)) >> 12)``, which stays within 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import compiled, inlined, scratch
from neurodeploy.simulate.event_kernels import TABLES, add_fours
from neurodeploy.simulate.lanes import LANES
from neurodeploy.simulate.neuron_lanes import step_plain, step_plain_traced

#: |x| of a dlif from which ``x << 6`` leaves 24 bits.
X_LIMIT = 2**17
_HIGHEST, _LOWEST = np.int32(V_MAX), np.int32(-V_MAX)
_WRAP_ABOVE, _WRAP_BELOW = np.int32(2**23), np.int32(-(2**23))
_MODULUS = np.int32(2**24)
_FRACTION = np.int32(4095)
_ALIGN, _DECAY_BITS, _SIGN_BIT = np.int32(6), np.int32(12), np.int32(31)
_ZERO = np.int32(0)
_X_HIGH, _X_LOW = np.int32(X_LIMIT), np.int32(-X_LIMIT)


@inlined
def _decay(x: Any, k: Any) -> Any:
    """``D(x, k)`` in int32; 0 <= k <= 4096, x above -2^31."""
    high = np.int32(np.int32(x >> _DECAY_BITS) * k)
    toward_zero = np.int32(np.int32(x >> _SIGN_BIT) & _FRACTION)
    low = np.int32(np.int32(np.int32(x & _FRACTION) * k) + toward_zero)
    return np.int32(high + np.int32(low >> _DECAY_BITS))


#: Lanes count wraps in the lower half of 64 bits, and clamps in the upper one.
LOW_HALF = np.int64(2**32 - 1)
#: Neurons whose states and parameters stay in the first cache level for all steps of a block.
_TILE = 512

_COUNTERS = "Tuple((int64[:,::1], int64[:,::1]))"
_TRACES = "UniTuple(int32[:,:,:], 3)"


@inlined
def keep_row(values: Any, trace: Any) -> None:
    """Record the values of the neurons there are; arrays of values are padded."""
    for i in range(min(values.size, trace.size)):
        trace[i] = values[i]


@inlined
def rates(keep: Any) -> Any:
    """Return decay factors over 4096, for the vector instructions."""
    found = scratch(keep.size, np.float32)
    for i in range(keep.size):
        found[i] = np.float32(keep[i]) * np.float32(2.0**-12)
    return found


@inlined
def _step_row(a: Any, state: Any, parameters: Any, mask: Any, v_pre: Any, fired: Any) -> Any:
    """Step LIF neurons once; return the wraps of u and clamps of v."""
    u, v = state
    keep_u, keep_v, bias, threshold = parameters
    wraps, clamps = _ZERO, _ZERO
    for i in range(u.size):
        x = np.int32(_decay(u[i], keep_u[i]) + np.int32(a[i] << _ALIGN))
        over, under = x > _WRAP_ABOVE, x <= _WRAP_BELOW
        wraps = np.int32(wraps + np.int32(over) + np.int32(under))
        x = np.int32(x - (_MODULUS if over else _ZERO) + (_MODULUS if under else _ZERO))
        u[i] = x
        full = np.int32(np.int32(_decay(v[i], keep_v[i]) + x) + bias[i])
        y = min(max(full, _LOWEST), _HIGHEST)
        clamps = np.int32(clamps + np.int32(y != full))
        v_pre[i] = y
        spike = y > threshold[i]
        v[i] = _ZERO if spike else y
        mask[i] = spike
        fired[i] = np.int32(fired[i] + np.int32(spike))
    return wraps, clamps


@compiled(
    *(
        f"void({a}[:,:,::1], UniTuple(int32[:,::1], 2), UniTuple(int32[::1], 4), boolean,"
        f"uint8[::1], uint8[:,:,::1], int64, {_COUNTERS}, {_TRACES})"
        for a in ("int16", "int32")
    )
)
def step_lif(
    a: Any, state: Any, parameters: Any, quiet: Any, resets: Any, masks: Any, row: Any,
    counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``lif`` and ``readout`` neurons through a block; the rule is FixedPopulation's.

    Parameters
    ----------
    a : int16 or int32 [B, T or 1, at least N]
        Synaptic input; one row where it is the same at every step. N is padded to whole vectors
        with neurons that never fire: a loop's remainder costs as much as many neurons.
    state : (u, v), int32 [B, N]
        Changed in place.
    parameters : (keep_u, keep_v, bias, threshold), int32 [N]
        Decay factors ``4095 - decay_u`` and ``4096 - decay_v``; shifted bias and threshold, in
        units of v.
    quiet : bool
        Whether u cannot leave 24 bits.
    resets : uint8 [T]
        1 where a periodic reset opens the step.
    masks : uint8 [B, rows, N padded]
        Receives the spikes, from ``row`` on.
    row : int
    counters : (overflows, fired), int64 [B, 2] and [B, N]
        Added to: wraps of u and clamps of v; spikes of each neuron.
    traces : (u, v, v_pre), int32 [T, B, neurons], or empty
        Receive u, v after reset and v before it.
    """
    # Tuples are taken apart outside the loops: their arrays' reference counts cost time inside.
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_u, trace_v, trace_v_pre = traces
    all_u, all_v = state
    flat_a, flat_u, flat_v = a.reshape(-1), all_u.reshape(-1), all_v.reshape(-1)
    flat_masks = masks.reshape(-1)
    rows, width, a_rows, room = masks.shape[1], masks.shape[2], a.shape[1], a.shape[2]
    rate_u, rate_v = rates(keep_u), rates(keep_v)
    size, traced = bias.size, trace_u.size + trace_v.size + trace_v_pre.size > 0
    no_sum, v_pre = np.empty(0, np.int32), scratch(size, np.int32)
    fired_here = scratch(size, np.int32)
    none = np.int32(0)
    no_shifts = (none, none, none, none, none, none)
    for b in range(all_u.shape[0]):
        fired_here[:] = 0
        counted = np.int64(0)
        for low in range(0, size, _TILE):
            high = min(low + _TILE, size)
            for t in range(resets.size):
                if resets[t]:
                    all_u[b, low:high] = 0
                    all_v[b, low:high] = 0
                begin = (b * a_rows + (t if a_rows > 1 else 0)) * room
                mask = (b * rows + row + t) * width
                if quiet and not traced:
                    for i in range(low, high, LANES):
                        counted += step_plain(
                            flat_a, no_sum, no_sum, flat_u, flat_v, keep_u, keep_v, rate_u, rate_v,
                            bias, threshold, fired_here, v_pre, flat_masks,
                            (begin + i, i, b * size + i, mask + i), no_shifts,
                        )  # fmt: skip
                    continue
                for i in range(low, high, LANES):
                    counted += step_plain_traced(
                        flat_a, no_sum, no_sum, flat_u, flat_v, keep_u, keep_v, rate_u, rate_v,
                        bias, threshold, fired_here, v_pre, flat_masks,
                        (begin + i, i, b * size + i, mask + i), no_shifts,
                    )  # fmt: skip
                overflows[b, 0] += counted & LOW_HALF
                overflows[b, 1] += counted >> 32
                counted = np.int64(0)
                if trace_u.size:
                    keep_row(all_u[b, low:high], trace_u[t, b, low:])
                if trace_v.size:
                    keep_row(all_v[b, low:high], trace_v[t, b, low:])
                if trace_v_pre.size:
                    keep_row(v_pre[low:high], trace_v_pre[t, b, low:])
        overflows[b, 0] += counted & LOW_HALF
        overflows[b, 1] += counted >> 32
        for i in range(size):
            fired[b, i] += fired_here[i]


@compiled(
    *(
        f"void({TABLES}, {pool}[::1], int64, int64, int64, int32, int32[:,:,::1],"
        f"UniTuple(int32[:,::1], 2), UniTuple(int32[::1], 4), uint8[::1],"
        f"uint8[:,:,::1], int64, {_COUNTERS}, {_TRACES})"
        for pool in ("int16", "int32")
    )
)
def step_recurrent_lif(
    tables: Any, pool: Any, zero: Any, period: Any, delay: Any, right_shift: Any, a: Any,
    state: Any, parameters: Any, resets: Any, masks: Any, row: Any, counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step neurons whose own spikes return to them ``delay`` >= 1 steps later.

    ``tables``, ``pool``, ``zero``, ``period`` and ``right_shift`` are as in ``add_spikes``; the
    others as in ``step_lif``. ``a`` is the rest of the input, with a row for each step; it is
    changed.
    """
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_u, trace_v, trace_v_pre = traces
    all_u, all_v = state
    rows, width, room = masks.shape[1], masks.shape[2], a.shape[2]
    flat_masks, flat_a = masks.reshape(-1), a.reshape(-1)
    scratch = np.zeros(room, np.int32)
    v_pre = np.empty(bias.size, np.int32)
    fired_here = np.empty(bias.size, np.int32)
    for b in range(all_u.shape[0]):
        u, v = all_u[b], all_v[b]
        fired_here[:] = 0
        for t in range(resets.size):
            at, base = (b * rows + row + t - delay) * width, (b * a.shape[1] + t) * room
            if right_shift == 0:
                add_fours(flat_masks, at, width, tables, pool, zero, period, flat_a, base)
            else:
                add_fours(flat_masks, at, width, tables, pool, zero, period, scratch, 0)
                for i in range(room):
                    a[b, t, i] = np.int32(a[b, t, i] + np.int32(scratch[i] >> right_shift))
                    scratch[i] = 0
            if resets[t]:
                u[:] = 0
                v[:] = 0
            wraps, clamps = _step_row(
                a[b, t], (u, v), (keep_u, keep_v, bias, threshold), masks[b, row + t], v_pre,
                fired_here,
            )  # fmt: skip
            overflows[b, 0] += wraps
            overflows[b, 1] += clamps
            if trace_u.size:
                keep_row(u, trace_u[t, b])
            if trace_v.size:
                keep_row(v, trace_v[t, b])
            if trace_v_pre.size:
                keep_row(v_pre, trace_v_pre[t, b])
        for i in range(bias.size):
            fired[b, i] += fired_here[i]


@compiled(
    f"void(int32[:,:,::1], UniTuple(int32[:,::1], 3), UniTuple(int32[::1], 4), UniTuple(int32, 2),"
    f"uint8[::1], uint8[:,:,::1], int64, {_COUNTERS}, {_TRACES})"
)
def step_extended(
    a: Any, state: Any, parameters: Any, extension: Any, resets: Any, masks: Any, row: Any,
    counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``lif`` neurons with a subtractive reset, refractory steps, or both.

    Arguments as in ``step_lif``; ``state`` holds the steps still to wait as its third array, and
    ``extension`` is (1 if a spike subtracts the threshold else 0, refractory steps).
    """
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_u, trace_v, trace_v_pre = traces
    all_u, all_v, all_wait = state
    subtract, refractory = extension
    v_pre = np.empty(bias.size, np.int32)
    for b in range(all_u.shape[0]):
        u, v, wait = all_u[b], all_v[b], all_wait[b]
        for t in range(resets.size):
            a_t, mask = a[b, t if a.shape[1] > 1 else 0], masks[b, row + t]
            if resets[t]:
                u[:] = 0
                v[:] = 0
                wait[:] = 0
            wraps, clamps = _ZERO, _ZERO
            for i in range(bias.size):
                x = np.int32(_decay(u[i], keep_u[i]) + np.int32(a_t[i] << _ALIGN))
                over, under = x > _WRAP_ABOVE, x <= _WRAP_BELOW
                wraps = np.int32(wraps + np.int32(over) + np.int32(under))
                x = np.int32(x - (_MODULUS if over else _ZERO) + (_MODULUS if under else _ZERO))
                u[i] = x
                free = wait[i] == _ZERO
                full = np.int32(np.int32(_decay(v[i], keep_v[i]) + x) + bias[i])
                clipped = min(max(full, _LOWEST), _HIGHEST)
                clamps = np.int32(clamps + np.int32(free and clipped != full))
                y = clipped if free else v[i]
                v_pre[i] = y
                spike = free and y > threshold[i]
                after = np.int32(y - threshold[i]) if subtract else _ZERO
                v[i] = after if spike else y
                left = _ZERO if free else np.int32(wait[i] - np.int32(1))
                wait[i] = refractory if spike else left
                mask[i] = spike
                fired[b, i] += spike
            overflows[b, 0] += wraps
            overflows[b, 1] += clamps
            if trace_u.size:
                keep_row(u, trace_u[t, b])
            if trace_v.size:
                keep_row(v, trace_v[t, b])
            if trace_v_pre.size:
                keep_row(v_pre, trace_v_pre[t, b])


@compiled(
    f"void(int32[:,:,::1], int32[:,::1], UniTuple(int32[::1], 3), int32[::1], int32,"
    f"uint8[:,:,::1], int64, {_COUNTERS}, UniTuple(int32[:,:,:], 2))"
)
def step_dlif(
    a: Any, state: Any, parameters: Any, gain: Any, gain_shift: Any, masks: Any, row: Any,
    counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``dlif`` neurons through a block; arguments as in ``step_lif``, without u.

    ``gain`` int32 [T] holds the mantissas of the block's steps; the bias is in units of ``a``.
    """
    keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_v, trace_v_pre = traces
    size = bias.size
    v_pre = np.empty(size, np.int32)
    fired_here = np.empty(size, np.int32)
    for b in range(state.shape[0]):
        v = state[b]
        fired_here[:] = 0
        for t in range(gain.size):
            a_t = a[b, t if a.shape[1] > 1 else 0]
            mask = masks[b, row + t]
            m = gain[t]
            wide, clamps = _ZERO, _ZERO
            for i in range(size):
                x = np.int32(np.int32(np.int32(a_t[i] + bias[i]) * m) >> gain_shift)
                wide = np.int32(wide + np.int32(x >= _X_HIGH) + np.int32(x <= _X_LOW))
                full = np.int32(_decay(v[i], keep_v[i]) + np.int32(x << _ALIGN))
                y = min(max(full, _LOWEST), _HIGHEST)
                clamps = np.int32(clamps + np.int32(y != full))
                v_pre[i] = y
                spike = y > threshold[i]
                v[i] = _ZERO if spike else y
                mask[i] = spike
                fired_here[i] = np.int32(fired_here[i] + np.int32(spike))
            overflows[b, 0] += wide
            overflows[b, 1] += clamps
            if trace_v.size:
                keep_row(v, trace_v[t, b])
            if trace_v_pre.size:
                keep_row(v_pre, trace_v_pre[t, b])
        for i in range(size):
            fired[b, i] += fired_here[i]
