"""Encoders whose network receives spikes: rate, latency, and events that come from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.counter_random import uniforms
from neurodeploy.errors import ContractError, InputError, RangeError
from neurodeploy.network.encoding import ConstantEncoder, Encoder

_SPIKES = ConstantEncoder(0.0, 1.0, 1)


@dataclass(frozen=True, slots=True)
class SpikeGrid:
    """What rate and latency code share: the network receives 0 or 1, images have a finer grid."""

    levels: ConstantEncoder = field(default_factory=ConstantEncoder)

    @property
    def low(self) -> float:
        """No spike: 0."""
        return _SPIKES.low

    @property
    def high(self) -> float:
        """A spike: 1."""
        return _SPIKES.high

    @property
    def bits(self) -> int:
        """One."""
        return _SPIKES.bits

    @property
    def max_code(self) -> int:
        """One."""
        return _SPIKES.max_code

    @property
    def step(self) -> float:
        """One."""
        return _SPIKES.step

    def encode(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Round values of single steps to 0 or 1: nearest, half to even, clipped."""
        return _SPIKES.encode(values)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return 0 and 1 as float64."""
        return _SPIKES.decode(codes)


@dataclass(frozen=True, slots=True)
class RateEncoder(SpikeGrid):
    """Rate code: at every step a spike with probability ``code / max_code`` of the image's code.

    Code 0 never fires, the largest at every step. All samples share the random numbers of a seed,
    so a sample's spikes hang on its content and the seed alone, never on its place; they are
    those of ``neurodeploy.attacks.BernoulliCode``.

    Parameters
    ----------
    levels : ConstantEncoder
        Grid of an image's values.
    seed : int
        Of the draw, 0 .. 2**63 - 1.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        """Check the seed."""
        if not 0 <= self.seed < 2**63:
            raise RangeError(f"encoder: seed {self.seed}; needs 0 .. 2**63 - 1")

    @property
    def kind(self) -> str:
        """``rate``."""
        return "rate"

    def messages(self, levels: NDArray[Any], steps: int | None) -> NDArray[np.uint8]:
        """Draw the spikes, uint8 [steps, B, n]."""
        length, n = _steps(self.kind, steps), levels.shape[1]
        drawn = uniforms(self.seed, np.zeros(1, dtype=np.int64), length * n, stream=0)
        chance = levels / self.levels.max_code
        spikes = np.empty((length, *levels.shape), np.uint8)
        for t, level in enumerate(drawn.reshape(length, n)):
            np.less(level, chance, out=spikes[t], casting="unsafe")
        return spikes

    def as_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON types."""
        return {**self.levels.as_dict(), "kind": self.kind, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class LatencyEncoder(SpikeGrid):
    """Latency code: one spike per input, earlier for a larger code; code 0 sends none.

    Code c of an image with largest code M spikes at step ``(T - 1) * (M - c) / M``, rounded to the
    nearest, half to even: M in step 0, the smallest near the last step T - 1. Source: snnTorch,
    ``spikegen.latency(x, T, normalize=True, linear=True, clip=True)`` of values c / M, with a
    threshold that nothing but 0 is below.
    """

    @property
    def kind(self) -> str:
        """``latency``."""
        return "latency"

    def messages(self, levels: NDArray[Any], steps: int | None) -> NDArray[np.uint8]:
        """Return the spikes, uint8 [steps, B, n]."""
        length, largest = _steps(self.kind, steps), self.levels.max_code
        # Exact: the product has at most 47 bits, and no quotient comes nearer to a half than
        # 1 / (2 M) unless it is one.
        products = (length - 1) * (largest - np.asarray(levels, np.int64))
        when = np.rint(products / largest).astype(np.int64)
        when[np.asarray(levels) == 0] = length
        spikes = np.empty((length, *levels.shape), np.uint8)
        for t in range(length):
            np.equal(when, t, out=spikes[t], casting="unsafe")
        return spikes

    def as_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON types."""
        return {**self.levels.as_dict(), "kind": self.kind}


@dataclass(frozen=True, slots=True)
class EventsEncoder:
    """Events as they come: what one step receives is given, and rounded to codes.

    With 1 bit a step has a spike of value ``high`` or none; with more, a payload (or the number of
    events of that step). A step without an event sends nothing, so the range begins at 0.

    Parameters
    ----------
    levels : ConstantEncoder
        Grid of what enters at one step.
    """

    levels: ConstantEncoder = field(default_factory=lambda: _SPIKES)

    def __post_init__(self) -> None:
        """Check that nothing stands for 0."""
        if self.levels.low != 0:
            raise RangeError(
                f"encoder events: range begins at {self.levels.low:g}; a step without an event "
                "sends nothing, so it must begin at 0 (--encoder-low 0)"
            )

    @property
    def kind(self) -> str:
        """``events``."""
        return "events"

    @property
    def low(self) -> float:
        """Zero."""
        return self.levels.low

    @property
    def high(self) -> float:
        """Largest payload, in input units."""
        return self.levels.high

    @property
    def bits(self) -> int:
        """Width of a payload."""
        return self.levels.bits

    @property
    def max_code(self) -> int:
        """Largest payload's code."""
        return self.levels.max_code

    @property
    def step(self) -> float:
        """Value of one code, in input units."""
        return self.levels.step

    def encode(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Round what enters at single steps to codes: nearest, half to even, clipped."""
        return self.levels.encode(values)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values (float64) that codes stand for."""
        return self.levels.decode(codes)

    def messages(self, levels: NDArray[Any], steps: int | None) -> NDArray[Any]:
        """Raise ContractError: an image has no events."""
        raise ContractError(
            f"encoder events: {levels.shape[0]} images have no events; give events or a sequence "
            "x [T, B, ...], or say how images are encoded: --encoder constant, rate or latency"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON types."""
        return {**self.levels.as_dict(), "kind": self.kind}


def _steps(kind: str, steps: int | None) -> int:
    if steps is None:
        raise InputError(
            f"encoder {kind}: nothing says how many steps a sample has; give --steps (steps=...)"
        )
    if steps < 1:
        raise InputError(f"encoder {kind}: {steps} steps; a sample has at least one")
    return int(steps)


_KINDS: Mapping[str, Callable[..., Encoder]] = {
    "constant": lambda grid: grid,
    "rate": RateEncoder,
    "latency": LatencyEncoder,
    "events": EventsEncoder,
}


def encoder_from(document: Mapping[str, Any]) -> Encoder:
    """Return the encoder that ``as_dict`` wrote.

    Raises
    ------
    RangeError
        For numbers that no encoder has.
    """
    fields = dict(document)
    kind, seed = fields.pop("kind"), fields.pop("seed", None)
    more = {} if seed is None else {"seed": seed}
    return _KINDS[kind](ConstantEncoder(**fields), **more)
