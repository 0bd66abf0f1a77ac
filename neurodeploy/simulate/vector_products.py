"""Products of real matrices in vector instructions, for kernels that cannot call a library.

A tile of 8 rows times 16 columns stays in registers while the sum runs; the right-hand matrix is
kept in panels of 16 columns, which lie in memory as they are read. Arrays are 1-D, places are
int64, and nothing checks bounds: callers do. float32 and float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from neurodeploy.simulate.compiling import compiled

#: Columns of a panel, rows of a tile, and columns of a dense block under a sparse matrix.
LANES, ROWS, BLOCK = 16, 8, 32
#: Sums of one sparse row that run side by side.
_CHAINS = 4


def panels(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return ``matrix`` [K, N] in panels of LANES columns, flat; the last is padded with zeros."""
    depth, size = matrix.shape
    count = -(-size // LANES)
    padded = np.zeros((depth, count * LANES), matrix.dtype)
    padded[:, :size] = matrix
    return np.ascontiguousarray(padded.reshape(depth, count, LANES).transpose(1, 0, 2)).ravel()


class _Vectors:
    """What the generated code needs for one element type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self._context, self._builder = context, builder
        single = dtype == types.float32
        self.element: Any = ir.FloatType() if single else ir.DoubleType()
        self._align = 4 if single else 8
        self.vector = ir.VectorType(self.element, LANES)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.v{LANES}f{8 * self._align}"
        declare: Any = cgutils.get_or_insert_function
        self._fma = declare(builder.module, kind, name)

    def pointer(self, kind: Any, array: Any, place: Any) -> Any:
        data = self._context.make_array(kind)(self._context, self._builder, array).data
        return self._builder.gep(data, [place])

    def load(self, pointer: Any) -> Any:
        wide = self._builder.bitcast(pointer, self.vector.as_pointer())
        return self._builder.load(wide, align=self._align, typ=self.vector)

    def store(self, value: Any, pointer: Any) -> None:
        wide = self._builder.bitcast(pointer, self.vector.as_pointer())
        self._builder.store(value, wide, align=self._align)

    def everywhere(self, scalar: Any) -> Any:
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self._builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self._builder.shuffle_vector(first, nothing, zeros)

    def zeros(self, count: int) -> list[Any]:
        """Return ``count`` accumulators, which the compiler keeps in registers."""
        zero = ir.Constant(self.vector, [ir.Constant(self.element, 0.0)] * LANES)
        variable: Any = cgutils.alloca_once_value
        return [variable(self._builder, zero) for _ in range(count)]

    def add_product(self, total: Any, a: Any, b: Any) -> None:
        sum_ = self._builder.call(self._fma, [a, b, self._builder.load(total)])
        self._builder.store(sum_, total)


def _product_tile(
    typing_context: Any, a: Any, place: Any, stride: Any, depth: Any, panel: Any, first: Any,
    tile: Any,
) -> Any:  # fmt: skip
    """``tile[r, :] = sum_k a[place + r * stride + k] * panel[first + k, :]`` for 8 rows r."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, at, step, count, weights, begin, out = arguments
        kinds = signature.args
        v = _Vectors(context, builder, kinds[0].dtype)
        width = ir.Constant(ir.IntType(64), LANES)
        rows = [
            v.pointer(
                kinds[0],
                values,
                builder.add(at, builder.mul(ir.Constant(ir.IntType(64), r), step)),
            )
            for r in range(ROWS)
        ]
        right = v.pointer(kinds[4], weights, begin)
        totals = v.zeros(ROWS)
        with cgutils.for_range(builder, count) as loop:
            w = v.load(builder.gep(right, [builder.mul(loop.index, width)]))
            for row, total in zip(rows, totals, strict=True):
                scalar = builder.load(builder.gep(row, [loop.index]), typ=v.element)
                v.add_product(total, v.everywhere(scalar), w)
        for r, total in enumerate(totals):
            place_out = ir.Constant(ir.IntType(64), r * LANES)
            v.store(builder.load(total), v.pointer(kinds[6], out, place_out))
        return context.get_dummy_value()

    return types.void(a, place, stride, depth, panel, first, tile), generate


product_tile: Any = intrinsic(_product_tile)


def _sparse_row(
    typing_context: Any, weights: Any, indices: Any, first: Any, last: Any, block: Any, out: Any,
    place: Any,
) -> Any:  # fmt: skip
    """``out[place : place + BLOCK] = sum_k weights[k] * block[indices[k], :]``, k first..last."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, columns, start, end, dense, target, at = arguments
        kinds, long = signature.args, ir.IntType(64)
        v = _Vectors(context, builder, kinds[0].dtype)
        value_at = v.pointer(kinds[0], values, start)
        column_at = v.pointer(kinds[1], columns, start)
        count = builder.sub(end, start)
        # Several sums side by side, since each waits for its own last addition.
        sums = [v.zeros(BLOCK // LANES) for _ in range(_CHAINS)]

        def add(k: Any, totals: list[Any]) -> None:
            scalar = builder.load(builder.gep(value_at, [k]), typ=v.element)
            column = builder.load(builder.gep(column_at, [k]), typ=ir.IntType(32))
            row = builder.mul(builder.sext(column, long), ir.Constant(long, BLOCK))
            base, weight = v.pointer(kinds[4], dense, row), v.everywhere(scalar)
            for i, total in enumerate(totals):
                part = builder.gep(base, [ir.Constant(long, i * LANES)])
                v.add_product(total, weight, v.load(part))

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
    tile = np.empty(ROWS * LANES, a.dtype)
    rest = np.zeros(ROWS * depth, a.dtype)
    whole = count - count % ROWS
    rest[: (count - whole) * depth] = flat[whole * depth :]
    for column in range(0, size, LANES):
        width = min(np.int64(LANES), size - column)
        for begin in range(0, count, ROWS):
            rows = min(np.int64(ROWS), count - begin)
            if rows == ROWS:
                product_tile(flat, begin * depth, depth, depth, weights, column * depth, tile)
            else:
                product_tile(rest, np.int64(0), depth, depth, weights, column * depth, tile)
            for r in range(rows):
                at = first + (begin + r) * stride + column
                for i in range(width):
                    out[at + i] = tile[r * LANES + i]


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
