"""Perturbations and attacks on any differentiable classifier, on its integer code grid."""

from neurodeploy.attacks.apgd import APGD
from neurodeploy.attacks.attack import Attack, AttackOutcome
from neurodeploy.attacks.ball import Ball, Norm
from neurodeploy.attacks.bernoulli_code import BernoulliCode
from neurodeploy.attacks.catalogue import perturbation
from neurodeploy.attacks.classifier import Classifier
from neurodeploy.attacks.eot import Expectation, StochasticClassifier
from neurodeploy.attacks.fgsm import FGSM, RandomFGSM
from neurodeploy.attacks.gradient import Loss, LossGradient, loss_gradient
from neurodeploy.attacks.noise import GaussianNoise
from neurodeploy.attacks.perturbation import Perturbation
from neurodeploy.attacks.pgd import PGD
from neurodeploy.attacks.randomness import SampleRandom

__all__ = [
    "APGD",
    "FGSM",
    "PGD",
    "Attack",
    "AttackOutcome",
    "Ball",
    "BernoulliCode",
    "Classifier",
    "Expectation",
    "GaussianNoise",
    "Loss",
    "LossGradient",
    "Norm",
    "Perturbation",
    "RandomFGSM",
    "SampleRandom",
    "StochasticClassifier",
    "loss_gradient",
    "perturbation",
]
