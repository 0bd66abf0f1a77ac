"""Rows of weights that all round to zero: one step back where the membrane gains by it.

Beside a few large weights a whole row may vanish, and its neuron hears nothing. Inputs that come
together add up: then its largest weight at one step is nearer to what the row did than nothing is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.quantization.exact_products import product
from neurodeploy.quantization.input_moments import Moments, grouped
from neurodeploy.quantization.rounding import RoundedWeight, weight_step


def revived(
    values: NDArray[np.float64], rounded: RoundedWeight, moments: Moments, bits: int
) -> RoundedWeight:
    """Return ``rounded`` with the largest weight of a vanished row at one step, where that helps.

    Parameters
    ----------
    values : float64 [out, in] or [C_out, C_in / groups, h, w]
        What was rounded, to the nearest.
    moments : Moments
        The measure; where it knows inputs by themselves alone, nothing ever helps.
    """
    count = len(moments.groups)
    mantissa = grouped(rounded.mantissa.astype(np.float64), count)
    wanted = grouped(values, count)
    dead = np.logical_not((mantissa != 0).any(axis=2)) & (wanted != 0).any(axis=2)
    if not dead.any() or any(m.ndim == 1 for m in moments.groups):
        return rounded
    changed = mantissa.copy()
    step = weight_step(rounded.sign_mode, bits)
    for group, known in enumerate(moments.groups):
        rows = np.flatnonzero(dead[group])
        error = -wanted[group, rows]
        largest = np.abs(error).argmax(axis=1)
        at = (np.arange(rows.size), largest)
        sign = -np.sign(error[at])
        size = sign * np.ldexp(float(step), -rounded.exponent)
        change = size * (2 * product(error, known)[at] + size * known[largest, largest])
        better = change < 0
        changed[group, rows[better], largest[better]] = sign[better] * step
    found = changed.reshape(values.shape)
    left = np.ldexp(found, -rounded.exponent) - values
    error_rms = float(np.sqrt(np.mean(left**2)))
    return replace(rounded, mantissa=found.astype(np.int64), rms_error=error_rms)
