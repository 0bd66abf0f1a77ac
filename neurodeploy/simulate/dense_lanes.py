"""Vector instructions for dense synapses of bytes and the neurons behind them.

A vector of 64 weights, one byte each, is two sums of 32 lanes of 16 bits: of the bytes in the even
places and of those in the odd ones. The 16-bit words added as they are hold ``even + 256 odd``;
the words shifted right by 8 hold ``odd``. That is one load, two additions and one shift for 64
weights, and the sums of a tile stay in registers for all events of a step.

As in ``lanes``, arrays are 1-D, places are int64, and nothing checks bounds: callers do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.lanes import LANES

#: Weights of one byte in a vector.
BYTES = 64
#: Events that are added at once; lists of events are padded to a multiple of it.
ROWS_AT_ONCE = 4
#: Events whose bytes one sum of 16 bits holds: 256 * 255 < 2^16.
EVENTS_PER_SUM = 256
_PAIRS = BYTES // 2


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    step: Any = cgutils.gep
    return step(builder, data, place)


def _read(builder: Any, pointer: Any, vector: Any) -> Any:
    align = vector.element.width // 8
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align, typ=vector)


def _write(builder: Any, values: Any, pointer: Any) -> None:
    align = values.type.element.width // 8
    builder.store(values, builder.bitcast(pointer, values.type.as_pointer()), align=align)


def _same(vector: Any, value: int) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _items(builder: Any, values: Any, count: int) -> Any:
    unpack: Any = cgutils.unpack_tuple
    return unpack(builder, values, count)


def _tree(builder: Any, parts: list[Any]) -> Any:
    """Add as a tree: sums of one level do not wait for each other."""
    while len(parts) > 1:
        pairs = [builder.add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + (parts[-1:] if len(parts) % 2 else [])
    return parts[0]


def _make_sum(vectors: int) -> Any:
    """Return an intrinsic that sums rows of a pool over ``vectors`` vectors of BYTES columns.

    ``(events, first, last, pool, column, total, place)``: ``events`` int32 holds the rows' places
    in the pool, uint8, and whole groups of ROWS_AT_ONCE are read from ``first`` on. The sums over
    the columns from ``column`` on are written to ``total`` int32, from ``place`` on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        events, first, last, pool, column, total, place = arguments
        index = ir.IntType(64)
        words = ir.VectorType(ir.IntType(16), _PAIRS)
        wide = ir.VectorType(ir.IntType(32), _PAIRS)
        eight, nothing = _same(words, 8), ir.Constant(words, None)
        sums: list[Any] = []
        allocate: Any = cgutils.alloca_once  # becomes a register
        for _ in range(2 * vectors):
            sums.append(allocate(builder, words))
            builder.store(nothing, sums[-1])
        step = ir.Constant(index, ROWS_AT_ONCE)
        with cgutils.for_range_slice(builder, first, last, step, intp=index) as (i, _count):
            rows = []
            for k in range(ROWS_AT_ONCE):
                at = builder.add(i, ir.Constant(index, k))
                row = builder.load(
                    _pointer(context, builder, signature.args[0], events, at),
                    typ=ir.IntType(32),
                )
                rows.append(builder.add(builder.zext(row, index), column))
            for n in range(vectors):
                here = [builder.add(row, ir.Constant(index, n * BYTES)) for row in rows]
                loaded = [
                    builder.load(
                        builder.bitcast(
                            _pointer(context, builder, signature.args[3], pool, at),
                            words.as_pointer(),
                        ),
                        align=1,
                        typ=words,
                    )
                    for at in here
                ]
                odd = [builder.lshr(x, eight) for x in loaded]
                for held, parts in ((sums[2 * n], loaded), (sums[2 * n + 1], odd)):
                    before = builder.load(held, typ=words)
                    builder.store(builder.add(before, _tree(builder, parts)), held)
        for n in range(vectors):
            both, odd = (builder.load(x, typ=words) for x in sums[2 * n : 2 * n + 2])
            even = builder.sub(both, builder.shl(odd, eight))
            for half, values in ((0, even), (1, odd)):
                at = builder.add(place, ir.Constant(index, n * BYTES + half * _PAIRS))
                pointer = _pointer(context, builder, signature.args[5], total, at)
                _write(builder, builder.zext(values, wide), pointer)
        return context.get_dummy_value()

    def typed(
        typing_context: Any, events: Any, first: Any, last: Any, pool: Any, column: Any,
        total: Any, place: Any,
    ) -> Any:  # fmt: skip
        return types.void(events, first, last, pool, column, total, place), generate

    return intrinsic(typed)


sum_one: Any = _make_sum(1)
sum_two: Any = _make_sum(2)
sum_four: Any = _make_sum(4)


def _count_bits(typing_context: Any, word: Any) -> Any:
    """Return the number of one bits of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    """Return the number of zero bits below the lowest one bit of a uint64; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


count_bits: Any = intrinsic(_count_bits)
lowest_bit: Any = intrinsic(_lowest_bit)


