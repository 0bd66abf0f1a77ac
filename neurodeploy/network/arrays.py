"""Checks that turn whatever a caller gave into read-only arrays of one dtype and shape."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, ShapeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``array`` if nobody can write to it through numpy, else a read-only copy."""
    if not array.flags.writeable and array.base is None and array.flags.c_contiguous:
        return array
    copy = np.array(array, copy=True, order="C")
    copy.setflags(write=False)
    return copy


def float_array(where: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return ``value`` as a read-only float64 array of ``shape`` (scalars are broadcast).

    Raises
    ------
    ShapeError
        If the value cannot be broadcast to ``shape``.
    RangeError
        If an element is NaN.
    """
    array = np.asarray(value, dtype=np.float64)
    if np.isnan(array).any():
        raise RangeError(f"{where}: contains NaN; give finite numbers")
    return frozen(_broadcast(where, array, shape))


def int_array(where: str, value: Any, shape: tuple[int, ...]) -> IntArray:
    """Return ``value`` as a read-only int32 array of ``shape`` (scalars are broadcast).

    Raises
    ------
    RangeError
        If an element is not a whole number or does not fit int32.
    """
    array = np.asarray(value)
    if array.dtype.kind == "f" and (array != np.trunc(array)).any():
        raise RangeError(f"{where}: must hold whole numbers, holds {array.flat[0]!r} ...")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise RangeError(
            f"{where}: range {array.min()}..{array.max()} does not fit int32; rescale the network"
        )
    return frozen(_broadcast(where, array.astype(np.int32), shape))


def whole(where: str, value: Any) -> int:
    """Return ``value`` as a Python int; numpy's integers hang or break what takes them later.

    Raises
    ------
    RangeError
        If it is not a whole number.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise RangeError(f"{where} is {value!r}; it must be a whole number") from None


def _broadcast(where: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ShapeError(f"{where}: has shape {array.shape}, needs {shape}") from None
