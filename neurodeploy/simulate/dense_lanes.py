"""Vector instructions for dense synapses of bytes.

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

from neurodeploy.simulate.lanes import pointer, same, write

#: Weights of one byte in a vector.
BYTES = 64
#: Events that are added at once; lists of events are padded to a multiple of it.
ROWS_AT_ONCE = 4
#: Events whose bytes one sum of 16 bits holds: 256 * 255 < 2^16.
EVENTS_PER_SUM = 256
_PAIRS = BYTES // 2


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
        eight, nothing = same(words, 8), ir.Constant(words, None)
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
                    pointer(context, builder, signature.args[0], events, at),
                    typ=ir.IntType(32),
                )
                rows.append(builder.add(builder.zext(row, index), column))
            for n in range(vectors):
                here = [builder.add(row, ir.Constant(index, n * BYTES)) for row in rows]
                loaded = [
                    builder.load(
                        builder.bitcast(
                            pointer(context, builder, signature.args[3], pool, at),
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
                write(
                    builder, builder.zext(values, wide),
                    pointer(context, builder, signature.args[5], total, at),
                )  # fmt: skip
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
