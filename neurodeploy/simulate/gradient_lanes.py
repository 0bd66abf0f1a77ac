"""Vector instructions of neurons on their way back through time: LANES neurons, all steps.

What a step passes on stays in registers. Arrays are 1-D, places are int64, and nothing checks
bounds: callers do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.compiling import inlined
from neurodeploy.simulate.vector_code import LANES, Lanes

CLIPPED_HIGH, CLIPPED_LOW, HELD = V_MAX + 1, -V_MAX - 1, -(2**31)
#: Surrogates: slopes that are computed from the mark, and slopes that are given.
TRIANGLE, RECTANGLE, SUPERSPIKE, GIVEN = range(4)

#: Neurons from which a population goes step by step, all of it: where steps lie far apart, memory
#: is not fetched ahead.
WIDE = 1024

_LONG, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)


def _rise(v: Lanes, builder: Any, shape: int, mark: Any, own: dict[str, Any]) -> Any:
    """Return the slope of a spike at ``mark``."""
    zero, reach, peak = ir.Constant(v.real, None), own["reach"], own["peak"]
    away = v.magnitude(builder.fsub(builder.sitofp(mark, v.real), own["threshold"]))
    if shape == TRIANGLE:
        left = builder.fsub(reach, away)
        above = builder.fcmp_ordered(">", left, zero)
        return builder.fmul(builder.select(above, left, zero), peak)
    if shape == RECTANGLE:
        return builder.select(builder.fcmp_ordered("<", away, reach), peak, zero)
    away = builder.fadd(reach, away)
    return builder.fdiv(peak, builder.fmul(away, away))


class _Neurons:
    """LANES neurons: their parameters, and what later steps pass on."""

    def __init__(self, v: Lanes, builder: Any, own: dict[str, Any], state: tuple[Any, Any]) -> None:
        self._v, self._builder, self._own = v, builder, own
        variable: Any = cgutils.alloca_once_value  # becomes a register
        self._at = state
        self._u, self._v_next = (variable(builder, v.load(x)) for x in state)

    def step(
        self, shape: int, read: dict[str, Any], factor: Any, reset: Any, subtracts: Any
    ) -> Any:
        """Go one step back; return the gradient by the synaptic sum."""
        v, builder, own = self._v, self._builder, self._own
        zero, mark = ir.Constant(v.real, None), read["mark"]
        by_u, by_v = builder.load(self._u), builder.load(self._v_next)
        into = builder.fadd(read["by_v"], by_v)
        silent = builder.icmp_signed("<=", mark, own["limit"])
        alive = builder.select(builder.or_(silent, subtracts), into, zero)
        rise = read["slope"] if shape == GIVEN else _rise(v, builder, shape, mark, own)
        total = v.fma(rise, read["by_spikes"], alive)
        low = builder.icmp_signed(">=", mark, v.same(v.whole, -V_MAX))
        high = builder.icmp_signed("<=", mark, v.same(v.whole, V_MAX))
        total = builder.select(builder.and_(low, high), total, zero)
        passed_u = v.fma(own["keep_u"], by_u, total)
        held = builder.icmp_signed("==", mark, v.same(v.whole, HELD))
        passed_v = builder.select(held, into, builder.fmul(own["keep_v"], total))
        builder.store(builder.select(reset, zero, passed_u), self._u)
        builder.store(builder.select(reset, zero, passed_v), self._v_next)
        return builder.fmul(factor, passed_u)

    def keep(self) -> None:
        """Write what is passed on."""
        for value, pointer in zip((self._u, self._v_next), self._at, strict=True):
            self._v.store(self._builder.load(value), pointer)


def _make_back(shape: int, vectors: int, *, partial: bool = False) -> Any:
    """Return an intrinsic that takes ``vectors`` * LANES neurons back through ``steps`` steps.

    Arguments
    ---------
    arrays : (marks, by_spikes, by_v, slopes, by_a)
        Flat. ``slopes`` are read by GIVEN alone.
    at, apart : 5 int64 each
        Place of the first step in each of the arrays, and how far steps lie apart (0: the same
        values at every step).
    own : (threshold, reach, peak, keep_u, keep_v)
    limits : int32
    here : int64
        Place of the neurons in ``own`` and ``limits``.
    carried : (by_u, by_v)
        What the step after the last passes on, and then what the first one does.
    at_carried : int64
    over : (factor, real; resets, bool)
        From ``first`` on, one for each step.
    first, steps, subtracts, width : int64
        ``partial``: only ``width`` neurons.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (arrays, at, apart, own_arrays, limits, here, carried, at_carried, over, first, steps,
         subtracts, width) = arguments  # fmt: skip
        kinds = signature.args
        items: Any = cgutils.unpack_tuple
        v = Lanes(context, builder, kinds[0][4].dtype, width if partial else None)
        begin, stride = items(builder, at, 5), items(builder, apart, 5)
        cubes = items(builder, arrays, 5)
        one = [
            v.pointer(kind, array, place)
            for kind, array, place in zip(kinds[0], cubes, begin, strict=True)
        ]
        flags = ir.VectorType(ir.IntType(1), LANES)

        def spread(flag: Any) -> Any:
            return v.spread(flag, flags)

        always = spread(builder.icmp_signed("!=", subtracts, ir.Constant(_LONG, 0)))
        factors, resets = items(builder, over, 2)
        neurons = []
        for n in range(vectors):
            column = builder.add(here, ir.Constant(_LONG, n * LANES))
            own = {
                name: v.load(v.pointer(kind, array, column))
                for name, kind, array in zip(
                    ("threshold", "reach", "peak", "keep_u", "keep_v"),
                    kinds[3], items(builder, own_arrays, 5), strict=True,
                )
            }  # fmt: skip
            own["limit"] = v.load(v.pointer(kinds[4], limits, column), _INT)
            place = builder.add(at_carried, ir.Constant(_LONG, n * LANES))
            state = tuple(
                v.pointer(kind, array, place)
                for kind, array in zip(kinds[6], items(builder, carried, 2), strict=True)
            )
            neurons.append(_Neurons(v, builder, own, state))
        with cgutils.for_range(builder, steps) as loop:
            t = builder.sub(builder.sub(steps, ir.Constant(_LONG, 1)), loop.index)
            step = builder.add(first, t)
            factor = v.everywhere(
                builder.load(v.pointer(kinds[8][0], factors, step), typ=v.element)
            )
            byte = builder.load(v.pointer(kinds[8][1], resets, step), typ=_BYTE)
            reset = spread(builder.icmp_signed("!=", byte, ir.Constant(_BYTE, 0)))
            row = [builder.gep(p, [builder.mul(t, s)]) for p, s in zip(one, stride, strict=True)]
            for n, own_neurons in enumerate(neurons):
                here_now = [builder.gep(p, [ir.Constant(_LONG, n * LANES)]) for p in row]
                read = {
                    "mark": v.load(here_now[0], _INT),
                    "by_spikes": v.load(here_now[1]),
                    "by_v": v.load(here_now[2]),
                }
                if shape == GIVEN:
                    read["slope"] = v.load(here_now[3])
                v.store(own_neurons.step(shape, read, factor, reset, always), here_now[4])
        for own_neurons in neurons:
            own_neurons.keep()
        return context.get_dummy_value()

    def typed(
        typing_context: Any, arrays: Any, at: Any, apart: Any, own: Any, limits: Any, here: Any,
        carried: Any, at_carried: Any, over: Any, first: Any, steps: Any, subtracts: Any,
        width: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(
            arrays, at, apart, own, limits, here, carried, at_carried, over, first, steps,
            subtracts, width,
        )  # fmt: skip
        return signature, generate

    return intrinsic(typed)


def _make_columns(shape: int) -> Any:
    """Return a function that does the same for any number of neurons, ``size`` in place of width.

    Two vectors of neurons at a time: each waits for what its own later step passes on. Those of
    float64 are two registers each already.
    """
    two, one = _make_back(shape, 2), _make_back(shape, 1)
    some = _make_back(shape, 1, partial=True)

    @inlined
    def back(
        arrays: Any, at: Any, apart: Any, own: Any, limits: Any, here: Any, carried: Any,
        at_carried: Any, over: Any, first: Any, steps: Any, subtracts: Any, size: Any,
    ) -> None:  # fmt: skip
        i = np.int64(0)
        while i < size:
            places = (at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i)
            begin, carry, left = here + i, at_carried + i, size - i
            if left >= 2 * LANES and arrays[4].itemsize == 4:
                two(
                    arrays, places, apart, own, limits, begin, carried, carry, over, first, steps,
                    subtracts, left,
                )  # fmt: skip
                i += LANES
            elif left >= LANES:
                one(
                    arrays, places, apart, own, limits, begin, carried, carry, over, first, steps,
                    subtracts, left,
                )  # fmt: skip
            else:
                some(
                    arrays, places, apart, own, limits, begin, carried, carry, over, first, steps,
                    subtracts, left,
                )  # fmt: skip
            i += LANES

    return back


back_triangle: Any = _make_columns(TRIANGLE)
back_rectangle: Any = _make_columns(RECTANGLE)
back_superspike: Any = _make_columns(SUPERSPIKE)
back_given: Any = _make_columns(GIVEN)
