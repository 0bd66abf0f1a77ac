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
from neurodeploy.simulate.compiling import compiled, inlined

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


_COUNTERS = "Tuple((int64[:,::1], int64[:,::1]))"


@compiled(
    f"void(int32[:,:,::1], UniTuple(int32[:,::1], 2), UniTuple(int32[::1], 4),"
    f"uint8[:,:,::1], {_COUNTERS}, UniTuple(int32[:,:,:], 3))"
)
def step_lif(a: Any, state: Any, parameters: Any, masks: Any, counters: Any, traces: Any) -> None:
    """Step ``lif`` and ``readout`` neurons through a block; the rule is FixedPopulation's.

    Parameters
    ----------
    a : int32 [B, T or 1, N]
        Synaptic input; one row where it is the same at every step.
    state : (u, v), int32 [B, N]
        Changed in place.
    parameters : (keep_u, keep_v, bias, threshold), int32 [N]
        Decay factors ``4095 - decay_u`` and ``4096 - decay_v``; shifted bias and threshold, in
        units of v.
    masks : uint8 [B, T, N padded]
        Receives the spikes.
    counters : (overflows, fired), int64 [B, 2] and [B, N]
        Added to: wraps of u and clamps of v; spikes of each neuron.
    traces : (u, v, v_pre), int32 [T, B, N], or empty
        Receive u, v after reset and v before it.
    """
    # Tuples are taken apart outside the loops: their arrays' reference counts cost time inside.
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    trace_u, trace_v, trace_v_pre = traces
    all_u, all_v = state
    size = bias.size
    v_pre = np.empty(size, np.int32)
    fired_here = np.empty(size, np.int32)
    for b in range(masks.shape[0]):
        u, v = all_u[b], all_v[b]
        fired_here[:] = 0
        for t in range(masks.shape[1]):
            a_t = a[b, t if a.shape[1] > 1 else 0]
            mask = masks[b, t]
            wraps, clamps = _ZERO, _ZERO
            for i in range(size):
                x = np.int32(_decay(u[i], keep_u[i]) + np.int32(a_t[i] << _ALIGN))
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
                fired_here[i] = np.int32(fired_here[i] + np.int32(spike))
            overflows[b, 0] += wraps
            overflows[b, 1] += clamps
            if trace_u.size:
                trace_u[t, b, :] = u
            if trace_v.size:
                trace_v[t, b, :] = v
            if trace_v_pre.size:
                trace_v_pre[t, b, :] = v_pre
        for i in range(size):
            fired[b, i] += fired_here[i]


@compiled(
    f"void(int32[:,:,::1], int32[:,::1], UniTuple(int32[::1], 3), int32[::1], int32,"
    f"uint8[:,:,::1], {_COUNTERS}, UniTuple(int32[:,:,:], 2))"
)
def step_dlif(
    a: Any, state: Any, parameters: Any, gain: Any, gain_shift: Any,
    masks: Any, counters: Any, traces: Any,
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
    for b in range(masks.shape[0]):
        v = state[b]
        fired_here[:] = 0
        for t in range(masks.shape[1]):
            a_t = a[b, t if a.shape[1] > 1 else 0]
            mask = masks[b, t]
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
                trace_v[t, b, :] = v
            if trace_v_pre.size:
                trace_v_pre[t, b, :] = v_pre
        for i in range(size):
            fired[b, i] += fired_here[i]
