"""Perturbations and attacks on any differentiable classifier, on its integer code grid."""

from neurodeploy.attacks.apgd import APGD
from neurodeploy.attacks.attack import Attack, AttackOutcome
from neurodeploy.attacks.ball import Ball, Norm
from neurodeploy.attacks.bernoulli_code import BernoulliCode
from neurodeploy.attacks.catalogue import attack_named, perturbation, perturbation_named
from neurodeploy.attacks.classifier import Classifier
from neurodeploy.attacks.corners import Corners
from neurodeploy.attacks.eot import Expectation, StochasticClassifier
from neurodeploy.attacks.fgsm import FGSM, RandomFGSM
from neurodeploy.attacks.gradient import Loss, LossGradient, loss_gradient
from neurodeploy.attacks.noise import GaussianNoise
from neurodeploy.attacks.perturbation import Perturbation
from neurodeploy.attacks.pgd import PGD
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.attacks.spsa import SPSA
from neurodeploy.attacks.square import Square

__all__ = [
    "APGD",
    "FGSM",
    "PGD",
    "SPSA",
    "Attack",
    "AttackOutcome",
    "Ball",
    "BernoulliCode",
    "Classifier",
    "Corners",
    "Expectation",
    "GaussianNoise",
    "Loss",
    "LossGradient",
    "Norm",
    "Perturbation",
    "RandomFGSM",
    "SampleRandom",
    "Square",
    "StochasticClassifier",
    "attack_named",
    "loss_gradient",
    "perturbation",
    "perturbation_named",
]
