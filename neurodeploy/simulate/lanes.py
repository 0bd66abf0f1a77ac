"""Vector instructions of the compiled kernels: sixteen 32-bit lanes at a time, whatever the length.

A compiler's own vector loop ends in a slow remainder, which is most of the work where rows hold a
few dozen values. Here rows are padded with zeros to whole vectors, and each operation is written
in LLVM's vector types, so that it becomes the widest instructions of the processor at hand.

Arrays are 1-D, places are int64, and nothing checks bounds: callers do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

#: Values per vector; rows of weights and of synaptic input are padded to a multiple of it.
LANES = 16
#: Rows of masks are padded to a multiple of this.
MASK_ALIGNMENT = 64


def pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Return where ``place`` of an array lies."""
    data = context.make_array(kind)(context, builder, array).data
    step: Any = cgutils.gep
    return step(builder, data, place)


def read(builder: Any, at: Any, vector: Any) -> Any:
    """Load a vector of 8 to 32 bits in each lane, which need not be aligned."""
    return builder.load(builder.bitcast(at, vector.as_pointer()), align=_size(vector), typ=vector)


def write(builder: Any, values: Any, at: Any) -> None:
    """Store a vector."""
    builder.store(values, builder.bitcast(at, values.type.as_pointer()), align=_size(values.type))


def _size(vector: Any) -> int:
    """Return the bytes of a lane."""
    return 4 if vector.element == ir.FloatType() else vector.element.width // 8


def load_wide(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Load LANES integers as 32-bit ones."""
    return _load_as(context, builder, kind, array, place, ir.IntType(32))


def _load_as(context: Any, builder: Any, kind: Any, array: Any, place: Any, wanted: Any) -> Any:
    element = ir.IntType(kind.dtype.bitwidth)
    at = pointer(context, builder, kind, array, place)
    values = read(builder, at, ir.VectorType(element, LANES))
    if element.width == wanted.width:
        return values
    return builder.sext(values, ir.VectorType(wanted, LANES))


def same(vector: Any, value: int) -> Any:
    """Return a constant with ``value`` in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def broadcast(builder: Any, vector: Any, value: Any) -> Any:
    """Return ``value`` in every lane."""
    nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(nothing, value, first)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, nothing, lanes)


def _event_bits(typing_context: Any, masks: Any, place: Any) -> Any:
    """Return which of the 64 bytes from ``place`` on are not zero, lowest bit first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8)
        vector = ir.VectorType(byte, MASK_ALIGNMENT)
        values = read(builder, pointer(context, builder, signature.args[0], *arguments), vector)
        zeros = ir.Constant(vector, None)
        return builder.bitcast(builder.icmp_unsigned("!=", values, zeros), ir.IntType(64))

    return types.uint64(masks, place), generate


event_bits: Any = intrinsic(_event_bits)


def _make_add(rows: int) -> Any:
    """Return an intrinsic that adds the vectors at ``rows`` places of a pool to ``total``."""

    def add(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, place, pool, *places = arguments
        at = pointer(context, builder, signature.args[0], total, place)
        held = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), LANES)
        parts = [read(builder, at, held)]
        parts += [
            _load_as(context, builder, signature.args[2], pool, p, held.element) for p in places
        ]
        while len(parts) > 1:  # as a tree: sums of one level do not wait for each other
            pairs = [builder.add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + (parts[-1:] if len(parts) % 2 else [])
        write(builder, parts[0], at)
        return context.get_dummy_value()

    if rows == 1:

        def one(typing_context: Any, total: Any, place: Any, pool: Any, a: Any) -> Any:
            return types.void(total, place, pool, a), add

        return intrinsic(one)
    if rows == 2:

        def two(typing_context: Any, total: Any, place: Any, pool: Any, a: Any, b: Any) -> Any:
            return types.void(total, place, pool, a, b), add

        return intrinsic(two)

    def four(
        typing_context: Any, total: Any, place: Any, pool: Any, a: Any, b: Any, c: Any, d: Any
    ) -> Any:
        return types.void(total, place, pool, a, b, c, d), add

    return intrinsic(four)


add_one: Any = _make_add(1)
add_two: Any = _make_add(2)
add_four: Any = _make_add(4)


def _make_scaled(rows: int) -> Any:
    """Return an intrinsic that adds ``rows`` vectors of a pool, times a payload each, to ``total``.

    ``(total, place, pool, places, payloads)``, the last two tuples of int64 and of int32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, place, pool, places, payloads = arguments
        items: Any = cgutils.unpack_tuple
        at = pointer(context, builder, signature.args[0], total, place)
        vector = ir.VectorType(ir.IntType(32), LANES)
        found = read(builder, at, vector)
        pairs = zip(items(builder, places, rows), items(builder, payloads, rows), strict=True)
        for p, payload in pairs:
            weights = load_wide(context, builder, signature.args[2], pool, p)
            part = builder.mul(weights, broadcast(builder, vector, payload))
            found = builder.add(found, part)
        write(builder, found, at)
        return context.get_dummy_value()

    def typed(
        typing_context: Any, total: Any, place: Any, pool: Any, places: Any, payloads: Any
    ) -> Any:
        return types.void(total, place, pool, places, payloads), generate

    return intrinsic(typed)


add_scaled: Any = _make_scaled(1)
add_four_scaled: Any = _make_scaled(4)
