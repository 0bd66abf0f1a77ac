"""Perturbations and attacks on any differentiable classifier, on its integer code grid."""

from neurodeploy.attacks.attack import Attack, AttackOutcome, clip_to_ball
from neurodeploy.attacks.catalogue import perturbation
from neurodeploy.attacks.classifier import Classifier
from neurodeploy.attacks.fgsm import FGSM
from neurodeploy.attacks.gradient import Loss, LossGradient, loss_gradient
from neurodeploy.attacks.noise import GaussianNoise
from neurodeploy.attacks.pgd import PGD

__all__ = [
    "FGSM",
    "PGD",
    "Attack",
    "AttackOutcome",
    "Classifier",
    "GaussianNoise",
    "Loss",
    "LossGradient",
    "clip_to_ball",
    "loss_gradient",
    "perturbation",
]
