"""Compiled synapses and neurons in int64: any input, every overflow noticed, u may saturate.

Used where a bound cannot rule out that a synaptic sum or u leaves 24 bits by more than one wrap,
and for ``overflow="saturate"``. Results in the wrapping mode are those of the int32 kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.event_kernels import TABLES
from neurodeploy.simulate.population_kernels import X_LIMIT

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
def _to_24_bits(x: Any, saturate: Any) -> Any:
    """Return what a convolution keeps of a sum: -2^23 .. 2^23 - 1."""
    if saturate:
        return min(max(x, -_WRAP_AT), _WRAP_AT - 1)
    return ((x + _WRAP_AT) & (_MODULUS - 1)) - _WRAP_AT


@inlined
def _decay(x: Any, k: Any) -> Any:
    """``sign(x) * ((|x| * k) >> 12)``."""
    magnitude = (abs(x) * k) >> 12
    return magnitude if x >= 0 else -magnitude


_SUMS = "Tuple((int64[:,:,::1], uint8[:,:,::1]))"


@compiled(
    *(
        f"void(int32[:,:,::1], {TABLES}, {pool}[::1], int64, int64, boolean, boolean, {_SUMS})"
        for pool in ("int16", "int32")
    )
)
def add_exact(
    payloads: Any, tables: Any, pool: Any, left: Any, exponent: Any, is_conv: Any, saturate: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Add the sums over one delay of one synapse; mark where any partial result left its width.

    Parameters
    ----------
    payloads : int32 [B, T, n_in]
        What the source sent: 0 or 1 for spikes.
    tables, pool, left
        Of ``Segments``; weights are ``pool >> left``.
    exponent : int
        Shift of the sum: left if positive, else right (floor).
    is_conv : bool
        The sum keeps 24 bits, not 32.
    saturate : bool
        Clip instead of wrapping.
    sums : (total, overflowed), int64 and uint8 [B, T, n_out padded]
        Added to in place; set to 1, never cleared.
    """
    first, table, lists, offsets = tables
    total, overflowed = sums
    scratch = np.zeros(total.shape[2], np.int64)
    for b in range(payloads.shape[0]):
        for t in range(payloads.shape[1]):
            for j in range(payloads.shape[2]):
                payload = np.int64(payloads[b, t, j])
                if payload == 0:
                    continue
                for k in range(first[lists[j]], first[lists[j] + 1]):
                    begin, place = table[k, 0], offsets[j] + table[k, 2]
                    for i in range(table[k, 3]):
                        scratch[begin + i] += payload * (np.int64(pool[place + i]) >> left)
            for i in range(scratch.size):
                if is_conv:
                    kept = _to_24_bits(scratch[i], saturate)
                else:
                    kept = _to_32_bits(scratch[i], saturate)
                shifted = kept << exponent if exponent > 0 else kept >> -exponent
                part = _to_32_bits(shifted, saturate)
                full = total[b, t, i] + part
                total[b, t, i] = _to_32_bits(full, saturate)
                if kept != scratch[i] or part != shifted or total[b, t, i] != full:
                    overflowed[b, t, i] = 1
                scratch[i] = 0


@compiled(f"void(int64[:,:,::1], boolean, {_SUMS})")
def add_synapse(part: Any, saturate: Any, sums: Any) -> None:
    """Add the sum of one synapse, int64 [B, T, n_out padded], to the synaptic input."""
    total, overflowed = sums
    for b in range(part.shape[0]):
        for t in range(part.shape[1]):
            for i in range(part.shape[2]):
                full = total[b, t, i] + part[b, t, i]
                total[b, t, i] = _to_32_bits(full, saturate)
                if total[b, t, i] != full:
                    overflowed[b, t, i] = 1


_COUNTERS = "Tuple((int64[:,::1], int64[:,::1]))"


@compiled(
    f"void({_SUMS}, boolean, UniTuple(int32[:,::1], 3), UniTuple(int32[::1], 4),"
    f"UniTuple(int32, 2), uint8[::1], uint8[:,:,::1], int64, {_COUNTERS},"
    "UniTuple(int32[:,:,:], 3))"
)
def step_exact(
    source: Any, saturate: Any, state: Any, parameters: Any, extension: Any, resets: Any,
    masks: Any, row: Any, counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``lif`` and ``readout`` neurons through a block; others as in ``step_extended``.

    ``source`` is the synaptic input, int64 [B, T, N padded], and where it left its width, uint8:
    that counts as a wrap of u.
    """
    a, overflowed = source
    u, v, wait = state
    keep_u, keep_v, bias, threshold = parameters
    subtract, refractory = extension
    overflows, fired = counters
    for b in range(u.shape[0]):
        for t in range(resets.size):
            if resets[t]:
                u[b, :] = 0
                v[b, :] = 0
                wait[b, :] = 0
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
                overflows[b, 0] += left or overflowed[b, t, i] != 0
                free = wait[b, i] == 0
                y = np.int64(v[b, i])
                if free:
                    full = _decay(y, np.int64(keep_v[i])) + new_u + bias[i]
                    full = _to_32_bits(full, saturate)
                    y = min(max(full, -_HIGHEST), _HIGHEST)
                    overflows[b, 1] += y != full
                spike = free and y > threshold[i]
                if spike:
                    v[b, i] = y - threshold[i] if subtract else 0
                    wait[b, i] = refractory
                else:
                    v[b, i] = y
                    wait[b, i] = 0 if free else wait[b, i] - 1
                masks[b, row + t, i] = spike
                fired[b, i] += spike
                if i < traces[2].shape[2]:
                    traces[2][t, b, i] = y
            for i in range(traces[0].shape[2]):
                traces[0][t, b, i] = u[b, i]
            for i in range(traces[1].shape[2]):
                traces[1][t, b, i] = v[b, i]


@compiled(
    f"void({_SUMS}, int32[:,::1], UniTuple(int32[::1], 3), int32[::1], int64,"
    f"uint8[:,:,::1], int64, {_COUNTERS}, UniTuple(int32[:,:,:], 2))"
)
def step_dlif_exact(
    source: Any, state: Any, parameters: Any, gain: Any, gain_shift: Any, masks: Any, row: Any,
    counters: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``dlif`` neurons through a block; arguments as in ``step_dlif``; ``source`` as above."""
    a, overflowed = source
    keep_v, bias, threshold = parameters
    overflows, fired = counters
    for b in range(state.shape[0]):
        v = state[b]
        for t in range(gain.size):
            m = np.int64(gain[t])
            for i in range(bias.size):
                x = ((a[b, t, i] + bias[i]) * m) >> gain_shift
                full = _decay(np.int64(v[i]), np.int64(keep_v[i])) + (x << 6)
                y = min(max(full, -_HIGHEST), _HIGHEST)
                overflows[b, 0] += abs(x) >= X_LIMIT or overflowed[b, t, i] != 0
                overflows[b, 1] += y != full
                spike = y > threshold[i]
                v[i] = 0 if spike else y
                masks[b, row + t, i] = spike
                fired[b, i] += spike
                if i < traces[1].shape[2]:
                    traces[1][t, b, i] = y
            for i in range(traces[0].shape[2]):
                traces[0][t, b, i] = v[i]
