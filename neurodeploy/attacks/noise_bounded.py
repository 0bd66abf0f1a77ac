"""Random noise of a given size: uniform in every input, or of one Euclidean length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.ball import Ball
from neurodeploy.attacks.classifier import Codes, checked_keys
from neurodeploy.attacks.perturbation_range import on_grid, strength_of
from neurodeploy.attacks.randomness import SampleRandom


@dataclass(frozen=True, slots=True)
class UniformNoise:
    """Add noise to every input, uniform on the interval of ``strength`` codes to both sides.

    The sum is rounded to whole codes, half to even, and clipped to the range; with a whole
    strength no input moves farther than that. Equal seeds give equal directions at all strengths.
    """

    name: str = "uniform"
    uses_seed: bool = True
    unit: str = "codes"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample, int32 [B, n]; see ``Perturbation.points``."""
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        draws = 2 * random.uniform(codes.shape[1], stream=0) - 1
        return on_grid(codes + strength_of(self.name, strength) * draws, max_code)


@dataclass(frozen=True, slots=True)
class SignNoise:
    """Move every input by ``strength`` codes up or down: a random corner of the l-infinity ball.

    Rounded to whole codes, half to even, and clipped to the range. The strongest noise of its
    size in most networks, and what an l-infinity attack has to beat.
    """

    name: str = "linf noise"
    uses_seed: bool = True
    unit: str = "codes"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample, int32 [B, n]; see ``Perturbation.points``."""
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        signs = np.where(random.uniform(codes.shape[1], stream=0) < 0.5, -1.0, 1.0)
        return on_grid(codes + strength_of(self.name, strength) * signs, max_code)


@dataclass(frozen=True, slots=True)
class SphereNoise:
    """Add noise of Euclidean length ``strength`` codes, uniform in direction.

    Moved to whole codes inside ball and range as ``Ball.to_grid`` does (clipped to the range
    first), so the point is never farther away than the strength, and mostly a little nearer. What
    an l2 attack has to beat.
    """

    name: str = "l2 noise"
    uses_seed: bool = True
    unit: str = "codes (length)"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample, int32 [B, n]; see ``Perturbation.points``."""
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        ball = Ball("l2", strength_of(self.name, strength), max_code)
        direction = ball.direction(random.normal(codes.shape[1], stream=0))
        return ball.to_grid(codes + ball.radius * direction, codes)
