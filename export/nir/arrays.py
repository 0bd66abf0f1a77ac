"""Weights and patterns as arrays: how a choice, order or sum of values is written in NIR."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.linear import array
from neurodeploy.export.nir.rows import Pattern

FloatArray: TypeAlias = NDArray[np.float64]
#: Largest matrix written for a choice of values.
_MOST_ENTRIES = 50_000_000


def linear_arrays(parameters: Mapping[str, Any], with_bias: bool) -> tuple[FloatArray, FloatArray]:
    """Return weight and bias (zeros without one) as float64."""
    weight = array(parameters["weight"])
    bias = parameters.get("bias")
    if bias is None or not with_bias:
        return weight, np.zeros(weight.shape[0])
    return weight, array(bias)


def pattern_matrix(patterns: Sequence[Pattern], width: int) -> FloatArray:
    """Return the matrix [inputs, width] that adds up a source of ``width`` values as read."""
    size = patterns[0].feature.size
    if size * width > _MOST_ENTRIES:
        raise UnsupportedNodeError(
            f"model: a rearrangement of {width} values into {size} would need a matrix of more "
            "than 50 million entries"
        )
    matrix = np.zeros((size, width))
    for pattern in patterns:
        rows = np.flatnonzero(pattern.feature >= 0)
        # A row reads one value per pattern, so no place is met twice here.
        matrix[rows, pattern.feature[rows]] += pattern.factor[rows]
    return matrix


def flatten_axes(given: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, int] | None:
    """Return NIR's (start_dim, end_dim) that turns ``given`` into ``wanted``, or None."""
    for start in range(len(given)):
        for end in range(start, len(given)):
            merged = (*given[:start], math.prod(given[start : end + 1]), *given[end + 1 :])
            if merged == wanted:
                return start, end
    return None


def channel_choice(
    pattern: Pattern, taken: tuple[int, ...], given: tuple[int, ...]
) -> nir.NIRNode | None:
    """Return a 1x1 convolution that chooses whole channels, or None if the pattern does not."""
    if len(taken) != len(given) or len(given) not in (2, 3) or taken[1:] != given[1:]:
        return None
    size = math.prod(given[1:])
    feature = pattern.feature.reshape(taken[0], size)
    factor = pattern.factor.reshape(taken[0], size)
    chosen = np.where(feature[:, 0] >= 0, feature[:, 0] // size, -1)
    wanted = np.where(chosen[:, None] >= 0, chosen[:, None] * size + np.arange(size), -1)
    if (feature != wanted).any() or (factor != factor[:, :1]).any():
        return None
    weight = np.zeros((taken[0], given[0]))
    rows = np.flatnonzero(chosen >= 0)
    weight[rows, chosen[rows]] = factor[rows, 0]
    return plain_conv(given[1:], weight.reshape(*weight.shape, *(1,) * (len(given) - 1)))


def plain_conv(
    size: tuple[int, ...],
    weight: FloatArray,
    bias: FloatArray | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> nir.NIRNode:
    """Return a Conv1d or Conv2d on inputs of ``size``; by default stride 1 and no padding."""
    axes = weight.ndim - 2
    default: dict[str, Any] = {
        "stride": (1,) * axes,
        "padding": (0,) * axes,
        "dilation": (1,) * axes,
        "groups": 1,
    }
    held = default | dict(parameters or {})
    bias = np.zeros(weight.shape[0]) if bias is None else bias
    padding = held["padding"]
    if axes == 1:
        return nir.Conv1d(
            input_shape=int(size[0]),
            weight=weight,
            stride=int(held["stride"][0]),
            padding=padding if isinstance(padding, str) else int(padding[0]),
            dilation=int(held["dilation"][0]),
            groups=int(held["groups"]),
            bias=bias,
        )
    return nir.Conv2d(
        input_shape=(int(size[0]), int(size[1])),
        weight=weight,
        stride=tuple(held["stride"]),
        padding=padding if isinstance(padding, str) else tuple(padding),
        dilation=tuple(held["dilation"]),
        groups=int(held["groups"]),
        bias=bias,
    )


def diagonal(shape: tuple[int, ...], scale: FloatArray, shift: FloatArray) -> nir.NIRNode:
    """Return a node that multiplies every channel (first axis) by a factor and adds a shift."""
    if len(shape) == 1:
        return nir.Affine(weight=np.diag(scale), bias=shift)
    if len(shape) not in (2, 3):
        raise UnsupportedNodeError(
            f"model: values of shape {shape_text(shape)}; NIR has 1 to 3 axes"
        )
    weight = scale.reshape(-1, 1, *(1,) * (len(shape) - 1))
    return plain_conv(shape[1:], weight, shift, {"groups": shape[0]})


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as it is written in messages."""
    return "x".join(map(str, shape)) or "()"
