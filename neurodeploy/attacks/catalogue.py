"""Perturbations and attacks by name, as options and configuration files spell them."""

from __future__ import annotations

import re

from neurodeploy.attacks.apgd import APGD
from neurodeploy.attacks.attack import Attack
from neurodeploy.attacks.corners import Corners
from neurodeploy.attacks.fgsm import FGSM, RandomFGSM
from neurodeploy.attacks.noise import GaussianNoise
from neurodeploy.attacks.noise_bounded import SignNoise, SphereNoise, UniformNoise
from neurodeploy.attacks.perturbation import Perturbation
from neurodeploy.attacks.pgd import PGD
from neurodeploy.attacks.spsa import SPSA
from neurodeploy.attacks.square import Square
from neurodeploy.errors import InputError

_PGD = re.compile(r"pgd([1-9][0-9]{0,3})")
_ATTACKS: dict[str, Attack] = {
    "corners": Corners(),
    "fgsm": FGSM(),
    "r+fgsm": RandomFGSM(),
    "apgd-ce": APGD(),
    "apgd-dlr": APGD(loss="dlr"),
    "apgd-t": APGD(loss="dlr", targets=9),
    "square": Square(),
    "spsa": SPSA(),
}
_PERTURBATIONS: dict[str, Perturbation] = {
    noise.name: noise for noise in (GaussianNoise(), UniformNoise(), SignNoise(), SphereNoise())
}


def attack_named(name: str, restarts: int = 2) -> Attack | None:
    """Return the attack called ``name``, or None; ``restarts`` holds for ``pgd<steps>``."""
    if match := _PGD.fullmatch(name):
        return PGD(steps=int(match[1]), restarts=restarts)
    return _ATTACKS.get(name)


def perturbation_named(name: str) -> Perturbation:
    """Return the perturbation called ``name``.

    Raises
    ------
    InputError
        For any other name; the message lists what there is.
    """
    if name not in _PERTURBATIONS:
        raise InputError(
            f"perturbation {name!r} does not exist; there are {', '.join(_PERTURBATIONS)}, and the "
            f"attacks {', '.join(_ATTACKS)} and pgd<steps> (for example pgd20)"
        )
    return _PERTURBATIONS[name]


def perturbation(name: str, restarts: int = 2) -> Attack | Perturbation:
    """Return the attack or perturbation called ``name``; errors as ``perturbation_named``."""
    return attack_named(name, restarts) or perturbation_named(name)
