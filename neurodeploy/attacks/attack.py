"""What every perturbation and attack looks like, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Classifier, Codes, Labels


@dataclass(frozen=True, slots=True, eq=False)
class AttackOutcome:
    """The points an attack chose, one per sample, and how healthy its gradients were.

    Parameters
    ----------
    codes : int32 [B, n]
        Whole codes, inside the code range and, for an attack with a ball, inside the ball.
    found : bool [B]
        The attacked classifier's own scores are wrong (or tied) at this point. What counts in a
        result is the exact replay, not this flag.
    zero_gradient_share : float
        Share of the gradients (one per sample and step) that were zero in every input.
    stuck : bool [B]
        Every gradient of this sample was zero: the attack never had a direction.
    """

    codes: Codes
    found: NDArray[np.bool_]
    zero_gradient_share: float
    stuck: NDArray[np.bool_]


class Attack(Protocol):
    """A perturbation with a strength. Implementations are small frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name in tables, files and options."""

    @property
    def in_ball(self) -> bool:
        """Whether every point lies within ``radius`` codes of its sample in every input."""

    @property
    def uses_gradient(self) -> bool:
        """Whether the points depend on the classifier that is attacked."""

    @property
    def uses_seed(self) -> bool:
        """Whether another seed gives other points; without it a second run tells nothing."""

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        radius: int,
        seed: int,
        width: float,
    ) -> AttackOutcome:
        """Return one point per sample.

        Parameters
        ----------
        classifier : Classifier
            The network under attack; its range bounds the points.
        codes : int32 [B, n]
            Clean samples.
        labels : int64 [B]
            True classes.
        radius : int
            Strength, in codes.
        seed : int
            All randomness comes from it.
        width : float
            Width of the surrogate derivative, in thresholds.
        """


def clip_to_ball(points: Codes, codes: Codes, radius: int, max_code: int) -> Codes:
    """Return ``points`` moved into the l-infinity ball of ``radius`` around ``codes`` and 0..max.

    All bounds are whole numbers, so a point stays whole.
    """
    low = np.maximum(codes - radius, 0)
    high = np.minimum(codes + radius, max_code)
    return np.clip(points, low, high).astype(np.int32)
