"""Fast gradient sign method: one step of the full radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodeploy.attacks.attack import AttackOutcome, clip_to_ball
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked
from neurodeploy.attacks.gradient import Loss, loss_gradient


@dataclass(frozen=True, slots=True)
class FGSM:
    """Move every input by ``radius`` codes along the sign of the loss gradient.

    From the clean point; inputs without gradient stay. Source: Goodfellow et al., ICLR 2015.
    """

    loss: Loss = "cross_entropy"
    name: str = "fgsm"
    in_ball: bool = True
    uses_gradient: bool = True
    uses_seed: bool = False

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        radius: int,
        seed: int,
        width: float,
    ) -> AttackOutcome:
        """Return one point per sample; see ``Attack.run``. ``seed`` is not used."""
        codes, labels = checked(codes, labels, radius, classifier.max_code)
        clean = loss_gradient(classifier, codes, labels, width, self.loss)
        step = np.sign(clean.gradient).astype(np.int32) * radius
        points = clip_to_ball(codes + step, codes, radius, classifier.max_code)
        stuck = (clean.gradient == 0).all(axis=1)
        share = float(stuck.mean()) if stuck.size else 0.0
        return AttackOutcome(points, classifier.predict(points) != labels, share, stuck)
