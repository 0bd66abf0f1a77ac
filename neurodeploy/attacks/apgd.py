"""Auto-PGD: gradient ascent that halves its steps and restarts from its best point by itself."""

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

#: Share of the last move in the next one is 1 - MOMENTUM.
MOMENTUM = 0.75
#: Between two checkpoints at least this share of the steps must raise the loss.
RISING_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class APGD:
    """Auto-PGD. Source: Croce and Hein, ICML 2020 (Algorithm 1), on the code grid.

    The first step is twice the radius. At checkpoints (after 22 % of the steps, then ever closer)
    a sample's step is halved and it goes back to its best point, if fewer than three quarters of
    its steps raised the loss, or if neither step nor best loss changed since the last checkpoint.
    Objective and gradient are those at whole codes; see ``Search``.

    Parameters
    ----------
    steps : int
        Steps per start.
    restarts : int
        Random starts, per target if there are targets.
    loss : {"cross_entropy", "dlr", "margin"}
    targets : int
        0: away from the true class. Else (APGD-T): towards each of this many other classes in
        turn, those of the highest clean scores first, with the targeted ``dlr`` or ``margin``.
    """

    steps: int = 50
    restarts: int = 1
    loss: Loss = "cross_entropy"
    targets: int = 0
    uses_gradient: bool = True
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if self.steps < 2 or self.restarts < 1 or self.targets < 0:
            raise InputError(
                f"APGD: steps {self.steps} must be at least 2, restarts {self.restarts} at least "
                f"1, targets {self.targets} at least 0"
            )
        if self.targets and self.loss == "cross_entropy":
            raise InputError("APGD: towards targets the loss is dlr or margin, not cross_entropy")

    @property
    def name(self) -> str:
        """``apgd-ce``, ``apgd-dlr`` or ``apgd-margin``; ``apgd-t`` towards targets."""
        if self.targets:
            return "apgd-t"
        return f"apgd-{'ce' if self.loss == 'cross_entropy' else self.loss}"

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
        goals: list[Labels | None] = [None]
        if self.targets and labels.size:
            order = _other_classes(classifier, codes, labels)
            goals = list(order.T[: self.targets])
        for index in range(len(goals) * self.restarts):
            start = ball.random(codes, random, stream=index)
            _climb(search, start, self.steps, self.loss, goals[index // self.restarts])
        return search.outcome()


def checkpoints(steps: int) -> tuple[int, ...]:
    """Return the steps after which progress is judged: 22 % of them, then ever closer."""
    # In whole percent: 0.22 + 0.19 + 0.16 is more than 0.57 in float64.
    before, percent, found = 0, 22, []
    while (at := -(-percent * steps // 100)) < steps:
        if at not in found:
            found.append(at)
        before, percent = percent, percent + max(percent - before - 3, 6)
    return tuple(found)


def _other_classes(classifier: Classifier, codes: Codes, labels: Labels) -> Labels:
    """Return all other classes of each sample, highest clean score first, [B, classes - 1]."""
    scores = classifier.predicted_scores(codes)
    np.put_along_axis(scores, labels[:, None], np.inf, axis=1)
    return np.argsort(-scores, axis=1, kind="stable")[:, 1:]


def _climb(search: Search, start: Points, steps: int, loss: Loss, goal: Labels | None) -> None:
    """Run one start for the samples that are not yet wrong."""
    search.forget_losses()
    climb = _Climb(search, start, loss, goal)
    climb.move(momentum=False)
    climb.count_rises()
    last = 0
    for step in checkpoints(steps):
        climb.advance(step - 1 - last)
        stalled = climb.stalled(step - last)
        # The step that is under way still has the old size.
        climb.move()
        climb.halve(stalled)
        climb.count_rises()
        last = step
    climb.advance(steps - 1 - last)


class _Climb:
    """All samples of one start; samples that are wrong stay where they are."""

    def __init__(self, search: Search, start: Points, loss: Loss, goal: Labels | None) -> None:
        self._search, self._loss, self._goal = search, loss, goal
        count = start.shape[0]
        self._x, self._before = start.copy(), start.copy()
        self._f, self._slope = np.zeros(count), np.zeros(start.shape)
        self._evaluate(search.active)
        self._f_before = self._f.copy()
        self._best, self._f_best, self._best_slope = (
            start.copy(),
            self._f.copy(),
            self._slope.copy(),
        )
        self._size = np.full(count, 2.0 * search.ball.radius)
        # Since the last checkpoint: how often the loss rose; then: whether the step was halved,
        # and the best loss.
        self._rises = np.zeros(count, dtype=np.int64)
        self._halved = np.zeros(count, dtype=np.bool_)
        self._f_checked = self._f.copy()

    def advance(self, steps: int) -> None:
        """Take plain steps."""
        for _ in range(steps):
            self.move()
            self.count_rises()

    def move(self, *, momentum: bool = True) -> None:
        """Take one step and remember the best point."""
        active = self._search.active
        if active.size == 0:
            return
        ball, codes = self._search.ball, self._search.codes[active]
        x, before = self._x[active], self._before[active]
        ahead = x + self._size[active, None] * ball.direction(self._slope[active])
        after = ball.project(ahead, codes)
        if momentum:
            after = x + MOMENTUM * (after - x) + (1 - MOMENTUM) * (x - before)
            after = ball.project(after, codes)
        self._f_before[active] = self._f[active]
        self._before[active], self._x[active] = x, after
        self._evaluate(active)
        better = active[self._f[active] > self._f_best[active]]
        self._best[better], self._f_best[better] = self._x[better], self._f[better]
        self._best_slope[better] = self._slope[better]

    def count_rises(self) -> None:
        """Count whose loss the last step raised."""
        self._rises += self._f > self._f_before

    def stalled(self, window: int) -> NDArray[np.bool_]:
        """Return who made no progress in the ``window`` steps since the last checkpoint, [B]."""
        few = self._rises < RISING_SHARE * window
        same = ~self._halved & (self._f_best == self._f_checked)
        self._rises[:] = 0
        self._f_checked = self._f_best.copy()
        self._halved = few | same
        return self._halved

    def halve(self, stalled: NDArray[np.bool_]) -> None:
        """Halve the steps of the stalled and take them to their best points."""
        self._size[stalled] /= 2
        self._x[stalled], self._f[stalled] = self._best[stalled], self._f_best[stalled]
        self._slope[stalled] = self._best_slope[stalled]

    def _evaluate(self, active: NDArray[np.int64]) -> None:
        """Take loss and gradient where the samples ``active`` are."""
        if active.size:
            goal = None if self._goal is None else self._goal[active]
            here = self._search.gradient(active, self._x[active], self._loss, goal)
            self._f[active], self._slope[active] = here.loss, here.gradient
