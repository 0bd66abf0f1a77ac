"""Projected gradient descent on the code grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked
from neurodeploy.attacks.gradient import Loss, loss_gradient
from neurodeploy.errors import InputError

#: Smallest step as a share of the radius.
_LAST_STEP_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class PGD:
    """Sign-gradient ascent inside the ball, from a random start. Source: Madry et al., ICLR 2018.

    Iterates are real numbers, so steps smaller than one code add up. The gradient is taken at
    the iterate rounded to whole codes, because only there is an integer network defined, and
    passed straight through the rounding. Ball and range have whole bounds, so a rounded point
    never leaves them. The point kept per sample is the first one that is wrong (or tied) on the
    grid; a sample stops there. If there is none, the point of the largest loss is kept.

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
    losses : tuple of {"cross_entropy", "margin"}
        Loss of each restart, in turn. The two get stuck in different places.
    """

    steps: int = 20
    step_share: float = 0.4
    restarts: int = 2
    losses: tuple[Loss, ...] = ("cross_entropy", "margin")
    in_ball: bool = True
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
        """``pgd`` and the number of steps."""
        return f"pgd{self.steps}"

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        radius: int,
        seed: int,
        width: float,
    ) -> AttackOutcome:
        """Return one point per sample; see ``Attack.run``."""
        codes, labels = checked(codes, labels, radius, classifier.max_code)
        generator = torch.Generator().manual_seed(seed)
        search = _Search(classifier, codes, labels, radius, width)
        sizes = radius * self._step_shares()
        for restart in range(self.restarts):
            start = torch.rand(codes.shape, generator=generator, dtype=torch.float64).numpy()
            loss = self.losses[restart % len(self.losses)]
            search.ascend((2 * start - 1) * radius, sizes, loss)
        return search.outcome()

    def _step_shares(self) -> NDArray[np.float64]:
        """Return the size of each step as a share of the radius."""
        cosine = (1 + np.cos(np.pi * np.arange(self.steps) / self.steps)) / 2
        return np.asarray(self.step_share * cosine + _LAST_STEP_SHARE)


class _Search:
    """The best point per sample while an attack runs; lives only inside ``PGD.run``."""

    def __init__(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        radius: int,
        width: float,
    ) -> None:
        self.classifier, self.labels, self.width = classifier, labels, width
        self.codes = codes
        self.low = np.maximum(codes - radius, 0)
        self.high = np.minimum(codes + radius, classifier.max_code)
        count = codes.shape[0]
        self.best = codes.copy()
        self.best_loss = np.full(count, -np.inf)
        self.found = np.zeros(count, dtype=np.bool_)
        self.gradients = np.zeros(count, dtype=np.int64)
        self.zero_gradients = np.zeros(count, dtype=np.int64)

    def ascend(
        self, offset: NDArray[np.float64], step_sizes: NDArray[np.float64], loss: Loss
    ) -> None:
        """Run one restart from ``codes + offset`` for the samples that are not yet wrong."""
        position = np.clip(self.codes + offset, self.low, self.high)
        # Two losses have two scales: the best point is that of this restart.
        self.best_loss[:] = -np.inf
        for step_size in step_sizes:
            active = np.flatnonzero(~self.found)
            if active.size == 0:
                return
            grid = np.rint(position[active]).astype(np.int32)
            here = loss_gradient(self.classifier, grid, self.labels[active], self.width, loss)
            self._keep(active, grid, here.loss, here.wrong)
            self.gradients[active] += 1
            self.zero_gradients[active] += (here.gradient == 0).all(axis=1)
            moved = position[active] + step_size * np.sign(here.gradient)
            position[active] = np.clip(moved, self.low[active], self.high[active])
        self._last(position)

    def outcome(self) -> AttackOutcome:
        """Return what was found."""
        total = int(self.gradients.sum())
        share = float(self.zero_gradients.sum()) / total if total else 0.0
        stuck = self.zero_gradients == self.gradients
        return AttackOutcome(self.best, self.found, share, stuck)

    def _last(self, position: NDArray[np.float64]) -> None:
        """Judge the point after the last step, exactly: it needs no gradient."""
        active = np.flatnonzero(~self.found)
        if active.size == 0:
            return
        grid = np.rint(position[active]).astype(np.int32)
        wrong = self.classifier.predict(grid) != self.labels[active]
        self.best[active[wrong]] = grid[wrong]
        self.found[active[wrong]] = True

    def _keep(
        self,
        active: NDArray[np.int64],
        grid: Codes,
        loss: NDArray[np.float64],
        wrong: NDArray[np.bool_],
    ) -> None:
        better = wrong | (loss > self.best_loss[active])
        chosen = active[better]
        self.best[chosen] = grid[better]
        self.best_loss[chosen] = loss[better]
        self.found[active[wrong]] = True
