"""What is asked of an evaluation: perturbations, strengths, tolerance; and the threat model."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neurodeploy.errors import InputError

Norm = Literal["linf", "l2"]
Side = Literal["float", "fixed"]
SIDES: tuple[Side, Side] = ("float", "fixed")
#: Float robust accuracy between which a strength can tell anything about a drop.
INFORMATIVE = (0.2, 0.9)
CONFIDENCE = 0.95
#: Bootstrap replicates per strength: the smallest p-value, one by the replicates, is then a fifth
#: of what Holm asks of the first of so many strengths. With fewer, none of them could be lost.
REPLICATES_PER_STRENGTH = 100


@dataclass(frozen=True, slots=True)
class RobustnessConfig:
    """One evaluation. Everything random comes from ``seed``.

    Parameters
    ----------
    perturbations : tuple of str
        ``suite`` (the full cascade), the name of one attack (with a check of its own), or of a
        perturbation such as ``gaussian``; see ``suite.named_suite``.
    radii_codes : tuple of numbers
        Strengths in input codes, rising: radius of the ball (whole in linf), or standard
        deviation.
    norm : {"linf", "l2"}
        Of the ball of all attacks.
    image_shape : (C, H, W) or None
        How codes form an image, for windows of the query attack.
    noise_draws : int
        Draws of the noise; a network is robust on a sample if it is right on all of them.
    null_seed : int or None
        Seed of the second side of the null line; None takes one that differs from ``seed``.
    tolerance_points : float
        The drop, in points of accuracy, up to which robustness survives.
    bootstrap : int
        Bootstrap replicates: at least 1000, and 100 for each strength (Holm asks for smaller
        p-values the more there are).
    allow_empty_classes : bool
        Whether classes without a sample are accepted, with a warning; else they are an error.
    """

    perturbations: tuple[str, ...] = ("gaussian", "suite")
    radii_codes: tuple[float, ...] = (13, 26, 38, 51, 77)
    norm: Norm = "linf"
    image_shape: tuple[int, int, int] | None = None
    noise_draws: int = 4
    seed: int = 0
    null_seed: int | None = None
    tolerance_points: float = 2.0
    bootstrap: int = 10_000
    allow_empty_classes: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        for name in ("perturbations", "radii_codes"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or len(set(values)) != len(values):
                raise InputError(f"robustness: {name} {values} must be given, and each only once")
        if self.norm not in ("linf", "l2"):
            raise InputError(f"robustness: norm {self.norm!r} is neither linf nor l2")
        radii, whole = self.radii_codes, self.norm == "linf"
        finite = all(math.isfinite(r) and r > 0 for r in radii)
        if not finite or (whole and any(r != int(r) for r in radii)) or sorted(radii) != [*radii]:
            raise InputError(
                f"robustness: radii_codes {radii} must be rising and positive, in linf whole "
                "numbers from 1 on"
            )
        if whole:
            object.__setattr__(self, "radii_codes", tuple(int(r) for r in radii))
        if self.noise_draws < 1 or self.bootstrap < 1000:
            raise InputError(
                f"robustness: noise_draws {self.noise_draws} must be at least 1, bootstrap "
                f"{self.bootstrap} at least 1000"
            )
        strengths = len(self.perturbations) * len(radii)
        if self.bootstrap < REPLICATES_PER_STRENGTH * strengths:
            raise InputError(
                f"robustness: bootstrap {self.bootstrap} is too few for {strengths} strengths: so "
                "few replicates cannot show a loss at any of them; needs at least "
                f"{REPLICATES_PER_STRENGTH * strengths} (bootstrap = ... in [robustness])"
            )
        if not 0 < self.tolerance_points < 100:
            raise InputError(f"robustness: tolerance_points {self.tolerance_points} not in 0..100")

    @property
    def tolerance(self) -> float:
        """The tolerance as a fraction."""
        return self.tolerance_points / 100

    def member_seed(self, *key: object, null: bool = False) -> int:
        """Return the seed of one member, 63 bits, from the seed (or null seed) and ``key``."""
        base = f"{self.seed}"
        if null:
            base = f"{self.seed}/null" if self.null_seed is None else f"{self.null_seed}"
        text = "/".join([base, *map(str, key)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON types."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """What the adversary may do, as data: every point obeys it, on both networks alike."""

    radii_codes: tuple[float, ...]
    max_code: int
    norm: Norm = "linf"
    support: str = "image"
    stage: str = "after encoding: whole input codes, the same grid for both networks"
    noise: str = "gaussian noise has sigma = radius and no ball; rounded, then clipped"

    def as_dict(self) -> dict[str, Any]:
        """Return the threat model as JSON types."""
        return {**asdict(self), "radii_codes": list(self.radii_codes), "clip": [0, self.max_code]}
