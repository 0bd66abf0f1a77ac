"""Vector instructions of neurons that step forward in integers: LANES neurons, all steps.

Their states stay in registers from step to step. Arrays are 1-D, places are int64, and nothing
checks bounds: callers do. Marks are explained in ``gradient_neurons``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import inlined
from neurodeploy.simulate.gradient_lanes import CLIPPED_HIGH, CLIPPED_LOW
from neurodeploy.simulate.vector_code import LANES, Lanes

_LONG, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_WIDE = ir.VectorType(_LONG, LANES)


def _same(kind: Any, value: int) -> Any:
    return ir.Constant(kind, [value] * LANES)


def _decay(builder: Any, x: Any, k: Any) -> Any:
    """``decay_32`` of ``gradient_neurons``."""
    fraction, bits = _same(x.type, 4095), _same(x.type, 12)
    high = builder.mul(builder.ashr(x, bits), k)
    toward_zero = builder.and_(builder.ashr(x, _same(x.type, 31)), fraction)
    low = builder.add(builder.mul(builder.and_(x, fraction), k), toward_zero)
    return builder.add(high, builder.ashr(low, bits))


def _limited(builder: Any, full: Any) -> tuple[Any, Any]:
    """Return v, limited to its range, and the mark."""
    low, high = _same(full.type, -V_MAX), _same(full.type, V_MAX)
    under, over = builder.icmp_signed("<", full, low), builder.icmp_signed(">", full, high)
    limited = builder.select(under, low, builder.select(over, high, full))
    mark = builder.select(under, _same(full.type, CLIPPED_LOW), full)
    return limited, builder.select(over, _same(full.type, CLIPPED_HIGH), mark)


def _lif(builder: Any, a: Any, u: Any, v: Any, own: dict[str, Any], gain: Any) -> tuple[Any, ...]:
    """Return u, v limited, and the mark of one step of LIF neurons."""
    del gain
    whole = a.type
    x = builder.add(_decay(builder, u, own["keep_u"]), builder.shl(a, _same(whole, 6)))
    zero, modulus = ir.Constant(whole, None), _same(whole, 2**24)
    over = builder.icmp_signed(">", x, _same(whole, 2**23))
    under = builder.icmp_signed("<=", x, _same(whole, -(2**23)))
    x = builder.sub(x, builder.select(over, modulus, zero))
    x = builder.add(x, builder.select(under, modulus, zero))
    full = builder.add(builder.add(_decay(builder, v, own["keep_v"]), x), own["bias"])
    return (x, *_limited(builder, full))


def _dlif(builder: Any, a: Any, u: Any, v: Any, own: dict[str, Any], gain: Any) -> tuple[Any, ...]:
    """Return the same of DLIF neurons, whose sum is held in 64 bits; they have no u."""
    factor, shift = gain
    wide = builder.add(builder.sext(a, _WIDE), builder.sext(own["bias"], _WIDE))
    x = builder.ashr(builder.mul(wide, factor), shift)
    # Beyond 2^18 it clips v whatever v was.
    for sign, edge in (("<", -(2**18)), (">", 2**18)):
        limit = ir.Constant(_WIDE, [edge] * LANES)
        x = builder.select(builder.icmp_signed(sign, x, limit), limit, x)
    added = builder.shl(builder.trunc(x, a.type), _same(a.type, 6))
    return (u, *_limited(builder, builder.add(_decay(builder, v, own["keep_v"]), added)))


def _make_step(rule: Any, vectors: int, *, partial: bool = False) -> Any:
    """Return an intrinsic that takes ``vectors`` * LANES neurons through ``steps`` steps.

    Arguments
    ---------
    a : int32, or float32 of whole numbers
        Synaptic input, from ``at_a`` on; steps lie ``apart_a`` apart (0: always the same).
    own : (keep_u, keep_v, bias, threshold), int32
        From ``here`` on.
    state : (u, v), int32
        From ``at_state`` on; changed.
    over : (resets, bool; gain, int64)
        From ``first`` on, one for each step.
    shift : int64
        The gain's.
    marks : int32, masks : uint8
        Receive marks and spikes, from ``at[0]`` and ``at[1]`` on, ``apart[0]`` and ``apart[1]``
        from step to step.
    steps, width : int64
        ``partial``: only ``width`` neurons.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (a, at_a, apart_a, own_arrays, here, state, at_state, over, shift, first, marks, masks, at,
         apart, steps, width) = arguments  # fmt: skip
        kinds = signature.args
        items: Any = cgutils.unpack_tuple
        variable: Any = cgutils.alloca_once_value  # becomes a register
        v = Lanes(context, builder, types.float32, width if partial else None)
        floating = kinds[0].dtype == types.float32
        places, strides = items(builder, at, 2), items(builder, apart, 2)
        base_a = v.pointer(kinds[0], a, at_a)
        base_mark = v.pointer(kinds[10], marks, places[0])
        base_mask = v.pointer(kinds[11], masks, places[1])
        resets, gains = items(builder, over, 2)
        owns, states, state_at = [], [], []
        for n in range(vectors):
            column = builder.add(here, ir.Constant(_LONG, n * LANES))
            owns.append(
                {
                    name: v.load(v.pointer(kind, array, column), _INT)
                    for name, kind, array in zip(
                        ("keep_u", "keep_v", "bias", "threshold"),
                        kinds[3], items(builder, own_arrays, 4), strict=True,
                    )
                }
            )  # fmt: skip
            column = builder.add(at_state, ir.Constant(_LONG, n * LANES))
            pointers = [
                v.pointer(kind, array, column)
                for kind, array in zip(kinds[5], items(builder, state, 2), strict=True)
            ]
            state_at.append(pointers)
            states.append([variable(builder, v.load(p, _INT)) for p in pointers])
        shifts = v.spread(shift, _WIDE)
        zero = ir.Constant(v.whole, None)
        with cgutils.for_range(builder, steps) as loop:
            t = loop.index
            step = builder.add(first, t)
            byte = builder.load(v.pointer(kinds[7][0], resets, step), typ=_BYTE)
            reset = v.spread(
                builder.icmp_signed("!=", byte, ir.Constant(_BYTE, 0)),
                ir.VectorType(ir.IntType(1), LANES),
            )
            factor = builder.load(v.pointer(kinds[7][1], gains, step), typ=_LONG)
            gain = (v.spread(factor, _WIDE), shifts)
            row_a = builder.gep(base_a, [builder.mul(t, apart_a)])
            row_mark = builder.gep(base_mark, [builder.mul(t, strides[0])])
            row_mask = builder.gep(base_mask, [builder.mul(t, strides[1])])
            for n in range(vectors):
                column = ir.Constant(_LONG, n * LANES)
                given = builder.gep(row_a, [column])
                sums = v.load(given) if floating else v.load(given, _INT)
                sums = builder.fptosi(sums, v.whole) if floating else sums
                u, membrane = (builder.select(reset, zero, builder.load(x)) for x in states[n])
                u, membrane, mark = rule(builder, sums, u, membrane, owns[n], gain)
                spike = builder.icmp_signed(">", membrane, owns[n]["threshold"])
                builder.store(u, states[n][0])
                builder.store(builder.select(spike, zero, membrane), states[n][1])
                v.store(mark, builder.gep(row_mark, [column]))
                bytes_ = builder.zext(spike, ir.VectorType(_BYTE, LANES))
                v.store(bytes_, builder.gep(row_mask, [column]))
        for own_state, pointers in zip(states, state_at, strict=True):
            for value, pointer in zip(own_state, pointers, strict=True):
                v.store(builder.load(value), pointer)
        return context.get_dummy_value()

    def typed(
        typing_context: Any, a: Any, at_a: Any, apart_a: Any, own: Any, here: Any, state: Any,
        at_state: Any, over: Any, shift: Any, first: Any, marks: Any, masks: Any, at: Any,
        apart: Any, steps: Any, width: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(
            a, at_a, apart_a, own, here, state, at_state, over, shift, first, marks, masks, at,
            apart, steps, width,
        )  # fmt: skip
        return signature, generate

    return intrinsic(typed)


def _make_columns(rule: Any) -> Any:
    """Return a function that does the same for any number of neurons, ``size`` in place of width.

    Two vectors of neurons at a time: each waits for its own last step.
    """
    two, one, some = _make_step(rule, 2), _make_step(rule, 1), _make_step(rule, 1, partial=True)

    @inlined
    def step(
        a: Any, at_a: Any, apart_a: Any, own: Any, here: Any, state: Any, at_state: Any, over: Any,
        shift: Any, first: Any, marks: Any, masks: Any, at: Any, apart: Any, steps: Any, size: Any,
    ) -> None:  # fmt: skip
        i = np.int64(0)
        while i < size:
            places, left = (at[0] + i, at[1] + i), size - i
            if left >= 2 * LANES:
                two(
                    a, at_a + i, apart_a, own, here + i, state, at_state + i, over, shift, first,
                    marks, masks, places, apart, steps, left,
                )  # fmt: skip
                i += LANES
            elif left >= LANES:
                one(
                    a, at_a + i, apart_a, own, here + i, state, at_state + i, over, shift, first,
                    marks, masks, places, apart, steps, left,
                )  # fmt: skip
            else:
                some(
                    a, at_a + i, apart_a, own, here + i, state, at_state + i, over, shift, first,
                    marks, masks, places, apart, steps, left,
                )  # fmt: skip
            i += LANES

    return step


lif_lanes: Any = _make_columns(_lif)
dlif_lanes: Any = _make_columns(_dlif)
