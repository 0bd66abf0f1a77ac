"""Fast gradient sign method: one step of the full radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked, checked_keys
from neurodeploy.attacks.gradient import Loss, loss_gradient
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class FGSM:
    """One step of the radius along the loss gradient, from the clean point.

    In linf every input moves along the sign of its slope, in l2 the whole image along the
    gradient; inputs without slope stay. Source: Goodfellow et al., ICLR 2015.
    """

    loss: Loss = "cross_entropy"
    name: str = "fgsm"
    uses_gradient: bool = True
    uses_seed: bool = False

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        ball: Ball,
        seed: int,
        keys: NDArray[np.int64] | None = None,
    ) -> AttackOutcome:
        """Return one point per sample; see ``Attack.run``. Seed and keys are not used."""
        codes, labels = checked(codes, labels, ball.max_code)
        return _one_step(classifier, codes, codes, labels, ball, ball.radius, self.loss)


@dataclass(frozen=True, slots=True)
class RandomFGSM:
    """R+FGSM: a random step first, then one step along the gradient found there.

    The random step takes ``random_share`` of the radius in random signs, the second the rest; the
    sum is projected, so the point never leaves the ball. Source of the idea: Tramer et al.,
    ICLR 2018.
    """

    random_share: float = 0.5
    loss: Loss = "cross_entropy"
    name: str = "r+fgsm"
    uses_gradient: bool = True
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 < self.random_share < 1:
            raise InputError(f"R+FGSM: random_share {self.random_share} must lie between 0 and 1")

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        ball: Ball,
        seed: int,
        keys: NDArray[np.int64] | None = None,
    ) -> AttackOutcome:
        """Return one point per sample; see ``Attack.run``."""
        codes, labels = checked(codes, labels, ball.max_code)
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        signs = np.where(random.uniform(codes.shape[1], stream=0) < 0.5, -1.0, 1.0)
        first = self.random_share * ball.radius
        start = ball.to_grid(codes + first * ball.direction(signs), codes)
        rest = ball.radius - first
        return _one_step(classifier, start, codes, labels, ball, rest, self.loss)


def _one_step(
    classifier: Classifier,
    start: Codes,
    codes: Codes,
    labels: Labels,
    ball: Ball,
    size: float,
    loss: Loss,
) -> AttackOutcome:
    here = loss_gradient(classifier, start, labels, loss)
    points = ball.to_grid(start + size * ball.direction(here.gradient), codes)
    # A start that is wrong already is a point found.
    points[here.wrong] = start[here.wrong]
    stuck = (here.gradient == 0).all(axis=1)
    share = float(stuck.mean()) if stuck.size else 0.0
    wrong = classifier.predict(points) != labels
    return AttackOutcome(points, wrong, share, stuck, queries=2 * labels.size)
