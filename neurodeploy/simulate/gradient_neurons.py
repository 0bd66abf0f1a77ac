"""Compiled neurons for gradients: steps forward in integers, and back through time.

Arrays are sample-major, [B, T, N]. What the way back needs is one int32 per neuron-step, the
*mark*: v before reset, except that CLIPPED_HIGH or CLIPPED_LOW stand where v was clipped (both lie
just outside its range) and HELD where a refractory neuron only kept it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import compiled, inlined

CLIPPED_HIGH, CLIPPED_LOW, HELD = V_MAX + 1, -V_MAX - 1, -(2**31)
#: Numbers of the surrogate shapes.
TRIANGLE, RECTANGLE, SUPERSPIKE = 0, 1, 2

_HIGHEST, _LOWEST = np.int32(V_MAX), np.int32(-V_MAX)
_HIGH_MARK, _LOW_MARK, _HELD = np.int32(CLIPPED_HIGH), np.int32(CLIPPED_LOW), np.int32(HELD)
_HALF, _LOW_HALF, _MODULUS = np.int32(2**23), np.int32(-(2**23)), np.int32(2**24)
_FRACTION = np.int32(4095)
_ALIGN, _DECAY_BITS, _SIGN_BIT = np.int32(6), np.int32(12), np.int32(31)
_ZERO, _ONE = np.int32(0), np.int32(1)


@inlined
def decay_32(x: Any, k: Any) -> Any:
    """``sign(x) * ((|x| * k) >> 12)`` of an int32, 0 <= k <= 4096, without 64 bits.

    With ``x = 4096 h + l`` it is ``h*k + ((l*k + (4095 if x < 0 else 0)) >> 12)``.
    """
    high = np.int32(np.int32(x >> _DECAY_BITS) * k)
    toward_zero = np.int32(np.int32(x >> _SIGN_BIT) & _FRACTION)
    low = np.int32(np.int32(np.int32(x & _FRACTION) * k) + toward_zero)
    return np.int32(high + np.int32(low >> _DECAY_BITS))


@inlined
def wrap_24(x: Any) -> Any:
    """Wrap an int32 once into (-2^23, 2^23]."""
    down = _MODULUS if x > _HALF else _ZERO
    up = _MODULUS if x <= _LOW_HALF else _ZERO
    return np.int32(np.int32(x - down) + up)


@inlined
def lif_row(a: Any, u: Any, v: Any, rule: Any, mark: Any, mask: Any) -> None:
    """One step of plain LIF neurons. ``a`` [N] holds whole numbers; u and v change in place."""
    keep_u, keep_v, bias, threshold, _ = rule
    for i in range(v.size):
        x = np.int32(decay_32(u[i], keep_u[i]) + np.int32(np.int32(a[i]) << _ALIGN))
        x = wrap_24(x)
        u[i] = x
        full = np.int32(np.int32(decay_32(v[i], keep_v[i]) + x) + bias[i])
        y = min(max(full, _LOWEST), _HIGHEST)
        spike = y > threshold[i]
        v[i] = _ZERO if spike else y
        mask[i] = spike
        marked = _HIGH_MARK if full > _HIGHEST else y
        mark[i] = _LOW_MARK if full < _LOWEST else marked


@inlined
def extended_lif_row(
    a: Any, u: Any, v: Any, wait: Any, rule: Any, subtracts: Any, steps: Any, mark: Any, mask: Any
) -> None:
    """One step of LIF neurons with a subtractive reset or refractory steps."""
    keep_u, keep_v, bias, threshold, taken = rule
    for i in range(v.size):
        x = np.int32(decay_32(u[i], keep_u[i]) + np.int32(np.int32(a[i]) << _ALIGN))
        u[i] = wrap_24(x)
        if wait[i] > 0:
            wait[i] -= _ONE
            mask[i] = 0
            mark[i] = _HELD
            continue
        full = np.int32(np.int32(decay_32(v[i], keep_v[i]) + u[i]) + bias[i])
        y = min(max(full, _LOWEST), _HIGHEST)
        spike = y > threshold[i]
        mask[i] = spike
        if spike:
            wait[i] = steps
        v[i] = (np.int32(y - taken[i]) if subtracts else _ZERO) if spike else y
        marked = _HIGH_MARK if full > _HIGHEST else y
        mark[i] = _LOW_MARK if full < _LOWEST else marked


@inlined
def dlif_row(a: Any, v: Any, rule: Any, gain: Any, shift: Any, mark: Any, mask: Any) -> None:
    """One step of DLIF neurons; their sum is held in 64 bits."""
    _, keep_v, bias, threshold, _ = rule
    for i in range(v.size):
        x = ((np.int64(np.int32(a[i])) + np.int64(bias[i])) * gain) >> shift
        full = np.int64(decay_32(v[i], keep_v[i])) + (x << 6)
        y = np.int32(min(max(full, np.int64(_LOWEST)), np.int64(_HIGHEST)))
        spike = y > threshold[i]
        v[i] = _ZERO if spike else y
        mask[i] = spike
        marked = _HIGH_MARK if full > _HIGHEST else y
        mark[i] = _LOW_MARK if full < _LOWEST else marked


_RULE = "UniTuple(int32[::1], 5)"
_MARKS = "int32[:,:,::1], uint8[:,:,::1]"


@compiled(
    f"void(int32[:,:,::1], UniTuple(int32[::1], 2), {_RULE}, int64, int64, boolean[::1], {_MARKS})",
    f"void(float32[:,:,::1], UniTuple(int32[::1], 2), {_RULE}, int64, int64, boolean[::1],"
    f"{_MARKS})",
)
def step_lif(
    a: Any, start: Any, rule: Any, subtracts: Any, refractory: Any, resets: Any,
    marks: Any, masks: Any,
) -> None:  # fmt: skip
    """Run LIF neurons over all steps.

    Parameters
    ----------
    a : int32, or float32 of whole numbers, [B, T or 1, N]
        Synaptic input; one row where it is the same at every step.
    start : (u, v), int32 [N]
    rule : (keep_u, keep_v, bias, threshold, taken), int32 [N]
        ``taken`` is what a spike takes off v, if ``subtracts``.
    subtracts, refractory : int
        Whether the reset is subtractive; steps of waiting after a spike.
    resets : bool [T]
        Before which steps u, v and the wait are set to zero.
    marks : int32 [B, T, N], masks : uint8 [B, T, N]
        Receive marks and spikes.
    """
    u0, v0 = start
    extended = subtracts != 0 or refractory > 0
    u, v, wait = np.empty_like(u0), np.empty_like(v0), np.zeros_like(v0)
    for b in range(marks.shape[0]):
        u[:], v[:], wait[:] = u0, v0, 0
        for t in range(marks.shape[1]):
            if resets[t]:
                u[:], v[:], wait[:] = 0, 0, 0
            a_t = a[b, t if a.shape[1] > 1 else 0]
            if extended:
                extended_lif_row(
                    a_t, u, v, wait, rule, subtracts != 0, np.int32(refractory),
                    marks[b, t], masks[b, t],
                )  # fmt: skip
            else:
                lif_row(a_t, u, v, rule, marks[b, t], masks[b, t])


@compiled(f"void(int32[:,:,::1], int32[::1], {_RULE}, int64[::1], int64, {_MARKS})")
def step_dlif(
    a: Any, start: Any, rule: Any, gain: Any, gain_shift: Any, marks: Any, masks: Any
) -> None:
    """Run DLIF neurons over all steps; ``start`` is v, ``gain`` int64 [T]; else as ``step_lif``."""
    v = np.empty_like(start)
    for b in range(marks.shape[0]):
        v[:] = start
        for t in range(marks.shape[1]):
            a_t = a[b, t if a.shape[1] > 1 else 0]
            dlif_row(a_t, v, rule, gain[t], gain_shift, marks[b, t], masks[b, t])


@inlined
def _back_one(
    i: Any, m: Any, rise: Any, by_spikes: Any, by_v: Any, limits: Any, keep: Any, subtracts: Any,
    factor: Any, carried: Any, by_a: Any,
) -> None:  # fmt: skip
    """One neuron, one step back; ``rise`` is the slope of its spike."""
    keep_u, keep_v = keep
    carried_u, carried_v = carried
    zero, one = keep_u.dtype.type(0), keep_u.dtype.type(1)
    into = by_v[i] + carried_v[i]
    alive = one if subtracts | (m <= limits[i]) else zero
    inside = zero if (m > _HIGHEST) | (m < _LOWEST) else one
    g = inside * (rise * by_spikes[i] + alive * into)
    by_u = g + keep_u[i] * carried_u[i]
    carried_v[i] = into if m == _HELD else keep_v[i] * g
    carried_u[i] = by_u
    by_a[i] = factor * by_u


@inlined
def back_row(
    mark: Any, by_spikes: Any, by_v: Any, limits: Any, surrogate: Any, keep: Any, shape: Any,
    subtracts: Any, factor: Any, carried: Any, by_a: Any,
) -> None:  # fmt: skip
    """One step back in time; ``carried`` (by u, by v) hold what the next step passes on.

    With g the gradient by what is added to v: ``g = slope * by_spikes + alive * (by_v + carried)``
    and zero where v was clipped; ``alive`` is zero where a spike set v to zero. A held neuron
    passes its gradient on and takes none.
    """
    threshold, reach, peak = surrogate
    real, zero = reach.dtype.type, reach.dtype.type(0)
    # One loop for each shape: a branch inside keeps the loop from becoming vector instructions.
    if shape == TRIANGLE:
        for i in range(mark.size):
            m = mark[i]
            away = reach[i] - abs(real(m) - threshold[i])
            rise = (away if away > zero else zero) * peak[i]
            _back_one(i, m, rise, by_spikes, by_v, limits, keep, subtracts, factor, carried, by_a)
    elif shape == RECTANGLE:
        for i in range(mark.size):
            m = mark[i]
            rise = peak[i] if abs(real(m) - threshold[i]) < reach[i] else zero
            _back_one(i, m, rise, by_spikes, by_v, limits, keep, subtracts, factor, carried, by_a)
    else:
        for i in range(mark.size):
            m = mark[i]
            away = reach[i] + abs(real(m) - threshold[i])
            # A plain division would be checked for zero, and not become vector instructions.
            rise = np.true_divide(peak[i], away * away)
            _back_one(i, m, rise, by_spikes, by_v, limits, keep, subtracts, factor, carried, by_a)


def _back_signature(real: str) -> str:
    cube = f"{real}[:,:,::1]"
    return (
        f"void(int32[:,:,::1], {cube}, {cube}, int32[::1], UniTuple({real}[::1], 3),"
        f"UniTuple({real}[::1], 2), int64, int64, {real}[::1], boolean[::1], {cube})"
    )


@compiled(_back_signature("float32"), _back_signature("float64"))
def back_through_neurons(
    marks: Any, by_spikes: Any, by_v: Any, limits: Any, surrogate: Any, keep: Any, shape: Any,
    subtracts: Any, factor: Any, resets: Any, by_a: Any,
) -> None:  # fmt: skip
    """Go back through all steps of a population.

    Parameters
    ----------
    marks : int32 [B, T, N]
    by_spikes, by_v : real [B, T, N], or empty
        Gradient by the spikes, and by v after reset.
    limits : int32 [N]
        Thresholds within the range of v.
    surrogate : (threshold, reach, peak), real [N]
        ``reach`` is the width in units of v. With d the distance from the threshold the slope is
        ``peak * max(0, reach - d)``, ``peak`` where d < reach, or ``peak / (reach + d)^2``.
    keep : (u, v), real [N]
        Decays as slopes, 0..1.
    shape : int
        TRIANGLE, RECTANGLE or SUPERSPIKE.
    subtracts : int
        Whether v goes on after a spike.
    factor : real [T]
        d(added to v) / d(synaptic sum).
    resets : bool [T]
        Before which steps u and v were set to zero.
    by_a : real [B, T, N]
        Receives the gradient by the synaptic sum.
    """
    nothing = np.zeros_like(keep[0])
    carried = (np.empty_like(nothing), np.empty_like(nothing))
    for b in range(marks.shape[0]):
        carried[0][:] = 0
        carried[1][:] = 0
        for t in range(marks.shape[1] - 1, -1, -1):
            spikes_row = by_spikes[b, t] if by_spikes.size else nothing
            v_row = by_v[b, t] if by_v.size else nothing
            back_row(
                marks[b, t], spikes_row, v_row, limits, surrogate, keep, shape, subtracts != 0,
                factor[t], carried, by_a[b, t],
            )  # fmt: skip
            if resets[t]:
                carried[0][:] = 0
                carried[1][:] = 0
