"""DLIF's gain per step to integer mantissas and one shift: ``gain ~= mantissa / 2**shift``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding

GAIN_SHIFT_MAX = 7


def quantize_gain(
    where: str, gain: NDArray[np.float64] | None, bits: int, findings: list[Finding]
) -> tuple[NDArray[np.int32] | None, int, float]:
    """Round ``gain`` with the largest shift (0..7) at which no mantissa exceeds ``bits`` bits.

    Returns the mantissas (int32 [T], 1..2**bits - 1), the shift, and the largest gain they stand
    for (1.0 without a gain). Appends a finding with the rounding error.

    Raises
    ------
    RangeError
        If a gain rounds to zero or does not fit at shift 0.
    """
    if gain is None:
        return None, 0, 1.0
    limit = 2**bits - 1
    fitting = [s for s in range(GAIN_SHIFT_MAX + 1) if np.rint(gain.max() * 2**s) <= limit]
    if not fitting:
        raise RangeError(f"{where}: gain {gain.max():.4g} exceeds {limit}, the widest mantissa")
    shift = fitting[-1]
    mantissa = np.rint(gain * 2.0**shift).astype(np.int32)
    if mantissa.min() < 1:
        raise RangeError(
            f"{where}: gain {gain.min():.4g} rounds to zero beside {gain.max():.4g} at {bits} "
            "bits; train with a positive gain, or allow more gain bits"
        )
    error = float(np.abs(mantissa / 2.0**shift / gain - 1).max())
    span = f"gain {gain.min():.4g}..{gain.max():.4g}"
    text = f"{span} kept in {bits} bits, shift {shift}: error {error:.2%}"
    findings.append(Finding("info", where, text, "", {"shift": shift, "relative_error": error}))
    return mantissa, shift, float(mantissa.max() / 2.0**shift)
