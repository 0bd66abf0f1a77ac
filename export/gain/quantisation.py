"""DLIF's gain p[t] as a sum of bits, ``p[t] ~= m[t] * 2**-e``, so that neurons can gate them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError

FloatArray = NDArray[np.float64]
#: Widest mantissa that is asked for: 16 copies of a layer's input are more than anyone wants.
BITS_MAX = 16


@dataclass(frozen=True, slots=True, eq=False)
class NodeGain:
    """The gain of one neuron node, and what a portable graph makes of it.

    Parameters
    ----------
    name : str
        The node.
    values : float64 [T]
        The gain as it stands in the node's metadata (p / mean; the mean is in the weights).
    mantissas : int64 [T] or None
        1 .. 2**bits - 1. None where the gain is carried by the stimulus, unrounded.
    exponent : int
        e of ``m * 2**-e``.
    """

    name: str
    values: FloatArray
    mantissas: NDArray[np.int64] | None = None
    exponent: int = 0

    @property
    def used(self) -> FloatArray:
        """Gain that the portable graph multiplies by, [T]."""
        if self.mantissas is None:
            return self.values
        return np.ldexp(self.mantissas.astype(np.float64), -self.exponent)

    @property
    def form(self) -> str:
        """Say ``bit-planes`` or ``stimulus``."""
        return "stimulus" if self.mantissas is None else "bit-planes"

    @property
    def quantisation_error(self) -> float:
        """Largest relative difference between the gain and the one used."""
        return float(np.abs(self.used / self.values - 1).max())

    def planes(self) -> list[tuple[FloatArray, float]]:
        """Return (pattern [T] of 0 and 1, weight 2**(b - e)) of every bit that is ever set."""
        if self.mantissas is None:
            return []
        mantissas = self.mantissas
        patterns = [
            (((mantissas >> b) & 1).astype(np.float64), float(2.0 ** (b - self.exponent)))
            for b in range(int(mantissas.max()).bit_length())
        ]
        return [(pattern, weight) for pattern, weight in patterns if pattern.any()]


def quantise_gain(name: str, values: FloatArray, bits: int) -> NodeGain:
    """Round a gain to ``bits`` bits with the finest power-of-two step that holds its maximum.

    Rounded to the nearest mantissa, half to even.

    Raises
    ------
    InputError
        For ``bits`` outside 1 .. 16.
    RangeError
        If a gain would round to zero.
    """
    if not 1 <= bits <= BITS_MAX:
        raise InputError(f"gain bits: {bits}; choose 1 to {BITS_MAX}")
    limit = 2**bits - 1
    exponent = int(np.floor(np.log2(limit / values.max()))) + 1
    while np.rint(np.ldexp(values.max(), exponent)) > limit:
        exponent -= 1
    mantissas = np.rint(np.ldexp(values, exponent)).astype(np.int64)
    if mantissas.min() < 1:
        raise RangeError(
            f"node {name!r}: gain {values.min():.4g} (step {int(values.argmin())}) rounds to zero "
            f"beside {values.max():.4g} at {bits} bits; allow more gain bits"
        )
    return NodeGain(name, values, mantissas, exponent)
