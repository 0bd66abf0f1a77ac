"""Operators as sparse matrices, and how many weights those have."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurodeploy.lowering.convolutions import pool_as_convolution
from neurodeploy.network import Convolution, Dense, Operator, Pool, Scale, Sparse

Matrix: TypeAlias = scipy.sparse.csr_array
#: A kernel place, the outputs (flat) that it serves, and the inputs that it takes there.
_Tap: TypeAlias = tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]
#: Weights of a convolution's matrix that are made at a time.
_PART = 2**22


def matrix_of(operator: Operator) -> Matrix:
    """Return the matrix [size out, size in] of an operator's linear part, float64.

    Zero weights are left out; so is padding, which meets nothing.
    """
    if isinstance(operator, Dense):
        groups = operator.weight.reshape(-1, *operator.weight.shape[-2:])
        return scipy.sparse.csr_array(scipy.sparse.block_diag(list(groups), format="csr"))
    if isinstance(operator, Sparse):
        parts = (operator.weight, operator.indices, operator.indptr)
        return scipy.sparse.csr_array(parts, shape=(operator.size_out, operator.size_in))
    if isinstance(operator, Scale):
        return scipy.sparse.csr_array(scipy.sparse.diags_array(operator.factor))
    if isinstance(operator, Pool):
        return _pool(operator)
    return _convolution(operator)


def weights_of(operator: Operator) -> int:
    """Return how many non-zero weights an operator has as a matrix; nothing is built for it."""
    if isinstance(operator, Scale):
        return int(np.count_nonzero(operator.factor))
    if isinstance(operator, Pool):
        operator = pool_as_convolution(operator)
    if not isinstance(operator, Convolution):
        return int(np.count_nonzero(operator.weight))
    places = [
        _inside(operator.input_shape[1 + k], operator.output_shape[1 + k], *numbers)
        for k, numbers in enumerate(
            zip(
                operator.weight.shape[2:],
                operator.stride,
                operator.padding,
                operator.dilation,
                strict=True,
            )
        )
    ]
    used = np.count_nonzero(operator.weight, axis=(0, 1))
    return int((used * reduce(np.multiply.outer, places)).sum())


def _inside(
    extent_in: int,
    extent_out: int,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
) -> NDArray[np.int64]:
    """Return, per kernel place of one axis, how many outputs read a value and no padding there."""
    taken = np.arange(extent_out) * stride - padding[0]
    reads = taken + dilation * np.arange(kernel)[:, None]
    return np.asarray(((reads >= 0) & (reads < extent_in)).sum(axis=1))


def _pool(pool: Pool) -> Matrix:
    weight = 1.0 if pool.kind == "sum" else 1.0 / float(np.prod(pool.kernel))
    channels = int(np.prod(pool.input_shape[:-2]))
    taps = _taps(
        pool.input_shape[-2:],
        pool.output_shape[-2:],
        pool.kernel,
        pool.stride,
        tuple((p, p) for p in pool.padding),
        (1, 1),
    )
    rows = np.concatenate([out for _, out, _ in taps])
    columns = np.concatenate([taken for _, _, taken in taps])
    extent = (int(np.prod(pool.output_shape[-2:])), int(np.prod(pool.input_shape[-2:])))
    one = scipy.sparse.coo_array((np.full(rows.size, weight), (rows, columns)), shape=extent)
    return scipy.sparse.csr_array(scipy.sparse.block_diag([one.tocsr()] * channels, format="csr"))


def _convolution(c: Convolution) -> Matrix:
    """Make the rows of some channels at a time: what one part needs on the way stays small."""
    places = int(np.prod(c.weight.shape[1:])) * int(np.prod(c.output_shape[1:]))
    step = max(1, _PART // max(1, places))
    taps = _taps(
        c.input_shape[1:], c.output_shape[1:], c.weight.shape[2:], c.stride, c.padding, c.dilation
    )
    channels = c.output_shape[0]
    parts = [
        _channels(c, taps, first, min(first + step, channels)) for first in range(0, channels, step)
    ]
    return parts[0] if len(parts) == 1 else Matrix(scipy.sparse.vstack(parts, format="csr"))


def _channels(c: Convolution, taps: list[_Tap], first: int, end: int) -> Matrix:
    """Return the rows of the output channels ``first`` .. ``end - 1``."""
    size_in, size_out = int(np.prod(c.input_shape[1:])), int(np.prod(c.output_shape[1:]))
    per_group_out = c.output_shape[0] // c.groups
    per_group_in = c.input_shape[0] // c.groups
    out_channel, in_channel = np.meshgrid(
        np.arange(end - first), np.arange(per_group_in), indexing="ij"
    )
    source_channel = in_channel + ((first + out_channel) // per_group_out) * per_group_in
    rows, columns, values = [], [], []
    kernel = c.weight.shape[2:]
    flat = c.weight[first:end].reshape(end - first, per_group_in, -1)
    for tap, out, taken in taps:
        weights = flat[:, :, np.ravel_multi_index(tap, kernel)]
        used = weights != 0
        row = out_channel[used][:, None] * size_out + out
        column = source_channel[used][:, None] * size_in + taken
        rows.append(row.ravel())
        columns.append(column.ravel())
        values.append(np.repeat(weights[used], out.size))
    shape = ((end - first) * size_out, c.input_shape[0] * size_in)
    pairs = (np.concatenate(rows), np.concatenate(columns))
    matrix = scipy.sparse.coo_array((np.concatenate(values), pairs), shape=shape)
    return scipy.sparse.csr_array(matrix)


def _taps(
    extent_in: tuple[int, ...],
    extent_out: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> list[_Tap]:
    """Return, per kernel element, the output positions it serves and the inputs it takes (flat)."""
    found = []
    for tap in itertools.product(*(range(k) for k in kernel)):
        lines = []
        for axis, offset in enumerate(tap):
            out = np.arange(extent_out[axis])
            taken = out * stride[axis] + offset * dilation[axis] - padding[axis][0]
            inside = (taken >= 0) & (taken < extent_in[axis])
            lines.append((out[inside], taken[inside]))
        out_grid = np.meshgrid(*(line[0] for line in lines), indexing="ij")
        in_grid = np.meshgrid(*(line[1] for line in lines), indexing="ij")
        out_flat = np.ravel_multi_index([g.ravel() for g in out_grid], extent_out)
        in_flat = np.ravel_multi_index([g.ravel() for g in in_grid], extent_in)
        found.append((tap, np.atleast_1d(out_flat), np.atleast_1d(in_flat)))
    return found
