"""What a linear operator makes of one step's values, without its bias and without a matrix."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurodeploy.lowering.convolutions import pool_as_convolution, two_axes
from neurodeploy.network import Convolution, Dense, Operator, Pool, Scale, Sparse, output_bias

Values = NDArray[np.float64]


def linear_output(operator: Operator, x: Values) -> Values:
    """Return the linear part of ``operator`` at ``x`` [size in]: [size out]."""
    if isinstance(operator, Dense):
        groups = operator.weight.reshape(-1, *operator.weight.shape[-2:])
        return np.asarray((groups @ x.reshape(len(groups), -1, 1)).reshape(-1))
    if isinstance(operator, Scale):
        return np.asarray(operator.factor * x)
    if isinstance(operator, Sparse):
        parts = (operator.weight, operator.indices, operator.indptr)
        return np.asarray(
            scipy.sparse.csr_array(parts, shape=(operator.size_out, operator.size_in)) @ x
        )
    return _convolved(pool_as_convolution(operator) if isinstance(operator, Pool) else operator, x)


def constant_of(operators: tuple[Operator, ...], x: Values) -> Values:
    """Return what a chain with its biases makes of ``x``; zeros go through without arithmetic."""
    for operator in operators:
        x = linear_output(operator, x) if x.any() else np.zeros(operator.size_out)
        bias = output_bias(operator)
        x = x if bias is None else x + bias
    return x


def pulled_back(rows: Values, c: Convolution) -> Values:
    """Return the matrix ``rows`` [m, size out] times that of a convolution: [m, size in]."""
    c = two_axes(c)
    (top, bottom), (left, right) = c.padding
    _, height, width = c.input_shape
    weight = c.weight.reshape(c.groups, -1, *c.weight.shape[1:])
    given = rows.reshape(len(rows), c.groups, weight.shape[1], -1)
    taken = np.zeros(
        (len(rows), c.groups, weight.shape[2], height + top + bottom, width + left + right)
    )
    for i, j, down, across in _windows(c):
        part = weight[..., i, j].swapaxes(1, 2) @ given
        seen = taken[:, :, :, down, across]
        seen += part.reshape(seen.shape)
    inner = taken[:, :, :, top : top + height, left : left + width]
    return np.ascontiguousarray(inner).reshape(len(rows), -1)


def _convolved(c: Convolution, x: Values) -> Values:
    c = two_axes(c)
    image = np.pad(x.reshape(c.input_shape), ((0, 0), *c.padding))
    image = image.reshape(c.groups, -1, *image.shape[1:])
    weight = c.weight.reshape(c.groups, -1, *c.weight.shape[1:])
    y = np.zeros((*weight.shape[:2], int(np.prod(c.output_shape[1:]))))
    for i, j, down, across in _windows(c):
        seen = image[:, :, down, across]
        y += weight[..., i, j] @ seen.reshape(*seen.shape[:2], -1)
    return y.reshape(-1)


def _windows(c: Convolution) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield each kernel place of two axes, and what it reads of the padded map."""
    for i, j in itertools.product(*(range(k) for k in c.weight.shape[2:])):
        down, across = (
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, s, n in zip((i, j), c.dilation, c.stride, c.output_shape[1:], strict=True)
        )
        yield i, j, down, across
