"""Weights and patterns as arrays: how a choice, order or sum of values is written in NIR."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir_linear import array
from neurodeploy.export.nir_rows import Pattern

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


def pattern_matrix(pattern: Pattern, width: int) -> FloatArray:
    """Return the matrix [inputs, width] that reads a source of ``width`` values as ``pattern``."""
    if pattern.feature.size * width > _MOST_ENTRIES:
        raise UnsupportedNodeError(
            f"model: a rearrangement of {width} values into {pattern.feature.size} would need a "
            "matrix of more than 50 million entries"
        )
    matrix = np.zeros((pattern.feature.size, width))
    rows = np.flatnonzero(pattern.feature >= 0)
    matrix[rows, pattern.feature[rows]] = pattern.factor[rows]
    return matrix


def flatten_axes(given: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, int] | None:
    """Return NIR's (start_dim, end_dim) that turns ``given`` into ``wanted``, or None."""
    for start in range(len(given)):
        for end in range(start, len(given)):
            merged = (*given[:start], math.prod(given[start : end + 1]), *given[end + 1 :])
            if merged == wanted:
                return start, end
    return None


def channel_factor(
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
    axes = len(given) - 1
    one: Any = (1,) * axes
    zero: Any = (0,) * axes
    kernel = weight.reshape(*weight.shape, *one)
    bias = np.zeros(taken[0])
    if axes == 1:
        return nir.Conv1d(int(given[1]), kernel, 1, 0, 1, 1, bias)
    return nir.Conv2d((int(given[1]), int(given[2])), kernel, one, zero, one, 1, bias)


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as it is written in messages."""
    return "x".join(map(str, shape)) or "()"
