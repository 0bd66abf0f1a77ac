"""The threat model of one strength: a ball of whole input codes around each sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError

Norm = Literal["linf", "l2"]
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ball:
    """All whole codes within ``radius`` of a sample and within 0..max_code.

    Parameters
    ----------
    norm : {"linf", "l2"}
        Largest difference of any input, or Euclidean length of all differences.
    radius : float
        In codes: a whole number for ``linf``, any number from 0 on for ``l2``.
    max_code : int

    Raises
    ------
    InputError
        For a radius that is negative, not finite, or (``linf``) not whole; for another norm.
    """

    norm: Norm
    radius: float
    max_code: int

    def __post_init__(self) -> None:
        """Check norm and radius."""
        if self.norm not in ("linf", "l2"):
            raise InputError(f"attack: norm {self.norm!r} is neither linf nor l2")
        whole = self.norm == "linf"
        if not (math.isfinite(self.radius) and self.radius >= 0):
            raise InputError(f"attack: radius {self.radius} must be at least 0 and finite")
        if whole and self.radius != int(self.radius):
            raise InputError(
                f"attack: radius {self.radius} must be a whole number of codes in linf"
            )

    def project(self, points: Points, codes: Codes) -> Points:
        """Return real points [B, n] moved into ball and range.

        ``linf``: the nearest point of both. ``l2``: clipped to the range, then shrunk towards the
        sample; in both sets, though not always the nearest point of both.
        """
        if self.norm == "linf":
            low, high = self._bounds(codes)
            return np.clip(points, low, high)
        offset = np.clip(points, 0, self.max_code) - codes
        length = np.sqrt((offset * offset).sum(axis=1, keepdims=True))
        far = length > self.radius
        factor = np.where(far, self.radius / np.where(far, length, 1.0), 1.0)
        return np.asarray(codes + offset * factor)

    def to_grid(self, points: Points, codes: Codes) -> Codes:
        """Return whole codes int32 [B, n] near ``points``, always inside ball and range.

        Halves go to even codes. Where rounding leaves an ``l2`` ball, inputs are rounded towards
        the sample instead, those first that lie farthest from the code they were rounded to; once
        all are, the point cannot be outside.
        """
        inside = self.project(points, codes)
        grid = np.rint(inside)
        if self.norm == "l2":
            grid = codes + _within(np.rint(inside) - codes, inside - codes, self._largest_square)
        return grid.astype(np.int32)

    def contains(self, points: Codes, codes: Codes) -> NDArray[np.bool_]:
        """Return whether whole points [B, n] lie in ball and range, [B]; exact."""
        offset = points.astype(np.int64) - codes
        in_range = ((points >= 0) & (points <= self.max_code)).all(axis=1)
        if self.norm == "linf":
            near = (np.abs(offset) <= int(self.radius)).all(axis=1)
        else:
            near = (offset * offset).sum(axis=1) <= self._largest_square
        found: NDArray[np.bool_] = in_range & near
        return found

    def direction(self, gradient: Points) -> Points:
        """Return the step of radius 1 that rises most, [B, n]; 0 where the gradient is 0."""
        if self.norm == "linf":
            return np.sign(gradient)
        # Divided by the largest entry first: squares of tiny gradients would vanish.
        largest = np.abs(gradient).max(axis=1, keepdims=True)
        scaled = gradient / np.where(largest > 0, largest, 1.0)
        length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
        return np.asarray(scaled / np.where(length > 0, length, 1.0))

    def random(self, codes: Codes, random: SampleRandom, stream: int) -> Points:
        """Return real points [B, n]: uniform in the ball, then moved into the range."""
        n = codes.shape[1]
        if self.norm == "linf":
            offset = (2 * random.uniform(n, stream) - 1) * self.radius
        else:
            normal = random.normal(n, stream)
            reach = random.uniform(1, stream, part=1) ** (1 / n)
            offset = self.direction(normal) * reach * self.radius
        return self.project(codes + offset, codes)

    def corner(self, codes: Codes, random: SampleRandom, stream: int) -> Codes:
        """Return whole points: ``linf``: a random corner of the ball; ``l2``: random signs."""
        signs = np.where(random.uniform(codes.shape[1], stream) < 0.5, -1.0, 1.0)
        return self.to_grid(codes + self.direction(signs) * self.radius, codes)

    @property
    def _largest_square(self) -> int:
        return math.floor(Fraction(self.radius) ** 2)

    def _bounds(self, codes: Codes) -> tuple[Points, Points]:
        low = np.maximum(codes - self.radius, 0)
        high = np.minimum(codes + self.radius, self.max_code)
        return low.astype(np.float64), high.astype(np.float64)


def _within(rounded: Points, exact: Points, largest_square: int) -> Points:
    """Return whole offsets [B, n] of at most the given square length, near ``exact``."""
    shorter = np.trunc(exact)
    # Inputs that were rounded away from the sample; only these can be taken back.
    away = np.abs(rounded) > np.abs(shorter)
    saved = np.where(away, rounded * rounded - shorter * shorter, 0.0)
    excess = (rounded * rounded).sum(axis=1) - largest_square
    order = np.argsort(np.where(away, -np.abs(rounded - exact), 1.0), axis=1, kind="stable")
    before = np.cumsum(np.take_along_axis(saved, order, axis=1), axis=1)
    before -= np.take_along_axis(saved, order, axis=1)
    take = np.zeros(rounded.shape, dtype=np.bool_)
    np.put_along_axis(take, order, before < excess[:, None], axis=1)
    chosen = np.where(take & away, shorter, rounded)
    # Beyond the last bit of float64 even this could be too long by one; then the sample stays.
    outside = (chosen * chosen).sum(axis=1) > largest_square
    return np.where(outside[:, None], 0.0, chosen)
