"""Gaussian noise on the code grid: a perturbation that knows nothing of the classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Add independent normal noise of standard deviation ``radius`` codes to every input.

    The noise is rounded to whole codes (half to even) and the sum clipped to the code range.
    Equal seeds give the same directions at every radius, so curves over the radius are smooth.
    """

    name: str = "gaussian"
    in_ball: bool = False
    uses_gradient: bool = False
    uses_seed: bool = True

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        radius: int,
        seed: int,
        width: float = 1.0,
    ) -> AttackOutcome:
        """Return one noisy point per sample; see ``Attack.run``. ``width`` is not used."""
        codes, labels = checked(codes, labels, radius, classifier.max_code)
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(codes.shape, generator=generator, dtype=torch.float64).numpy()
        noisy = codes + np.rint(normal * radius)
        points = np.clip(noisy, 0, classifier.max_code).astype(np.int32)
        nothing = np.zeros(codes.shape[0], dtype=np.bool_)
        return AttackOutcome(points, classifier.predict(points) != labels, 0.0, nothing)
