"""Perturbations by name, as options and configuration files spell them."""

from __future__ import annotations

import re

from neurodeploy.attacks.attack import Attack
from neurodeploy.attacks.fgsm import FGSM
from neurodeploy.attacks.noise import GaussianNoise
from neurodeploy.attacks.perturbation import Perturbation
from neurodeploy.attacks.pgd import PGD
from neurodeploy.errors import InputError

_PGD = re.compile(r"pgd([1-9][0-9]{0,3})")


def perturbation(name: str, restarts: int = 2) -> Attack | Perturbation:
    """Return the perturbation called ``name``: ``gaussian``, ``fgsm`` or ``pgd<steps>``.

    ``restarts`` holds for the attacks that have random starts.

    Raises
    ------
    InputError
        For any other name; the message lists what there is.
    """
    if name == "gaussian":
        return GaussianNoise()
    if name == "fgsm":
        return FGSM()
    if match := _PGD.fullmatch(name):
        return PGD(steps=int(match[1]), restarts=restarts)
    raise InputError(
        f"perturbation {name!r} does not exist; there are gaussian, fgsm and pgd<steps> "
        "(for example pgd20)"
    )
