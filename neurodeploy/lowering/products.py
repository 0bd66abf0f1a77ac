"""Chains of operators as one operator, and sums of operators: what becomes of the weights.

What a convolution can hold stays one; what is mostly full is a Dense matrix; everything else is a
Sparse one, whose zeros are never stored. All products of a network share one limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurodeploy.errors import ResourceError
from neurodeploy.lowering.conditions import is_single
from neurodeploy.lowering.convolutions import (
    chained,
    even_padding,
    pool_as_convolution,
    scaled_after,
    scaled_before,
    two_axes,
)
from neurodeploy.lowering.linear_output import pulled_back
from neurodeploy.lowering.matrices import Matrix, matrix_of, weights_of
from neurodeploy.network import Convolution, Dense, Operator, Pool, Scale, Sparse

#: Non-zero weights of products that one network may have: 1 GiB of weights, half of that again for
#: their places.
MAX_WEIGHTS = 2**27
#: Share of weights that are not zero from which on a matrix is stored as a full one: with its place
#: a weight costs 12 bytes, without 8.
_MOSTLY = 2 / 3
#: Rows of a product are made in parts of about so many weights.
_PART = 2**22

Full = NDArray[np.float64]


class Products:
    """Multiplies and adds operators, and counts the weights that this makes."""

    def __init__(self, max_weights: int = MAX_WEIGHTS) -> None:
        self._max_weights = max_weights
        self._made = 0

    def single(self, name: str, operators: Sequence[Operator], size: int) -> Operator:
        """Return a chain without biases as one operator called ``name``.

        Parameters
        ----------
        name : str
        operators : sequence of Operator
            Applied in order; none stands for the identity on ``size`` values.
        size : int

        Raises
        ------
        ResourceError
            If the products of the network hold more weights than the limit.
        """
        if len(operators) == 1 and isinstance(operators[0], Dense) and is_single(operators[0]):
            return dataclasses.replace(operators[0], node=name)
        joined: list[Operator] = []
        for operator in operators:
            last = _normal(operator)
            while joined and (both := self._joined(joined[-1], last)) is not None:
                last = both
                joined.pop()
            joined.append(last)
        if len(joined) == 1 and isinstance(joined[0], (Convolution, Dense)):
            only = joined[0]
            found = even_padding(only) if isinstance(only, Convolution) else only
            if found is not None and is_single(found):
                return dataclasses.replace(found, node=name)
        return self._stored(name, self._matrix(name, joined, size))

    def added(self, name: str, operators: Sequence[Operator]) -> Operator:
        """Return the sum of single operators as one operator called ``name``."""
        matrices = [self._as_matrix(name, o) for o in operators]
        if any(isinstance(m, np.ndarray) for m in matrices):
            full = [m if isinstance(m, np.ndarray) else m.toarray() for m in matrices]
            return Dense(name, reduce(np.add, full))
        return self._stored(name, reduce(lambda a, b: Matrix(a + b), matrices))

    def _joined(self, a: Operator, b: Operator) -> Operator | None:
        """Return ``b`` of ``a`` as one operator that keeps its kind, or None."""
        if isinstance(a, Scale) and isinstance(b, Scale):
            return Scale(b.node, b.factor * a.factor)
        if isinstance(a, Scale) and isinstance(b, Convolution):
            return scaled_before(b, a.factor)
        if isinstance(a, Convolution) and isinstance(b, Scale):
            return scaled_after(a, b.factor)
        if isinstance(a, Convolution) and isinstance(b, Convolution):
            return chained(a, b)
        return None

    def _matrix(self, name: str, operators: list[Operator], size: int) -> Matrix | Full:
        """Multiply out, from the end where the fewest values are."""
        if not operators:
            self._count(name, size, size, size)
            return Matrix(scipy.sparse.eye_array(size, format="csr"))
        parts = list(operators)
        backwards = _is_full(parts[-1]) or parts[-1].size_out <= parts[0].size_in
        product = self._as_matrix(name, parts.pop(-1 if backwards else 0))
        while parts:
            operator = parts.pop(-1 if backwards else 0)
            if isinstance(product, np.ndarray) and isinstance(operator, Convolution) and backwards:
                # The convolution's own matrix may be far larger than the product.
                self._require(name, len(product) * operator.size_in, len(product), operator.size_in)
                product = pulled_back(product, operator)
                continue
            other = self._as_matrix(name, operator)
            pair = (product, other) if backwards else (other, product)
            product = self._product(name, *pair)
        return product

    def _as_matrix(self, name: str, operator: Operator) -> Matrix | Full:
        if isinstance(operator, Dense) and _is_full(operator):
            return operator.weight
        if not isinstance(operator, Sparse):
            weights = weights_of(operator)
            self._require(name, weights, operator.size_out, operator.size_in)
        return matrix_of(operator)

    def _product(self, name: str, left: Matrix | Full, right: Matrix | Full) -> Matrix | Full:
        shape = (left.shape[0], right.shape[1])
        if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
            self._require(name, shape[0] * shape[1], *shape)
            if isinstance(left, np.ndarray) and not isinstance(right, np.ndarray):
                return np.asarray((right.T @ left.T).T)
            return np.asarray(left @ right)
        # Each weight of the left row meets a row of the right: so many products at most.
        met = np.append(np.diff(right.indptr)[left.indices], 0).astype(np.int64)
        cost = np.add.reduceat(met, left.indptr[:-1]) * (np.diff(left.indptr) > 0)
        ends = np.flatnonzero(np.diff(np.cumsum(cost) // _PART)) + 1
        found, weights = [], 0
        for start, stop in zip([0, *ends], [*ends, shape[0]], strict=True):
            found.append(left[start:stop] @ right)
            weights += found[-1].nnz
            self._require(name, weights, *shape)
        return Matrix(scipy.sparse.vstack(found, format="csr")) if len(found) > 1 else found[0]

    def _stored(self, name: str, matrix: Matrix | Full) -> Operator:
        """Return a product as the kind of matrix that holds it in fewer bytes."""
        weights = int(np.count_nonzero(_values(matrix)))
        self._count(name, weights, *matrix.shape)
        if weights >= _MOSTLY * matrix.shape[0] * matrix.shape[1]:
            return Dense(name, matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
        rows = Matrix(matrix, copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        rows.sort_indices()
        return Sparse(name, rows.data, rows.indptr, rows.indices, rows.shape[1])

    def _count(self, name: str, weights: int, rows: int, columns: int) -> None:
        self._require(name, weights, rows, columns)
        self._made += weights

    def _require(self, name: str, weights: int, rows: int, columns: int) -> None:
        if self._made + weights > self._max_weights:
            raise ResourceError(
                f"synapse {name}: as one matrix {rows} x {columns} it has {weights} weights; with "
                f"{self._made} of others that is more than {self._max_weights}; put a neuron "
                "between its linear nodes, keep pools unpadded and scales equal within a channel "
                "so that it stays a convolution, or raise the limit (max_elements)"
            )


def _is_full(operator: Operator) -> bool:
    return isinstance(operator, Dense) and operator.weight.ndim == 2


def _values(matrix: Matrix | Full) -> NDArray[np.float64]:
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.data)


def _normal(operator: Operator) -> Operator:
    """Return pools and convolutions over one axis as convolutions over two."""
    if isinstance(operator, Pool):
        return pool_as_convolution(operator)
    return two_axes(operator) if isinstance(operator, Convolution) else operator
