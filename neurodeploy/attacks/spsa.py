"""SPSA: gradient ascent with slopes that are measured along random signs, by exact scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball, Points
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked, checked_keys
from neurodeploy.attacks.margin import margins
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError

#: Decay of Adam's two averages, and what keeps its quotient finite.
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class SPSA:
    """Descend the margin along differences of scores at pairs of opposite random signs.

    Sources: Spall, IEEE Transactions on Automatic Control 37(3), 1992; as an attack, Uesato et
    al., ICML 2018: the margin as loss, Adam, projection after every step. Here every probe lies
    at whole codes, ``probe`` codes away in every input and clipped to the range; the slope is the
    difference of the two margins divided by the distance. Any probe inside the ball counts as an
    attempt. A sample stops at its first wrong or tied point; if there is none, the point of the
    lowest margin is kept.

    Parameters
    ----------
    steps : int
        Steps of Adam.
    pairs : int
        Pairs of probes per step; exact runs per sample are ``steps * (2 * pairs + 1) + 1``, the
        points themselves included. Many steps with few probes find more than few with many.
    step_share : float
        Size of a step in every input as a share of the reach: the radius, in l2 divided by the
        square root of the number of inputs.
    probe : int or None
        Distance in codes; None: three quarters of the reach, 1 at least. Close probes mostly see
        no change on a spiking network.
    """

    steps: int = 100
    pairs: int = 5
    step_share: float = 0.3
    probe: int | None = None
    name: str = "spsa"
    uses_gradient: bool = False
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if self.steps < 1 or self.pairs < 1 or not self.step_share > 0:
            raise InputError(
                f"SPSA: steps {self.steps}, pairs {self.pairs} and step_share {self.step_share} "
                "must be positive"
            )
        if self.probe is not None and self.probe < 1:
            raise InputError(f"SPSA: probes {self.probe} codes away; give 1 at least")

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
        attempts = _Attempts(classifier, codes, labels, ball)
        n = codes.shape[1]
        reach = ball.radius if ball.norm == "linf" else ball.radius / np.sqrt(n)
        probe = self.probe or max(1, round(0.75 * reach))
        position = ball.random(codes, random, stream=0)
        mean, square = np.zeros(codes.shape), np.zeros(codes.shape)
        for step in range(1, self.steps + 1):
            active = attempts.active
            if active.size == 0:
                break
            grid = ball.to_grid(position[active], codes[active])
            attempts.try_points(active, grid)
            own = SampleRandom(seed, random.keys[active])
            slope = self._slope(attempts, active, grid, probe, own, step)
            mean[active] += (1 - _FIRST) * (slope - mean[active])
            square[active] += (1 - _SECOND) * (slope**2 - square[active])
            direction = mean[active] / (1 - _FIRST**step)
            direction /= np.sqrt(square[active] / (1 - _SECOND**step)) + _TINY
            moved = position[active] - self.step_share * reach * direction
            position[active] = ball.project(moved, codes[active])
        active = attempts.active
        attempts.try_points(active, ball.to_grid(position[active], codes[active]))
        return attempts.outcome()

    def _slope(
        self,
        attempts: _Attempts,
        active: NDArray[np.int64],
        grid: Codes,
        probe: int,
        random: SampleRandom,
        step: int,
    ) -> Points:
        """Return the estimated gradient of the margin, [A, n], at whole points."""
        n, largest = grid.shape[1], attempts.ball.max_code
        draws = random.uniform(self.pairs * n, step).reshape(-1, self.pairs, n)
        signs = np.where(draws < 0.5, -1, 1)
        slope = np.zeros(grid.shape)
        for k in range(self.pairs):
            ends = [np.clip(grid + d * signs[:, k], 0, largest) for d in (probe, -probe)]
            up, down = (attempts.try_points(active, end.astype(np.int32)) for end in ends)
            slope += (up - down)[:, None] * signs[:, k]
        return slope / (2 * probe * self.pairs)


class _Attempts:
    """The best point per sample while the attack runs; lives only inside ``SPSA.run``."""

    def __init__(self, classifier: Classifier, codes: Codes, labels: Labels, ball: Ball) -> None:
        self.classifier, self.codes, self.labels, self.ball = classifier, codes, labels, ball
        self._best, self._queries = codes.copy(), 0
        self._margin = np.full(codes.shape[0], np.inf)

    @property
    def active(self) -> NDArray[np.int64]:
        """Indices of the samples that are not yet wrong."""
        return np.flatnonzero(self._margin > 0)

    def try_points(self, active: NDArray[np.int64], points: Codes) -> NDArray[np.float64]:
        """Return the margins of whole points of some samples; keep the best inside the ball."""
        if active.size == 0:
            return np.zeros(0)
        found = margins(self.classifier, points, self.labels[active])
        self._queries += active.size
        better = (found < self._margin[active]) & self.ball.contains(points, self.codes[active])
        # The first wrong point stays, whatever comes later in the same step.
        better &= self._margin[active] > 0
        self._best[active[better]] = points[better]
        self._margin[active[better]] = found[better]
        return found

    def outcome(self) -> AttackOutcome:
        """Return what was found."""
        nothing = np.zeros(self.labels.size, dtype=np.bool_)
        return AttackOutcome(self._best, self._margin <= 0, 0.0, nothing, self._queries)
