"""The best point per sample while an attack runs: what all iterated attacks share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball, Points
from neurodeploy.attacks.classifier import Classifier, Codes, Labels
from neurodeploy.attacks.gradient import Loss, LossGradient, loss_gradient


class Search:
    """The state of one run; lives only inside ``Attack.run``.

    The gradient is taken at the iterate moved to whole codes, because only there is an integer
    network defined, and passed straight through that rounding. The point kept per sample is the
    first one that is wrong (or tied) on the grid; a sample stops there. If there is none, the
    point of the largest loss since ``forget_losses`` is kept.

    Parameters
    ----------
    classifier, codes, labels, ball
        As in ``Attack.run``.
    """

    def __init__(self, classifier: Classifier, codes: Codes, labels: Labels, ball: Ball) -> None:
        self.classifier, self.codes, self.labels, self.ball = classifier, codes, labels, ball
        count = codes.shape[0]
        self._best = codes.copy()
        self._best_loss = np.full(count, -np.inf)
        self._found = np.zeros(count, dtype=np.bool_)
        self._gradients = np.zeros(count, dtype=np.int64)
        self._zero_gradients = np.zeros(count, dtype=np.int64)
        self._queries = 0

    @property
    def active(self) -> NDArray[np.int64]:
        """Indices of the samples that are not yet wrong."""
        return np.flatnonzero(~self._found)

    def forget_losses(self) -> None:
        """Begin a restart: its loss may have another scale than the one before."""
        self._best_loss[:] = -np.inf

    def gradient(
        self,
        active: NDArray[np.int64],
        position: Points,
        loss: Loss,
        targets: Labels | None = None,
    ) -> LossGradient:
        """Return loss and gradient of the samples ``active`` at ``position`` and keep the best.

        ``position`` is float64 [len(active), n]; ``targets`` as in ``loss_gradient``.
        """
        grid = self.ball.to_grid(position, self.codes[active])
        here = loss_gradient(self.classifier, grid, self.labels[active], loss, targets)
        self._keep(active, grid, here)
        self._gradients[active] += 1
        self._zero_gradients[active] += (here.gradient == 0).all(axis=1)
        self._queries += active.size
        return here

    def judge(self, position: Points) -> None:
        """Judge points [B, n] exactly, without a gradient: the one after the last step."""
        active = self.active
        if active.size == 0:
            return
        grid = self.ball.to_grid(position[active], self.codes[active])
        wrong = self.classifier.predict(grid) != self.labels[active]
        self._best[active[wrong]] = grid[wrong]
        self._found[active[wrong]] = True
        self._queries += active.size

    def outcome(self) -> AttackOutcome:
        """Return what was found."""
        total = int(self._gradients.sum())
        share = float(self._zero_gradients.sum()) / total if total else 0.0
        stuck = (self._zero_gradients == self._gradients) & (self._gradients > 0)
        return AttackOutcome(self._best, self._found, share, stuck, self._queries)

    def _keep(self, active: NDArray[np.int64], grid: Codes, here: LossGradient) -> None:
        better = here.wrong | (here.loss > self._best_loss[active])
        chosen = active[better]
        self._best[chosen] = grid[better]
        self._best_loss[chosen] = here.loss[better]
        self._found[active[here.wrong]] = True
