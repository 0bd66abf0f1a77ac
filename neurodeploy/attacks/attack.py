"""What every attack looks like, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.ball import Ball
from neurodeploy.attacks.classifier import Classifier, Codes, Labels


@dataclass(frozen=True, slots=True, eq=False)
class AttackOutcome:
    """The points an attack chose, one per sample, and how healthy its gradients were.

    Parameters
    ----------
    codes : int32 [B, n]
        Whole codes, inside ball and code range.
    found : bool [B]
        The attacked classifier's own scores are wrong (or tied) at this point. What counts in a
        result is the exact replay, not this flag.
    zero_gradient_share : float
        Share of the gradients (one per sample and step) that were zero in every input.
    stuck : bool [B]
        Every gradient of this sample was zero: the attack never had a direction. False for an
        attack that asks for none.
    queries : int
        Forward passes, counted per sample.
    """

    codes: Codes
    found: NDArray[np.bool_]
    zero_gradient_share: float
    stuck: NDArray[np.bool_]
    queries: int


class Attack(Protocol):
    """An adversary inside a ball. Implementations are small frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name in tables, files and options."""

    @property
    def uses_gradient(self) -> bool:
        """Whether it asks for gradients; else it asks for scores or decisions only."""

    @property
    def uses_seed(self) -> bool:
        """Whether another seed gives other points; without it a second run tells nothing."""

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        ball: Ball,
        seed: int,
        keys: NDArray[np.int64] | None = None,
    ) -> AttackOutcome:
        """Return one point per sample.

        A sample's outcome depends on its own codes, label and key, on classifier, ball and seed,
        and on nothing else in the batch: the outcome of a subset is the subset of the outcome, as
        far as the classifier's own scores do not hang on the batch (products of float matrices
        may differ in their last bits).

        Parameters
        ----------
        classifier : Classifier
            The network under attack.
        codes : int32 [B, n]
            Clean samples.
        labels : int64 [B]
            True classes.
        ball : Ball
            Where points may lie.
        seed : int
            All randomness comes from it and from ``keys``.
        keys : int64 [B] or None
            What each sample is called; None: its position in this batch.
        """
