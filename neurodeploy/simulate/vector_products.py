"""Products of real matrices in vector instructions, for kernels that cannot call a library.

A tile of 8 rows times 16 or 32 columns stays in registers while the sum runs; the right-hand
matrix is kept in panels of 16 columns, which lie in memory as they are read. Arrays are 1-D, places
are int64, and nothing checks bounds: callers do. float32 and float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.vector_code import LANES, Lanes

#: Rows of a tile, and columns of a dense block under a sparse matrix.
ROWS, BLOCK = 8, 32
#: Sums of one sparse row that run side by side.
_CHAINS = 4


def panels(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return ``matrix`` [K, N] in panels of LANES columns, flat; the last is padded with zeros."""
    depth, size = matrix.shape
    count = -(-size // LANES)
    padded = np.zeros((depth, count * LANES), matrix.dtype)
    padded[:, :size] = matrix
    return np.ascontiguousarray(padded.reshape(depth, count, LANES).transpose(1, 0, 2)).ravel()


def _make_tile(vectors: int, *, partial: bool = False, adds: bool = False) -> Any:
    """Return an intrinsic for a tile of ROWS rows times ``vectors`` * LANES columns.

    ``out[place + r * apart + i] = sum_k a[at + r * depth_a + k] * panel[begin + k, i]`` for all
    rows r and columns i; ``adds`` adds it to what is there. ``partial``: only ``width`` columns of
    the one vector are written.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, at, step, count, weights, begin, out, place, apart, width = arguments
        kinds, long = signature.args, ir.IntType(64)
        v = Lanes(context, builder, kinds[0].dtype, width if partial else None)
        rows, targets = [], []
        for r in range(ROWS):
            row = ir.Constant(long, r)
            source = builder.add(at, builder.mul(row, step))
            rows.append(v.pointer(kinds[0], values, source))
            target = builder.add(place, builder.mul(row, apart))
            targets.append(v.pointer(kinds[6], out, target))
        panel = builder.mul(count, ir.Constant(long, LANES))
        rights = [
            v.pointer(
                kinds[4], weights, builder.add(begin, builder.mul(panel, ir.Constant(long, i)))
            )
            for i in range(vectors)
        ]
        columns = [ir.Constant(long, i * LANES) for i in range(vectors)]
        if adds:
            first = [v.load(builder.gep(t, [c])) for t in targets for c in columns]
        else:
            first = [v.everywhere(ir.Constant(v.element, 0.0))] * (ROWS * vectors)
        variable: Any = cgutils.alloca_once_value  # becomes a register
        totals = [variable(builder, x) for x in first]
        with cgutils.for_range(builder, count) as loop:
            place_k = builder.mul(loop.index, ir.Constant(long, LANES))
            w = [v.load_all(builder.gep(right, [place_k])) for right in rights]
            for r, row in enumerate(rows):
                scalar = v.everywhere(builder.load(builder.gep(row, [loop.index]), typ=v.element))
                for i in range(vectors):
                    total = totals[r * vectors + i]
                    builder.store(v.fma(scalar, w[i], builder.load(total)), total)
        for r, target in enumerate(targets):
            for i, column in enumerate(columns):
                v.store(builder.load(totals[r * vectors + i]), builder.gep(target, [column]))
        return context.get_dummy_value()

    def typed(
        typing_context: Any, a: Any, at: Any, step: Any, depth: Any, panel: Any, begin: Any,
        out: Any, place: Any, apart: Any, width: Any,
    ) -> Any:  # fmt: skip
        return types.void(a, at, step, depth, panel, begin, out, place, apart, width), generate

    return intrinsic(typed)


_tile: Any = _make_tile(1)
_part_tile: Any = _make_tile(1, partial=True)
_wide_tile: Any = _make_tile(2)
_added_tile: Any = _make_tile(1, adds=True)
_added_part_tile: Any = _make_tile(1, partial=True, adds=True)
_added_wide_tile: Any = _make_tile(2, adds=True)


@inlined
def add_products(
    a: Any, at: Any, step: Any, depth: Any, weights: Any, begin: Any, out: Any, place: Any,
    apart: Any, size: Any,
) -> None:  # fmt: skip
    """Add a product to ROWS rows of ``size`` columns.

    ``out[place + r * apart + i] += sum_k a[at + r * step + k] * W[k, i]``; W [depth, size] stands
    in ``panels`` from ``begin`` on.
    """
    column = np.int64(0)
    while column < size:
        panel, left = begin + column * depth, size - column
        if left >= 2 * LANES:
            _added_wide_tile(a, at, step, depth, weights, panel, out, place + column, apart, left)
            column += LANES
        elif left >= LANES:
            _added_tile(a, at, step, depth, weights, panel, out, place + column, apart, left)
        else:
            _added_part_tile(a, at, step, depth, weights, panel, out, place + column, apart, left)
        column += LANES


def _sparse_row(
    typing_context: Any, weights: Any, indices: Any, first: Any, last: Any, block: Any, out: Any,
    place: Any,
) -> Any:  # fmt: skip
    """``out[place : place + BLOCK] = sum_k weights[k] * block[indices[k], :]``, k first..last."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, columns, start, end, dense, target, at = arguments
        kinds, long = signature.args, ir.IntType(64)
        v = Lanes(context, builder, kinds[0].dtype)
        value_at = v.pointer(kinds[0], values, start)
        column_at = v.pointer(kinds[1], columns, start)
        count = builder.sub(end, start)
        # Several sums side by side, since each waits for its own last addition.
        variable: Any = cgutils.alloca_once_value  # becomes a register
        zero = ir.Constant(v.real, None)
        sums = [[variable(builder, zero) for _ in range(BLOCK // LANES)] for _ in range(_CHAINS)]

        def add(k: Any, totals: list[Any]) -> None:
            scalar = builder.load(builder.gep(value_at, [k]), typ=v.element)
            column = builder.load(builder.gep(column_at, [k]), typ=ir.IntType(32))
            row = builder.mul(builder.sext(column, long), ir.Constant(long, BLOCK))
            base, weight = v.pointer(kinds[4], dense, row), v.everywhere(scalar)
            for i, total in enumerate(totals):
                part = builder.gep(base, [ir.Constant(long, i * LANES)])
                builder.store(v.fma(weight, v.load(part), builder.load(total)), total)

        rounds = builder.sdiv(count, ir.Constant(long, _CHAINS))
        with cgutils.for_range(builder, rounds) as loop:
            k = builder.mul(loop.index, ir.Constant(long, _CHAINS))
            for i, totals in enumerate(sums):
                add(builder.add(k, ir.Constant(long, i)), totals)
        done = builder.mul(rounds, ir.Constant(long, _CHAINS))
        with cgutils.for_range(builder, builder.sub(count, done)) as loop:
            add(builder.add(done, loop.index), sums[0])
        base = v.pointer(kinds[5], target, at)
        for i in range(BLOCK // LANES):
            total = builder.load(sums[0][i])
            for totals in sums[1:]:
                total = builder.fadd(total, builder.load(totals[i]))
            v.store(total, builder.gep(base, [ir.Constant(long, i * LANES)]))
        return context.get_dummy_value()

    return types.void(weights, indices, first, last, block, out, place), generate


sparse_row: Any = intrinsic(_sparse_row)


@compiled(
    "void(float32[:,::1], float32[::1], float32[::1], int64, int64, int64)",
    "void(float64[:,::1], float64[::1], float64[::1], int64, int64, int64)",
)
def multiply(a: Any, weights: Any, out: Any, first: Any, stride: Any, size: Any) -> None:
    """``out[first + r * stride + i] = sum_k a[r, k] * W[k, i]`` for every row r and i < size.

    Parameters
    ----------
    a : real [R, K]
    weights : real, flat
        W [K, size] in ``panels``.
    out : real, flat
        The product's rows may lie apart in it.
    """
    count, depth = a.shape
    flat = a.reshape(-1)
    # Rows that fill no tile: their product stands in scratch first.
    rest = np.zeros(ROWS * depth, a.dtype)
    tile = np.empty(ROWS * 2 * LANES, a.dtype)
    whole = count - count % ROWS
    rest[: (count - whole) * depth] = flat[whole * depth :]
    column = np.int64(0)
    while column < size:
        panel, left = column * depth, size - column
        width = 2 * LANES if left >= 2 * LANES else min(left, np.int64(LANES))
        place = first + column
        for begin in range(0, whole, ROWS):
            at, to = begin * depth, place + begin * stride
            if width == 2 * LANES:
                _wide_tile(flat, at, depth, depth, weights, panel, out, to, stride, left)
            elif width == LANES:
                _tile(flat, at, depth, depth, weights, panel, out, to, stride, left)
            else:
                _part_tile(flat, at, depth, depth, weights, panel, out, to, stride, left)
        if whole < count:
            if width == 2 * LANES:
                _wide_tile(rest, 0, depth, depth, weights, panel, tile, 0, 2 * LANES, left)
            else:
                _tile(rest, 0, depth, depth, weights, panel, tile, 0, 2 * LANES, left)
            for r in range(count - whole):
                to = place + (whole + r) * stride
                for i in range(width):
                    out[to + i] = tile[r * 2 * LANES + i]
        column += width


@compiled(
    "void(float32[:,:,::1], float32[::1], float32[::1], int64, int64, int64, int64)",
    "void(float64[:,:,::1], float64[::1], float64[::1], int64, int64, int64, int64)",
)
def multiply_samples(
    a: Any, weights: Any, out: Any, first: Any, apart: Any, stride: Any, size: Any
) -> None:
    """Multiply every sample of ``a`` [B, R, K]; those of ``out`` lie ``apart``."""
    for b in range(a.shape[0]):
        multiply(a[b], weights, out, first + b * apart, stride, size)


@compiled(
    "void(int64[::1], int32[::1], float32[::1], uint8[:,::1], float32[:,::1])",
    "void(int64[::1], int32[::1], float32[::1], float32[:,::1], float32[:,::1])",
    "void(int64[::1], int32[::1], float64[::1], float64[:,::1], float64[:,::1])",
)
def multiply_sparse(indptr: Any, indices: Any, weights: Any, x: Any, y: Any) -> None:
    """``y[r] += M @ x[r]`` for every row r of x [R, in] and y [R, out]; M in compressed rows.

    Blocks of x are turned over first, so that a weight meets many rows at once.
    """
    n_in, n_out = x.shape[1], y.shape[1]
    block = np.zeros(n_in * BLOCK, weights.dtype)
    out = np.empty(LANES * BLOCK, weights.dtype)
    for first in range(0, x.shape[0], BLOCK):
        count = min(np.int64(BLOCK), x.shape[0] - first)
        for start in range(0, n_in, LANES):
            for r in range(count):
                for j in range(start, min(start + LANES, n_in)):
                    block[j * BLOCK + r] = x[first + r, j]
        for start in range(0, n_out, LANES):
            end = min(start + LANES, n_out)
            for i in range(start, end):
                sparse_row(
                    weights, indices, indptr[i], indptr[i + 1], block, out, (i - start) * BLOCK
                )
            for r in range(count):
                for i in range(start, end):
                    y[first + r, i] += out[(i - start) * BLOCK + r]
