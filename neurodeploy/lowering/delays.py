"""Delays in seconds to whole steps, as the contract says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError
from neurodeploy.graph import Contract

#: Fractions of a step below this are rounding of seconds, not a delay.
_WHOLE = 1e-6


def delay_in_steps(delay_s: NDArray[Any], contract: Contract) -> NDArray[np.int32]:
    """Return delays in steps, in the shape of ``delay_s`` (seconds).

    Raises
    ------
    ContractError
        If a delay is no whole number of steps and ``delay_rounding`` is ``error``, or if a delay
        is longer than 2**31 - 1 steps.
    """
    if contract.dt is None:
        raise ContractError("delay: needs dt in seconds; give --dt")
    steps = np.asarray(delay_s, dtype=np.float64) / contract.dt
    nearest = np.rint(steps)
    if (nearest > np.iinfo(np.int32).max).any() or (nearest < 0).any():
        raise ContractError(
            f"delay: {np.asarray(delay_s).max():g} s is {nearest.max():g} steps of "
            f"{contract.dt:g} s; a delay has 0 to 2**31 - 1 steps"
        )
    # Large delays carry the relative rounding of seconds and dt.
    whole = np.abs(steps - nearest) <= _WHOLE * np.maximum(1, nearest * 1e-6)
    if not whole.all() and contract.delay_rounding == "error":
        worst = steps[~whole].flat[0]
        raise ContractError(
            f"delay: {worst:g} steps of {contract.dt:g} s is no whole number; say how to round it "
            "with --delay-rounding nearest or floor"
        )
    rounded = np.where(whole | (contract.delay_rounding == "nearest"), nearest, np.floor(steps))
    return rounded.astype(np.int32)
