"""Numbers of a NetX file as integers: cut as lava-dl cuts them, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.findings import Finding
from neurodeploy.network.arrays import IntArray
from neurodeploy.network.fixed_synapse import Pair

_LIMIT = 2**31


def truncated(where: str, values: NDArray[Any], findings: list[Finding]) -> IntArray:
    """Return ``values`` cut toward zero, as lava-dl reads weights; a finding says how many moved.

    Raises
    ------
    RangeError
        If a value does not fit int32.
    """
    _check_range(where, values)
    cut = np.asarray(np.trunc(values), dtype=np.int32)
    moved = int((cut != values).sum())
    if moved:
        text = f"{moved} of {cut.size} values are no whole numbers and are cut toward zero"
        remedy = "export quantised weights (SLAYER: pre_hook_fx)"
        findings.append(Finding("warning", where, text, remedy, {"cut": moved}))
    return cut


def whole(where: str, values: NDArray[Any]) -> IntArray:
    """Return ``values`` as integers; RangeError where one is not a whole number in int32."""
    _check_range(where, values)
    if (np.trunc(values) != values).any():
        raise RangeError(f"{where}: must hold whole numbers, holds {values.reshape(-1)[0]!r} ...")
    return np.asarray(values, dtype=np.int32)


def whole_number(where: str, values: NDArray[Any]) -> int:
    """Return the one integer of an array of one element."""
    if values.size != 1:
        raise ShapeError(f"{where}: has shape {values.shape}, needs one number")
    return int(whole(where, values).reshape(-1)[0])


def pair(where: str, values: NDArray[Any]) -> Pair:
    """Return (y, x) from one number for both, or from two in this order."""
    numbers = whole(where, values).reshape(-1)
    if values.ndim > 1 or numbers.size not in (1, 2):
        raise ShapeError(f"{where}: has shape {values.shape}, needs one number or (y, x)")
    return int(numbers[0]), int(numbers[-1])


def _check_range(where: str, values: NDArray[Any]) -> None:
    lowest, highest = values.min(), values.max()
    if lowest < -_LIMIT or highest >= _LIMIT:
        raise RangeError(f"{where}: range {lowest}..{highest} does not fit int32")
