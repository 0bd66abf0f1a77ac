"""What perturbations share: from real values to codes, and checks of their strength."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes
from neurodeploy.errors import InputError


def on_grid(values: NDArray[np.float64], max_code: int) -> Codes:
    """Return whole codes, int32: nearest, half to even, clipped to 0..max_code."""
    return np.asarray(np.clip(np.rint(values), 0, max_code), np.int32)


def strength_of(where: str, strength: float, highest: float = np.inf) -> float:
    """Return ``strength``; InputError unless it is finite and in 0..highest."""
    if not (np.isfinite(strength) and 0 <= strength <= highest):
        most = "" if np.isinf(highest) else f" and at most {highest:g}"
        raise InputError(
            f"perturbation {where}: strength {strength} must be finite, 0 at least{most}"
        )
    return float(strength)
