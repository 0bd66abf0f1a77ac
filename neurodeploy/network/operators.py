"""Linear maps between populations: what a connection does to the values that its source sends.

Values are flat per step (C order), so that flattening costs nothing; convolutions and pools know
their shapes. All parameters are float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.network.arrays import FloatArray, IntArray, float_array, int_array

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """``y = weight @ x + bias``.

    ``weight`` [out, in], or [groups, out, in] for one matrix per group of inputs; ``bias`` has one
    value per output, or is None. ``node``: the NIR node.
    """

    node: str
    weight: FloatArray
    bias: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check shapes and freeze the arrays."""
        shape = np.asarray(self.weight).shape
        if len(shape) < 2 or 0 in shape:
            raise ShapeError(f"node {self.node}: weight has shape {shape}, needs [out, in]")
        if len(shape) > 3:
            shape = (int(np.prod(shape[:-2])), *shape[-2:])
        weight = np.asarray(self.weight).reshape(shape)
        object.__setattr__(self, "weight", float_array(f"{self.node}: weight", weight, shape))
        _freeze_bias(self, self.size_out)

    @property
    def size_in(self) -> int:
        """Number of values taken."""
        return int(np.prod(self.weight.shape[:-2])) * int(self.weight.shape[-1])

    @property
    def size_out(self) -> int:
        """Number of values given."""
        return int(np.prod(self.weight.shape[:-2])) * int(self.weight.shape[-2])


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """``y = weight @ x`` with a matrix in compressed rows, one per output.

    ``weight`` [nnz]; ``indptr`` int32 [out + 1], ``indices`` int32 [nnz]: the input of each weight,
    ascending within a row. ``node``: the NIR nodes that were multiplied out.
    """

    node: str
    weight: FloatArray
    indptr: IntArray
    indices: IntArray
    size_in: int

    def __post_init__(self) -> None:
        """Freeze the arrays and check that they belong together."""
        where = f"{self.node}: sparse"
        for name in ("indptr", "indices"):
            array = np.asarray(getattr(self, name))
            object.__setattr__(self, name, int_array(f"{where} {name}", array, (array.size,)))
        if self.indptr.size < 2 or self.indptr[-1] != self.indices.size:
            raise ShapeError(f"{where}: indptr does not end at {self.indices.size} indices")
        weight = float_array(f"{where} weight", self.weight, (self.indices.size,))
        object.__setattr__(self, "weight", weight)

    @property
    def size_out(self) -> int:
        """Number of values given."""
        return int(self.indptr.size) - 1

    @property
    def bias(self) -> None:
        """A sparse matrix has none."""
        return


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """``y = factor * x``; ``factor`` [N]."""

    node: str
    factor: FloatArray

    def __post_init__(self) -> None:
        """Freeze the array."""
        factor = np.asarray(self.factor).reshape(-1)
        object.__setattr__(self, "factor", float_array(f"{self.node}: scale", factor, factor.shape))

    @property
    def size_in(self) -> int:
        """Number of values taken."""
        return int(self.factor.size)

    @property
    def size_out(self) -> int:
        """Number of values given."""
        return int(self.factor.size)

    @property
    def bias(self) -> None:
        """A scale has none."""
        return


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Cross-correlation over one or two axes, as PyTorch's ``conv1d`` and ``conv2d``.

    Parameters
    ----------
    node : str
    weight : array [C_out, C_in / groups, *kernel]
    bias : array [C_out] or None
    stride, dilation : tuple of int, one per axis
    padding : tuple of (before, after), one per axis
        Zeros added on each side; the sides may differ ('same' with an even kernel).
    groups : int
    input_shape, output_shape : (C, *extent)
    """

    node: str
    weight: FloatArray
    bias: FloatArray | None
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape
    groups: int
    input_shape: Shape
    output_shape: Shape

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        shape = np.asarray(self.weight).shape
        object.__setattr__(self, "weight", float_array(f"{self.node}: weight", self.weight, shape))
        _freeze_bias(self, int(shape[0]))

    @property
    def size_in(self) -> int:
        """Number of values taken."""
        return int(np.prod(self.input_shape))

    @property
    def size_out(self) -> int:
        """Number of values given."""
        return int(np.prod(self.output_shape))


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Sum or mean over windows of the last two axes; zeros of ``padding`` count in the mean."""

    node: str
    kind: Literal["sum", "average"]
    kernel: Shape
    stride: Shape
    padding: Shape
    input_shape: Shape
    output_shape: Shape

    @property
    def size_in(self) -> int:
        """Number of values taken."""
        return int(np.prod(self.input_shape))

    @property
    def size_out(self) -> int:
        """Number of values given."""
        return int(np.prod(self.output_shape))

    @property
    def bias(self) -> None:
        """A pool has none."""
        return


Operator: TypeAlias = Dense | Sparse | Scale | Convolution | Pool


def check_chain(where: str, operators: Iterable[Operator]) -> None:
    """Raise ShapeError where one operator of a chain gives another size than the next takes."""
    before: Operator | None = None
    for operator in operators:
        if before is not None and before.size_out != operator.size_in:
            raise ShapeError(
                f"{where}: {before.node!r} gives {before.size_out} values, {operator.node!r} takes "
                f"{operator.size_in}"
            )
        before = operator


def output_bias(operator: Operator) -> NDArray[np.float64] | None:
    """Return the bias of each output value [N], or None where there is none."""
    if operator.bias is None:
        return None
    if isinstance(operator, Convolution):
        return np.repeat(operator.bias, int(np.prod(operator.output_shape[1:])))
    return np.asarray(operator.bias)


def _freeze_bias(operator: Dense | Convolution, size: int) -> None:
    if operator.bias is not None:
        bias = np.asarray(operator.bias).reshape(-1)
        object.__setattr__(operator, "bias", float_array(f"{operator.node}: bias", bias, (size,)))