def _decay(builder: Any, x: Any, k: Any) -> Any:
    """``D(x, k)`` of ``population_kernels``."""
    fraction, bits = _same(x.type, 4095), _same(x.type, 12)
    high = builder.mul(builder.ashr(x, bits), k)
    toward_zero = builder.and_(builder.ashr(x, _same(x.type, 31)), fraction)
    low = builder.add(builder.mul(builder.and_(x, fraction), k), toward_zero)
    return builder.add(high, builder.ashr(low, bits))


def _broadcast(builder: Any, vector: Any, value: Any) -> Any:
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)


def _set_bits(builder: Any, flags: Any) -> Any:
    bits = builder.bitcast(flags, ir.IntType(LANES))
    return builder.zext(builder.ctpop(bits), ir.IntType(64))


def _generate_step(
    context: Any, builder: Any, signature: Any, arguments: Any, *, own: bool, traced: bool
) -> Any:
    """Step LANES neurons; see ``_step_neurons``."""
    at_start, here, at_state, at_mask = _items(builder, arguments[-2], 4)
    shifts = _items(builder, arguments[-1], 6)
    lanes = ir.VectorType(ir.IntType(32), LANES)
    at = [at_start, here, here, at_state, at_state, *[here] * 6, at_mask]
    pointers = [
        _pointer(context, builder, kind, array, place)
        for kind, array, place in zip(signature.args[:12], arguments[:12], at, strict=True)
    ]
    values = [_read(builder, pointer, lanes) for pointer in pointers[:10]]
    a, sums, more, u, v, keep_u, keep_v, bias, threshold, fired = values
    for total, (add, left, right) in ((sums, shifts[:3]), (more, shifts[3:]))[: 1 + own]:
        part = builder.add(total, _broadcast(builder, lanes, add))
        part = builder.shl(part, _broadcast(builder, lanes, left))
        a = builder.add(a, builder.ashr(part, _broadcast(builder, lanes, right)))
    zero, modulus = ir.Constant(lanes, None), _same(lanes, 2**24)
    x = builder.add(_decay(builder, u, keep_u), builder.shl(a, _same(lanes, 6)))
    over = builder.icmp_signed(">", x, _same(lanes, 2**23))
    under = builder.icmp_signed("<=", x, _same(lanes, -(2**23)))
    x = builder.sub(x, builder.select(over, modulus, zero))
    x = builder.add(x, builder.select(under, modulus, zero))
    _write(builder, x, pointers[3])
    full = builder.add(builder.add(_decay(builder, v, keep_v), x), bias)
    low, high = _same(lanes, -V_MAX), _same(lanes, V_MAX)
    y = builder.select(builder.icmp_signed("<", full, low), low, full)
    y = builder.select(builder.icmp_signed(">", y, high), high, y)
    clamped = builder.icmp_signed("!=", y, full)
    spike = builder.icmp_signed(">", y, threshold)
    _write(builder, builder.select(spike, zero, y), pointers[4])
    _write(builder, builder.add(fired, builder.zext(spike, lanes)), pointers[9])
    if traced:
        _write(builder, y, pointers[10])
    _write(builder, builder.zext(spike, ir.VectorType(ir.IntType(8), LANES)), pointers[11])
    wraps = _set_bits(builder, builder.or_(over, under))
    clamps = builder.shl(_set_bits(builder, clamped), ir.Constant(ir.IntType(64), 32))
    return builder.add(wraps, clamps)


def _step_neurons(
    typing_context: Any, start: Any, sums: Any, more: Any, u: Any, v: Any, keep_u: Any,
    keep_v: Any, bias: Any, threshold: Any, fired: Any, v_pre: Any, mask: Any, places: Any,
    shifts: Any,
) -> Any:  # fmt: skip
    """Step LANES LIF neurons once; return wraps of u plus 2^32 times clamps of v.

    Their input is ``start`` and two shifted sums, ``((sum + add) << left) >> right``; ``shifts``
    are (add, left, right) of both, int32. Other arrays are those of ``step_lif``, flat.
    ``places`` are, int64: in ``start``; of the neurons in a row of parameters (and of sums,
    ``fired`` and ``v_pre``); in the states; in the masks.
    """
    signature = types.int64(
        start, sums, more, u, v, keep_u, keep_v, bias, threshold, fired, v_pre, mask, places, shifts
    )
    return signature, _step_all


def _step_few(
    typing_context: Any, start: Any, sums: Any, more: Any, u: Any, v: Any, keep_u: Any,
    keep_v: Any, bias: Any, threshold: Any, fired: Any, v_pre: Any, mask: Any, places: Any,
    shifts: Any,
) -> Any:  # fmt: skip
    """Do the same without a second sum, and without a trace of v_pre."""
    signature, _ = _step_neurons(
        typing_context, start, sums, more, u, v, keep_u, keep_v, bias, threshold, fired, v_pre,
        mask, places, shifts,
    )  # fmt: skip
    return signature, _step_untraced


def _step_all(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return _generate_step(context, builder, signature, arguments, own=True, traced=True)


def _step_untraced(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return _generate_step(context, builder, signature, arguments, own=False, traced=False)


step_neurons: Any = intrinsic(_step_neurons)
step_few: Any = intrinsic(_step_few)
