"""What is asked of an evaluation: perturbations, strengths, tolerance; and the threat model."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neurodeploy.errors import InputError

Side = Literal["float", "fixed"]
SIDES: tuple[Side, Side] = ("float", "fixed")
#: Float robust accuracy between which a strength can tell anything about a drop.
INFORMATIVE = (0.2, 0.9)
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class RobustnessConfig:
    """One evaluation. Everything random comes from ``seed``.

    Parameters
    ----------
    perturbations : tuple of str
        ``gaussian``, ``fgsm``, ``pgd<steps>``.
    radii_codes : tuple of int
        Strengths in input codes, rising: radius of the l-infinity ball, or standard deviation.
    widths : tuple of float
        Surrogate widths, in thresholds; each gradient attack runs with each of them. One width
        alone can make a network look robust that is not.
    restarts : int
        Random starts of each PGD; cross-entropy and margin loss take turns.
    noise_draws : int
        Draws of the noise; a network is robust on a sample if it is right on all of them.
    null_seed : int or None
        Seed of the second side of the null line; None takes one that differs from ``seed``.
    tolerance_points : float
        The drop, in points of accuracy, up to which robustness survives.
    bootstrap : int
        Bootstrap replicates.
    """

    perturbations: tuple[str, ...] = ("gaussian", "fgsm", "pgd20")
    radii_codes: tuple[int, ...] = (13, 26, 38, 51, 77)
    widths: tuple[float, ...] = (1.0, 2.0)
    restarts: int = 2
    noise_draws: int = 4
    seed: int = 0
    null_seed: int | None = None
    tolerance_points: float = 2.0
    bootstrap: int = 10_000

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        for name in ("perturbations", "radii_codes", "widths"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or len(set(values)) != len(values):
                raise InputError(f"robustness: {name} {values} must be given, and each only once")
        radii = self.radii_codes
        if any(int(r) != r or r < 1 for r in radii) or tuple(sorted(radii)) != radii:
            raise InputError(
                f"robustness: radii_codes {radii} must be whole numbers from 1 on, rising"
            )
        if any(not width > 0 for width in self.widths):
            raise InputError(f"robustness: widths {self.widths} must be positive")
        if self.restarts < 1 or self.noise_draws < 1 or self.bootstrap < 1000:
            raise InputError(
                f"robustness: restarts {self.restarts} and noise_draws {self.noise_draws} must be "
                f"at least 1, bootstrap {self.bootstrap} at least 1000"
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

    radii_codes: tuple[int, ...]
    max_code: int
    norm: str = "linf"
    support: str = "image"
    stage: str = "after encoding: whole input codes, the same grid for both networks"
    noise: str = "gaussian noise has sigma = radius and no ball; rounded, then clipped"

    def as_dict(self) -> dict[str, Any]:
        """Return the threat model as JSON types."""
        return {**asdict(self), "radii_codes": list(self.radii_codes), "clip": [0, self.max_code]}
