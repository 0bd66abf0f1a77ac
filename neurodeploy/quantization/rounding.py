"""Float weights to integer mantissas and a power-of-two exponent, by least squared error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import SignMode
from neurodeploy.network.fixed import WEIGHT_RANGE

#: Width of every weight, or of the weights of each synapse by its name.
Bits: TypeAlias = int | Mapping[str, int]


def bits_of(bits: Bits, synapse: str) -> int:
    """Return the width of the weights of ``synapse``."""
    return bits if isinstance(bits, int) else bits[synapse]


@dataclass(frozen=True, slots=True, eq=False)
class RoundedWeight:
    """``weight ~= mantissa * 2**-exponent``.

    Parameters
    ----------
    mantissa : int64, of the weight's shape
        Multiples of the sign mode's step, inside its range.
    exponent : int
        Binary places; a population at ``64 * 2**p`` units per membrane unit gives the synapse
        the weight exponent ``p - exponent``.
    sign_mode : {"mixed", "excitatory", "inhibitory"}
    rms_error : float
        Root mean squared rounding error in units of the float weight.
    clipped : int
        Weights beyond the range of the mantissa.
    """

    mantissa: NDArray[np.int64]
    exponent: int
    sign_mode: SignMode
    rms_error: float
    clipped: int


def sign_mode_of(weight: NDArray[Any]) -> SignMode:
    """Return the narrowest sign mode that holds every weight (all zero: excitatory)."""
    if (weight >= 0).all():
        return "excitatory"
    return "inhibitory" if (weight <= 0).all() else "mixed"


def weight_step(sign_mode: SignMode, weight_bits: int) -> int:
    """Return the spacing of the mantissas: one bit of ``weight_bits`` is the sign of mixed mode."""
    return int(2 ** (8 - weight_bits + (sign_mode == "mixed")))


def weight_limits(sign_mode: SignMode, weight_bits: int) -> tuple[int, int]:
    """Return the lowest and highest mantissa that is a multiple of the step."""
    step = weight_step(sign_mode, weight_bits)
    lowest, highest, _ = WEIGHT_RANGE[sign_mode]
    # For example 254 -> 240 for a step of 16.
    return -(-lowest // step) * step, highest // step * step


def round_weight(
    weight: NDArray[Any], exponent: int, sign_mode: SignMode, weight_bits: int
) -> NDArray[np.int64]:
    """Round ``weight * 2**exponent`` to the nearest legal mantissa, half to even, then clip."""
    step = weight_step(sign_mode, weight_bits)
    low, high = weight_limits(sign_mode, weight_bits)
    scaled = np.ldexp(np.asarray(weight, dtype=np.float64), exponent) / step
    return np.asarray(np.clip(np.rint(scaled) * step, low, high), dtype=np.int64)


def quantize_weight(
    weight: NDArray[Any],
    weight_bits: int = 8,
    *,
    highest_exponent: int | None = None,
    finest: bool = False,
) -> RoundedWeight:
    """Choose the exponent with the least squared error and round.

    Candidates lie around the exponent at which the largest weight just fits: two below (narrow
    widths reach less far up than down) to seven above (clipping a few outliers can be better).
    The smaller exponent wins a tie, with ``finest`` the larger one. ``highest_exponent`` bounds
    them all, at the price of unused high bits in the mantissas.
    """
    found = candidates(weight, weight_bits, highest_exponent=highest_exponent)
    return min(found[::-1] if finest else found, key=lambda c: c.rms_error)


def candidates(
    weight: NDArray[Any], weight_bits: int, *, highest_exponent: int | None = None
) -> list[RoundedWeight]:
    """Return ``weight`` to the nearest at every exponent worth a look, ascending; one if all 0."""
    weight = np.asarray(weight, dtype=np.float64)
    mode = sign_mode_of(weight)
    largest = float(np.abs(weight).max(initial=0.0))
    if largest == 0.0:
        return [RoundedWeight(np.zeros(weight.shape, dtype=np.int64), 0, mode, 0.0, 0)]
    lowest, highest, _ = WEIGHT_RANGE[mode]
    limit = max(highest, -lowest)
    safe = int(np.floor(np.log2(limit / largest)))
    exponents = range(safe - 2, safe + 8)
    if highest_exponent is not None and highest_exponent < exponents[-1]:
        exponents = range(min(safe - 2, highest_exponent), highest_exponent + 1)
    return [_rounded(weight, exponent, mode, weight_bits) for exponent in exponents]


def unclipped(
    weight: NDArray[Any], weight_bits: int = 8, *, highest_exponent: int | None = None
) -> RoundedWeight:
    """Round at the largest exponent at which the largest weight fits its mantissa."""
    found = candidates(weight, weight_bits, highest_exponent=highest_exponent)
    whole = [c for c in found if _fits(weight, c, weight_bits)]
    return whole[-1] if whole else found[0]


def _fits(weight: NDArray[Any], rounded: RoundedWeight, weight_bits: int) -> bool:
    """Whether every mantissa is within half a step of its weight."""
    off = np.ldexp(np.asarray(weight, np.float64), rounded.exponent) - rounded.mantissa
    return bool(2 * np.abs(off).max(initial=0.0) <= weight_step(rounded.sign_mode, weight_bits))


def quantize_weight_at(weight: NDArray[Any], exponent: int, weight_bits: int = 8) -> RoundedWeight:
    """Round at one exponent that is given from outside, as a convolution's is by its population."""
    weight = np.asarray(weight, dtype=np.float64)
    mode = sign_mode_of(weight)
    if not weight.any():
        return RoundedWeight(np.zeros(weight.shape, dtype=np.int64), exponent, mode, 0.0, 0)
    return _rounded(weight, exponent, mode, weight_bits)


def _rounded(
    weight: NDArray[np.float64], exponent: int, mode: SignMode, weight_bits: int
) -> RoundedWeight:
    mantissa = round_weight(weight, exponent, mode, weight_bits)
    error = np.ldexp(mantissa.astype(np.float64), -exponent) - weight
    lowest, highest, _ = WEIGHT_RANGE[mode]
    step = weight_step(mode, weight_bits)
    scaled = np.ldexp(weight, exponent)
    clipped = int(((scaled > highest + step / 2) | (scaled < lowest - step / 2)).sum())
    # Scaled by a power of two first: squares of very large or small weights leave float64.
    unit = int(np.floor(np.log2(np.abs(weight).max())))
    rms = float(np.ldexp(np.sqrt(np.mean(np.ldexp(error, -unit) ** 2)), unit))
    return RoundedWeight(mantissa, exponent, mode, rms, clipped)
