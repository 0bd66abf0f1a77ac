"""Random corners of the ball: the cheapest adversary, and one that no gradient can mislead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked, checked_keys
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class Corners:
    """Every input moves by the whole radius (l2: all equally), up or down at random.

    Parameters
    ----------
    draws : int
        Points tried per sample; the first wrong one is kept, else the last.
    """

    draws: int = 4
    name: str = "corners"
    uses_gradient: bool = False
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if self.draws < 1:
            raise InputError(f"corners: draws {self.draws} must be at least 1")

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
        points, found, queries = codes.copy(), np.zeros(labels.size, dtype=np.bool_), 0
        for draw in range(self.draws):
            active = np.flatnonzero(~found)
            if active.size == 0:
                break
            points[active] = ball.corner(codes, random, stream=draw)[active]
            found[active] = classifier.predict(points[active]) != labels[active]
            queries += active.size
        return AttackOutcome(points, found, 0.0, np.zeros_like(found), queries)
