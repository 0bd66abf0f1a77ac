"""Projected gradient descent on the code grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball, Points
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked, checked_keys
from neurodeploy.attacks.gradient import Loss
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.attacks.search import Search
from neurodeploy.errors import InputError

#: Smallest step as a share of the radius.
_LAST_STEP_SHARE = 0.01
_LOSSES: tuple[Loss, ...] = ("cross_entropy", "margin")


@dataclass(frozen=True, slots=True)
class PGD:
    """Gradient ascent inside the ball, from a random start. Source: Madry et al., ICLR 2018.

    Steps go along the sign of the gradient in linf, along the gradient in l2. Iterates are real
    numbers, so steps smaller than one code add up; see ``Search`` for where the gradient is taken
    and which point is kept.

    Parameters
    ----------
    steps : int
        Gradient steps per restart.
    step_share : float
        Size of the first step as a share of the radius. Steps shrink along half a cosine to a
        hundredth of the radius: far first, fine at the end. On spiking networks this finds more
        than equal steps do.
    restarts : int
        Random starts; later ones only for samples not yet wrong.
    losses : tuple of {"cross_entropy", "margin", "dlr"}
        Loss of each restart, in turn. They get stuck in different places.
    """

    steps: int = 20
    step_share: float = 0.4
    restarts: int = 2
    losses: tuple[Loss, ...] = _LOSSES
    uses_gradient: bool = True
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if self.steps < 1 or self.restarts < 1 or not self.step_share > 0 or not self.losses:
            raise InputError(
                f"PGD: steps {self.steps}, restarts {self.restarts} and step_share "
                f"{self.step_share} must be positive, and losses {self.losses} not empty"
            )

    @property
    def name(self) -> str:
        """``pgd`` and the number of steps, and the losses where they are not the default."""
        if self.losses == _LOSSES:
            return f"pgd{self.steps}"
        short = ("ce" if loss == "cross_entropy" else loss for loss in self.losses)
        return f"pgd{self.steps}-{'+'.join(short)}"

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
        search = Search(classifier, codes, labels, ball)
        sizes = ball.radius * self._step_shares()
        for restart in range(self.restarts):
            start = ball.random(codes, random, stream=restart)
            _ascend(search, start, sizes, self.losses[restart % len(self.losses)])
        return search.outcome()

    def _step_shares(self) -> NDArray[np.float64]:
        """Return the size of each step as a share of the radius."""
        cosine = (1 + np.cos(np.pi * np.arange(self.steps) / self.steps)) / 2
        return np.asarray(self.step_share * cosine + _LAST_STEP_SHARE)


def _ascend(search: Search, start: Points, sizes: NDArray[np.float64], loss: Loss) -> None:
    """Run one restart for the samples that are not yet wrong."""
    ball, position = search.ball, start.copy()
    search.forget_losses()
    for size in sizes:
        active = search.active
        if active.size == 0:
            return
        here = search.gradient(active, position[active], loss)
        moved = position[active] + size * ball.direction(here.gradient)
        position[active] = ball.project(moved, search.codes[active])
    search.judge(position)
