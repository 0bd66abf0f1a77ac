"""Weights as NetX and Lava make them: first shifted to fill a synapse's bits, then cut to them.

NetX (lava-dl 0.6.0, ``netx/utils.py``) shifts a matrix left as far as eight bits allow and gives
the shift back as a negative exponent; it also declares how many bits are needed. Lava's Dense and
DelayDense then detect the sign mode from the shifted values, clip them and cut the lowest bits
(``lava/utils/weightutils.py`` of lava-nc 0.10.0). Both together lose nothing for most matrices.
They do lose or zero weights where the two steps disagree: an inhibitory matrix whose lowest weight
is minus a power of two, one-sign weights beyond 8 bits, one-sign halves of a recurrent layer of
9 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import SignMode
from neurodeploy.network.arrays import IntArray

_MIXED_RANGE = (-256, 254)


@dataclass(frozen=True, slots=True)
class Shift:
    """What NetX decides for one matrix: left shift, declared bits; ``clipped`` weights first."""

    bits_left: int
    weight_bits: int
    clip: tuple[int, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class PreparedWeight:
    """A matrix as Lava's synapse holds it.

    ``weight`` of the file's shape; each stands for ``weight * 2**weight_exp``. ``changed``
    weights stand for another number than the file's, by at most ``largest_change``.
    """

    weight: IntArray
    weight_exp: int
    weight_bits: int
    sign_mode: SignMode
    changed: int
    largest_change: float


def choose_shift(weight: IntArray) -> Shift:
    """Return what NetX's optimiser decides for ``weight``, its slips included.

    An all-zero matrix, for which NetX fails, is left as it is.
    """
    low, high = int(weight.min()), int(weight.max())
    clip = None
    if (high > 254 and low < 0) or (low < -256 and high > 0):
        clip = _MIXED_RANGE
        weight = np.clip(weight, *clip)
        low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        return Shift(0, 8, clip)
    # Max 0 with negative weights counts as mixed here and as inhibitory in Lava.
    mixed = high >= 0 and low < 0
    if mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = -256 / low if high < 0 else 255 / high
    bits_left = int(np.floor(np.log2(scale))) + mixed
    free = next(n for n in range(8, -1, -1) if not (weight % 2**n).any()) - mixed
    return Shift(bits_left, 8 - bits_left - free, clip)


def prepare(weight: IntArray, shift: Shift) -> PreparedWeight:
    """Return what Lava's Dense or DelayDense holds of ``weight`` after NetX shifted it."""
    wide = weight.astype(np.int64)
    clipped = wide if shift.clip is None else np.clip(wide, *shift.clip)
    # numpy gives 0 for a shift by a negative count, which is what NetX then passes on.
    shifted = clipped << shift.bits_left if shift.bits_left >= 0 else np.zeros_like(clipped)
    sign_mode = detect_sign_mode(shifted)
    held = _held(shifted, sign_mode, shift.weight_bits)
    if not held.any():
        exponent, bits, sign_mode = 0, 8, "excitatory"
    else:
        exponent, bits = -shift.bits_left, shift.weight_bits
    stands_for = held * 2.0**exponent
    difference = np.abs(stands_for - weight)
    return PreparedWeight(
        weight=held,
        weight_exp=exponent,
        weight_bits=bits,
        sign_mode=sign_mode,
        changed=int((difference != 0).sum()),
        largest_change=float(difference.max()),
    )


def detect_sign_mode(weight: NDArray[Any]) -> SignMode:
    """Return the sign mode that Lava detects from the values."""
    if weight.min() >= 0:
        return "excitatory"
    return "inhibitory" if weight.max() <= 0 else "mixed"


def _held(weight: NDArray[np.int64], sign_mode: SignMode, bits: int) -> IntArray:
    """Clip to the sign mode's range and cut the bits that ``bits`` do not hold."""
    sign = -1 if sign_mode == "inhibitory" else 1
    mixed = sign_mode == "mixed"
    magnitude = np.clip(sign * weight, -256 if mixed else 0, 255)
    cut = 8 - bits + mixed
    if cut < 0:
        return np.zeros(weight.shape, np.int32)
    return np.asarray(sign * ((magnitude >> cut) << cut), np.int32)
