"""Faults of stored weights: noise, and flipped bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import FixedPointNetwork, FixedSynapse
from neurodeploy.robustness.faults.fault import N, probability, spread, stream
from neurodeploy.robustness.faults.stored_weights import weight_steps, with_weights


@dataclass(frozen=True, slots=True)
class WeightNoise:
    """Add normal noise to every stored weight.

    Its standard deviation is the strength times the largest magnitude in the array that holds the
    weight (of a fixed-point network, a synapse). There the sum is rounded to the steps of the
    declared width, half to even, and clipped to the sign mode's range, so that it stays legal;
    float weights are neither rounded nor clipped. Equal seeds give equal directions at all
    strengths.
    """

    name: str = "weight noise"
    unit: str = "sigma / largest weight"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with noisy weights; see ``NetworkFault.apply``."""
        sigma = spread(self.name, strength)

        def noise(shape: tuple[int, ...], place: str) -> NDArray[np.float64]:
            return sigma * stream(seed, self.name, place).standard_normal(shape)

        def fixed(synapse: FixedSynapse, place: str) -> NDArray[np.int32]:
            steps, low, high, step = weight_steps(synapse)
            largest = np.abs(steps).max(initial=0)
            noisy = np.rint(steps + largest * noise(steps.shape, place))
            return np.asarray(np.clip(noisy, low, high) * step, np.int32)

        def floating(weight: NDArray[np.float64], place: str) -> NDArray[np.float64]:
            return np.asarray(weight + np.abs(weight).max(initial=0) * noise(weight.shape, place))

        return with_weights(net, fixed, floating)


@dataclass(frozen=True, slots=True)
class WeightBitFlips:
    """Invert bits of stored weights, each with a probability: the strength.

    A weight of mixed sign is the two's complement of its declared width (in steps of ``2 ** (9 -
    bits)``); an excitatory or inhibitory one is a magnitude of that width, whose sign is fixed. So
    every result is a weight that its synapse can hold. Zeros in a dense matrix are stored and
    flip too.

    A float weight has no bits: each array of weights gets the two's-complement codes that
    ``float_bits`` would store with its largest magnitude at the highest code, and the flip adds
    the change of the code. A weight with no flipped bit keeps its exact value.

    Parameters
    ----------
    position : int or None
        Only this bit, 0 the least significant; None: every bit. Flips of one position are those
        that the fault of every bit makes there at the same strength and seed. Synapses of fewer
        bits are spared.
    float_bits : int
        Width at which float weights flip, 2 to 16.
    """

    position: int | None = None
    float_bits: int = 8
    unit: str = "probability per bit"

    def __post_init__(self) -> None:
        """Check the width and the position."""
        if not 2 <= self.float_bits <= 16:
            raise InputError(f"bit flips: float_bits {self.float_bits}; give 2 to 16")
        if self.position is not None and not 0 <= self.position < 16:
            raise InputError(f"bit flips: position {self.position}; count from 0, the lowest bit")

    @property
    def name(self) -> str:
        """``weight bit flips``, and the position where there is one."""
        one = "" if self.position is None else f", bit {self.position}"
        return f"weight bit flips{one}"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with flipped bits.

        Raises
        ------
        InputError
            If the strength is no probability, or no weight has a bit at the position.
        RangeError
            If a weight is none that its declared width can hold.
        """
        share = probability(self.name, strength)
        widths = [self.float_bits]
        if isinstance(net, FixedPointNetwork):
            widths = [s.weight_bits for s in net.synapses]
        if self.position is not None and self.position >= max(widths, default=0):
            raise InputError(
                f"{self.name}: the widest weights have {max(widths, default=0)} bits, so there is "
                "no such position; count from 0"
            )

        def fixed(synapse: FixedSynapse, place: str) -> NDArray[np.int32]:
            steps, _, _, step = weight_steps(synapse)
            width, sign = synapse.weight_bits, synapse.sign_mode
            flips = self._flips(steps.shape, width, share, seed, place)
            if sign == "mixed":
                changed = _twos_complement(steps, flips, width)
            else:
                magnitude = np.abs(steps) ^ flips
                changed = magnitude if sign == "excitatory" else -magnitude
            return np.asarray(changed * step, np.int32)

        def floating(weight: NDArray[np.float64], place: str) -> NDArray[np.float64]:
            step = np.abs(weight).max(initial=0) / (2 ** (self.float_bits - 1) - 1)
            if step == 0:
                return weight
            code = np.rint(weight / step).astype(np.int64)
            flips = self._flips(weight.shape, self.float_bits, share, seed, place)
            change = _twos_complement(code, flips, self.float_bits) - code
            return np.asarray(weight + change * step)

        return with_weights(net, fixed, floating)

    def _flips(
        self, shape: tuple[int, ...], width: int, share: float, seed: int, place: str
    ) -> NDArray[np.int64]:
        """Return the bits to invert in each weight."""
        numbers = stream(seed, "weight bit flips", place)
        found = np.zeros(shape, np.int64)
        for position in range(width):
            flipped = numbers.random(shape) < share
            if self.position in (None, position):
                found |= flipped.astype(np.int64) << position
        return found


def _twos_complement(
    code: NDArray[np.int64], flips: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return the codes with ``flips`` inverted in their lowest ``width`` bits."""
    field = (code & (2**width - 1)) ^ flips
    return np.asarray(field - ((field >> (width - 1)) << width))
