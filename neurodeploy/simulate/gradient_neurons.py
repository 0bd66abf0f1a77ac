"""Compiled neurons for gradients, stepped forward in integers.

Arrays are sample-major, [B, T, N]. What the way back needs is one int32 per neuron-step, the
*mark*: v before reset, except that CLIPPED_HIGH or CLIPPED_LOW stand where v was clipped (both lie
just outside its range) and HELD where a refractory neuron only kept it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.gradient_lanes import CLIPPED_HIGH, CLIPPED_LOW, HELD, WIDE
from neurodeploy.simulate.gradient_step_lanes import dlif_lanes, lif_lanes

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


def _columns_signature(given: str) -> str:
    return (
        f"void(int64, {given}[::1], int64, int64, UniTuple(int32[::1], 4), int64,"
        "UniTuple(int32[::1], 2), int64, Tuple((boolean[::1], int64[::1])), int64, int64,"
        "int32[::1], uint8[::1], UniTuple(int64, 2), UniTuple(int64, 2), int64, int64)"
    )


#: Kinds of rules: which function steps a population.
PLAIN, EXTENDED, DLIF = 0, 1, 2


@compiled(_columns_signature("int32"), _columns_signature("float32"))
def step_columns(
    kind: Any, a: Any, at_a: Any, apart_a: Any, own: Any, here: Any, state: Any, at_state: Any,
    over: Any, shift: Any, first: Any, marks: Any, masks: Any, at: Any, apart: Any, steps: Any,
    size: Any,
) -> None:  # fmt: skip
    """Step ``size`` neurons of one sample, PLAIN or DLIF; see ``gradient_step_lanes``."""
    if kind == DLIF:
        dlif_lanes(
            a, at_a, apart_a, own, here, state, at_state, over, shift, first, marks, masks, at,
            apart, steps, size,
        )  # fmt: skip
    else:
        lif_lanes(
            a, at_a, apart_a, own, here, state, at_state, over, shift, first, marks, masks, at,
            apart, steps, size,
        )  # fmt: skip


_RULE = "UniTuple(int32[::1], 5)"
_REST = "UniTuple(int32[::1], 2), UniTuple(int32[::1], 5), int64[::1], boolean[::1], int64[::1]"
_MARKS = "int32[:,:,::1], uint8[:,:,::1]"


@compiled(*(f"void({given}[:,:,::1], {_REST}, {_MARKS})" for given in ("int32", "float32")))
def step_neurons(
    a: Any, start: Any, rule: Any, kind: Any, resets: Any, gain: Any, marks: Any, masks: Any
) -> None:
    """Run neurons over all steps.

    Parameters
    ----------
    a : int32, or float32 of whole numbers, [B, T or 1, at least N]
        Synaptic input; one row where it is the same at every step.
    start : (u, v), int32 [N]
    rule : (keep_u, keep_v, bias, threshold, taken), int32 [N]
        ``taken`` is what a spike takes off v, if the reset subtracts.
    kind : int64 [4]
        PLAIN, EXTENDED or DLIF; whether the reset subtracts; refractory steps; gain shift.
    resets : bool [T]
        Before which steps u, v and the wait are set to zero.
    gain : int64 [T]
        Of DLIF neurons.
    marks : int32 [B, T, N], masks : uint8 [B, T, at least N]
        Receive marks and spikes.
    """
    u0, v0 = start
    steps, size = marks.shape[1], u0.size
    u, v, wait = np.empty_like(u0), np.empty_like(v0), np.zeros_like(v0)
    rows, room, width = a.shape[1], a.shape[2], masks.shape[2]
    apart_a = room if rows > 1 else 0
    own = (rule[0], rule[1], rule[2], rule[3])
    flat_a, flat_marks, flat_masks = a.reshape(-1), marks.reshape(-1), masks.reshape(-1)
    for b in range(marks.shape[0]):
        u[:], v[:] = u0, v0
        at_a, at = b * rows * room, (b * steps * size, b * steps * width)
        if kind[0] != EXTENDED and size <= WIDE:
            step_columns(
                kind[0], flat_a, at_a, apart_a, own, 0, (u, v), 0, (resets, gain), kind[3], 0,
                flat_marks, flat_masks, at, (size, width), steps, size,
            )  # fmt: skip
            continue
        if kind[0] != EXTENDED:
            for t in range(steps):
                step_columns(
                    kind[0], flat_a, at_a + t * apart_a, 0, own, 0, (u, v), 0, (resets, gain),
                    kind[3], t, flat_marks, flat_masks, (at[0] + t * size, at[1] + t * width),
                    (0, 0), 1, size,
                )  # fmt: skip
            continue
        wait[:] = 0
        for t in range(steps):
            if resets[t]:
                u[:], v[:], wait[:] = 0, 0, 0
            extended_lif_row(
                a[b, t if rows > 1 else 0], u, v, wait, rule, kind[1] != 0, np.int32(kind[2]),
                marks[b, t], masks[b, t],
            )  # fmt: skip
