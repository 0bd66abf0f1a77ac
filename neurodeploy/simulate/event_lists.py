"""Vector instructions that list events: the places of a word's one bits, sixteen at a time.

Processors that compress bytes (AVX-512 VBMI2) list a word without a branch; ``compresses`` says
whether what is compiled may do so. As in ``lanes``, nothing checks bounds: callers do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from neurodeploy.simulate.lanes import LANES, MASK_ALIGNMENT, broadcast, pointer, write

_COMPRESS = "llvm.x86.avx512.mask.compress.v64i8"
_FEATURES = {"+avx512f", "+avx512bw", "+avx512vbmi2"}


def _can_compress(context: Any) -> bool:
    return set(context.codegen().magic_tuple()[2].split(",")) >= _FEATURES


def _compresses(typing_context: Any) -> Any:
    """Return whether ``list_word`` can be used; known when compiling."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.boolean, _can_compress(context))

    return types.boolean(), generate


def _list_word(
    typing_context: Any, bits: Any, block: Any, row: Any, events: Any, place: Any
) -> Any:
    """Write ``(block + i) * row`` for each one bit i of a uint64, lowest first; return how many.

    ``events`` int32, from ``place`` on, has room for MASK_ALIGNMENT; whole vectors are written.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, block, row, events, place = arguments
        count = builder.ctpop(bits)
        if not _can_compress(context):
            return count  # never called
        bytes_ = ir.VectorType(ir.IntType(8), MASK_ALIGNMENT)
        flags = ir.VectorType(ir.IntType(1), MASK_ALIGNMENT)
        lanes = ir.VectorType(ir.IntType(32), LANES)
        declared: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(bytes_, [bytes_, bytes_, flags])
        compress = declared(builder.module, kind, _COMPRESS)
        all_places = ir.Constant(bytes_, list(range(MASK_ALIGNMENT)))
        zeros = ir.Constant(bytes_, None)
        listed = builder.call(compress, [all_places, zeros, builder.bitcast(bits, flags)])
        narrow = ir.IntType(32)
        begin = broadcast(builder, lanes, builder.trunc(block, narrow))
        wide_row = broadcast(builder, lanes, builder.trunc(row, narrow))

        def keep(first: int) -> None:
            order = ir.Constant(lanes, list(range(first, first + LANES)))
            part = builder.shuffle_vector(listed, zeros, order)
            values = builder.mul(builder.add(builder.zext(part, lanes), begin), wide_row)
            at = builder.add(place, ir.Constant(ir.IntType(64), first))
            write(builder, values, pointer(context, builder, signature.args[3], events, at))

        keep(0)
        many: Any = builder.icmp_unsigned(">", count, ir.Constant(ir.IntType(64), LANES))
        with builder.if_then(many, likely=False):
            for first in range(LANES, MASK_ALIGNMENT, LANES):
                keep(first)
        return count

    return types.int64(types.uint64, block, row, events, place), generate


compresses: Any = intrinsic(_compresses)
list_word: Any = intrinsic(_list_word)
