"""Compiled synapses and neurons in int64: any input, every overflow noticed, u may saturate.

Used where a bound cannot rule out that a synaptic sum or u leaves 24 bits by more than one wrap,
and for ``overflow="saturate"``. Results in the wrapping mode are those of the int32 kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.neuron_kernels import X_LIMIT

_HIGHEST = np.int64(V_MAX)
_WRAP_AT = np.int64(2**23)
_MODULUS = np.int64(2**24)
_LIMIT_32 = np.int64(2**31)


@inlined
def _to_32_bits(x: Any, saturate: Any) -> Any:
    """Return what 32 bits keep of an int64: wrapped, or clipped if ``saturate``."""
    if saturate:
        return min(max(x, -_LIMIT_32), _LIMIT_32 - 1)
    return np.int64(np.int32(x))


@inlined
def _decay(x: Any, k: Any) -> Any:
    """``sign(x) * ((|x| * k) >> 12)``."""
    magnitude = (abs(x) * k) >> 12
    return magnitude if x >= 0 else -magnitude


@compiled("void(int32[:,:,::1], int64[:,::1], int64, boolean, int64[:,:,::1], uint8[:,:,::1])")
def add_wide(
    payloads: Any, rows: Any, exponent: Any, saturate: Any, a: Any, overflowed: Any
) -> None:
    """Add one synapse's sums to ``a``; mark where any partial result left 32 bits.

    Parameters
    ----------
    payloads : int32 [B, T, n_in]
        What the source sent: 0 or 1 for spikes.
    rows : int64 [n_in, n_out]
        Transposed weights.
    exponent : int
        Shift of the sum: left if positive, else right (floor).
    saturate : bool
        Clip at 32 bits instead of wrapping.
    a : int64 [B, T, n_out]
        Synaptic input, added to in place.
    overflowed : uint8 [B, T, n_out]
        Set to 1, never cleared.
    """
    scratch = np.empty(a.shape[2], np.int64)
    for b in range(payloads.shape[0]):
        for t in range(payloads.shape[1]):
            scratch[:] = 0
            for j in range(payloads.shape[2]):
                payload = payloads[b, t, j]
                if payload != 0:
                    for i in range(scratch.size):
                        scratch[i] += payload * rows[j, i]
            for i in range(scratch.size):
                kept = _to_32_bits(scratch[i], saturate)
                shifted = kept << exponent if exponent > 0 else kept >> -exponent
                part = _to_32_bits(shifted, saturate)
                total = a[b, t, i] + part
                a[b, t, i] = _to_32_bits(total, saturate)
                if kept != scratch[i] or part != shifted or a[b, t, i] != total:
                    overflowed[b, t, i] = 1


@compiled(
    "void(int64[:,:,::1], uint8[:,:,::1], boolean, int32[:,::1], int32[:,::1], int32[::1],"
    "int32[::1], int32[::1], int32[::1], uint8[:,:,::1], int64[:,::1], int64[:,::1],"
    "int32[:,:,:], int32[:,:,:], int32[:,:,:])"
)
def step_lif_wide(
    a: Any, overflowed: Any, saturate: Any, u: Any, v: Any, keep_u: Any, keep_v: Any, bias: Any,
    threshold: Any, masks: Any, overflows: Any, fired: Any, trace_u: Any, trace_v: Any,
    trace_v_pre: Any,
) -> None:  # fmt: skip
    """Step ``lif`` and ``readout`` neurons through a block; arguments as in ``step_lif``.

    ``overflowed`` uint8 [B, T, N] marks inputs that left 32 bits; they count as wraps of u.
    """
    size = u.shape[1]
    for b in range(masks.shape[0]):
        for t in range(masks.shape[1]):
            for i in range(size):
                shifted = a[b, t, i] << 6
                inner = _decay(np.int64(u[b, i]), np.int64(keep_u[i]))
                if saturate:
                    full_u = inner + shifted
                    new_u = min(max(full_u, -_HIGHEST), _HIGHEST)
                    left = new_u != full_u
                else:
                    kept = np.int64(np.int32(shifted))
                    full_u = inner + kept
                    left = kept != shifted or full_u > _WRAP_AT or full_u <= -_WRAP_AT
                    new_u = np.int64(np.int32(full_u))
                    if new_u > _WRAP_AT:
                        new_u -= _MODULUS
                    if new_u <= -_WRAP_AT:
                        new_u += _MODULUS
                u[b, i] = new_u
                full = _decay(np.int64(v[b, i]), np.int64(keep_v[i])) + new_u + bias[i]
                full = _to_32_bits(full, saturate)
                y = min(max(full, -_HIGHEST), _HIGHEST)
                overflows[b, 0] += left or overflowed[b, t, i] != 0
                overflows[b, 1] += y != full
                spike = y > threshold[i]
                v[b, i] = 0 if spike else y
                masks[b, t, i] = spike
                fired[b, i] += spike
                if trace_v_pre.size:
                    trace_v_pre[t, b, i] = y
            if trace_u.size:
                trace_u[t, b, :] = u[b]
            if trace_v.size:
                trace_v[t, b, :] = v[b]


@compiled(
    "void(int64[:,:,::1], uint8[:,:,::1], int32[:,::1], int32[::1], int32[::1], int32[::1],"
    "int32[::1], int64, uint8[:,:,::1], int64[:,::1], int64[:,::1], int32[:,:,:], int32[:,:,:])"
)
def step_dlif_wide(
    a: Any, overflowed: Any, v: Any, keep_v: Any, bias: Any, threshold: Any, gain: Any,
    gain_shift: Any, masks: Any, overflows: Any, fired: Any, trace_v: Any, trace_v_pre: Any,
) -> None:  # fmt: skip
    """Step ``dlif`` neurons through a block; arguments as in ``step_dlif``."""
    size = v.shape[1]
    for b in range(masks.shape[0]):
        for t in range(masks.shape[1]):
            m = np.int64(gain[t])
            for i in range(size):
                x = ((a[b, t, i] + bias[i]) * m) >> gain_shift
                full = _decay(np.int64(v[b, i]), np.int64(keep_v[i])) + (x << 6)
                y = min(max(full, -_HIGHEST), _HIGHEST)
                overflows[b, 0] += abs(x) >= X_LIMIT or overflowed[b, t, i] != 0
                overflows[b, 1] += y != full
                spike = y > threshold[i]
                v[b, i] = 0 if spike else y
                masks[b, t, i] = spike
                fired[b, i] += spike
                if trace_v_pre.size:
                    trace_v_pre[t, b, i] = y
            if trace_v.size:
                trace_v[t, b, :] = v[b]
