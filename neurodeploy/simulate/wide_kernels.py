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


_INPUT = "Tuple((int64[:,:,::1], uint8[:,:,::1]))"
_COUNTERS = "Tuple((int64[:,::1], int64[:,::1]))"


@compiled(
    f"void({_INPUT}, boolean, UniTuple(int32[:,::1], 2), UniTuple(int32[::1], 4),"
    f"uint8[:,:,::1], {_COUNTERS}, UniTuple(int32[:,:,:], 3))"
)
def step_lif_wide(
    source: Any, saturate: Any, state: Any, parameters: Any, masks: Any, counters: Any, traces: Any
) -> None:
    """Step ``lif`` and ``readout`` neurons through a block; other arguments as in ``step_lif``.

    ``source`` is the synaptic input, int64 [B, T, N], and where it left 32 bits, uint8: that
    counts as a wrap of u.
    """
    a, overflowed = source
    u, v = state
    keep_u, keep_v, bias, threshold = parameters
    overflows, fired = counters
    for b in range(masks.shape[0]):
        for t in range(masks.shape[1]):
            for i in range(bias.size):
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
                if traces[2].size:
                    traces[2][t, b, i] = y
            if traces[0].size:
                traces[0][t, b, :] = u[b]
            if traces[1].size:
                traces[1][t, b, :] = v[b]


@compiled(
    f"void({_INPUT}, int32[:,::1], UniTuple(int32[::1], 3), int32[::1], int64,"
    f"uint8[:,:,::1], {_COUNTERS}, UniTuple(int32[:,:,:], 2))"
)
def step_dlif_wide(
    source: Any, state: Any, parameters: Any, gain: Any, gain_shift: Any,
    masks: Any, counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``dlif`` neurons through a block; arguments as in ``step_dlif``; ``source`` as above."""
    a, overflowed = source
    keep_v, bias, threshold = parameters
    overflows, fired = counters
    for b in range(masks.shape[0]):
        v = state[b]
        for t in range(masks.shape[1]):
            m = np.int64(gain[t])
            for i in range(bias.size):
                x = ((a[b, t, i] + bias[i]) * m) >> gain_shift
                full = _decay(np.int64(v[i]), np.int64(keep_v[i])) + (x << 6)
                y = min(max(full, -_HIGHEST), _HIGHEST)
                overflows[b, 0] += abs(x) >= X_LIMIT or overflowed[b, t, i] != 0
                overflows[b, 1] += y != full
                spike = y > threshold[i]
                v[i] = 0 if spike else y
                masks[b, t, i] = spike
                fired[b, i] += spike
                if traces[1].size:
                    traces[1][t, b, i] = y
            if traces[0].size:
                traces[0][t, b, :] = v
