"""Which adversaries attack, in which order: one list for both networks."""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.attacks import (
    APGD,
    FGSM,
    PGD,
    Attack,
    Corners,
    Perturbation,
    Square,
    attack_named,
    perturbation_named,
)
from neurodeploy.errors import InputError
from neurodeploy.robustness.surrogates import Surrogate

#: Name of the full cascade.
FULL = "suite"


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One adversary. It names no network: each is attacked by every member.

    Parameters
    ----------
    stage : int
        Members of one stage run on the same samples; what they break leaves after the stage.
    stronger : bool
        Whether it is the check at the end: a longer attack that should find little more.
    """

    attack: Attack
    surrogate: Surrogate
    stage: int
    stronger: bool = False

    @property
    def name(self) -> str:
        """Name in tables and files."""
        seen = f" {self.surrogate}" if self.attack.uses_gradient else ""
        return f"{self.attack.name}{seen}{' (stronger)' if self.stronger else ''}"


@dataclass(frozen=True, slots=True)
class Suite:
    """A cascade: members in the order of their stages, cheap ones first.

    Raises
    ------
    InputError
        If there is no member, stages fall, or two members have one name.
    """

    name: str
    plans: tuple[MemberPlan, ...]

    def __post_init__(self) -> None:
        """Check the order."""
        stages, names = [p.stage for p in self.plans], [p.name for p in self.plans]
        if not names or stages != sorted(stages) or len(set(names)) != len(names):
            raise InputError(
                f"suite {self.name!r}: members {names} in stages {stages} must be given, by rising "
                "stage, and each only once"
            )

    @property
    def uses_seed(self) -> bool:
        """Whether another seed gives other points."""
        return any(p.attack.uses_seed for p in self.plans)


def named_suite(name: str, image_shape: tuple[int, int, int] | None = None) -> Suite | Perturbation:
    """Return the cascade ``suite``, that of one attack with its check, or a perturbation.

    One attack alone runs with three surrogates. Every cascade ends with the check, so that no
    robust accuracy stands on one attack's word.

    Raises
    ------
    InputError
        If there is neither a suite, nor an attack, nor a perturbation of that name.
    """
    if name == FULL:
        return full_suite(image_shape)
    attack = attack_named(name)
    if attack is None:
        return perturbation_named(name)
    surrogates = _WIDTHS if attack.uses_gradient else _WIDTHS[:1]
    plans = [MemberPlan(attack, surrogate, 0) for surrogate in surrogates]
    return Suite(name, (*plans, *_stronger(1)))


#: Widths that one attack of each suite runs with on the same samples, to see what width does.
_WIDTHS = tuple(Surrogate("triangle", width) for width in (0.25, 0.5, 1.0))


def full_suite(image_shape: tuple[int, int, int] | None = None) -> Suite:
    """Return the default cascade.

    Five shapes of surrogate in several widths, one per member, because the full product costs many
    times as much. Different surrogates break different samples, and narrow ones (an eighth to a
    half of the threshold) break most; one alone leaves several points of accuracy that are not
    there. What is left is rugged: short climbs of the margin from new random starts, each through
    another surrogate, find more in the same time than more targets, more steps or queries.

    Parameters
    ----------
    image_shape : (C, H, W) or None
        For windows of the query attack.
    """
    short = PGD(10, restarts=1, losses=("cross_entropy",))
    climb = APGD(20, loss="margin")
    members: list[tuple[Attack, Surrogate]] = [
        (APGD(20), Surrogate("superspike", 0.125)),
        (climb, Surrogate("triangle", 0.125)),
        (APGD(20, loss="dlr"), Surrogate("rectangle", 0.25)),
        (climb, Surrogate("rectangle", 0.5)),
        (climb, Surrogate("superspike", 0.25)),
        (climb, Surrogate("sigmoid", 0.25)),
        (climb, Surrogate("triangle", 0.5)),
        (climb, Surrogate("gaussian", 0.5)),
        (climb, Surrogate("rectangle", 0.125)),
        (climb, Surrogate("superspike", 0.125)),
        (APGD(10, loss="margin", targets=4), Surrogate("triangle", 0.25)),
        (APGD(10, loss="dlr", targets=4), Surrogate("rectangle", 0.125)),
        (APGD(25, loss="dlr"), Surrogate("superspike", 0.5)),
        (APGD(10, loss="margin", targets=9), Surrogate("superspike", 0.25)),
        (Square(100, shape=image_shape), Surrogate()),
    ]
    plans = [
        MemberPlan(Corners(4), Surrogate(), 0),
        MemberPlan(FGSM(), Surrogate(), 1),
        *(MemberPlan(short, surrogate, 2) for surrogate in _WIDTHS),
        *(MemberPlan(attack, seen, 3 + k) for k, (attack, seen) in enumerate(members)),
        *_stronger(3 + len(members)),
    ]
    return Suite(FULL, tuple(plans))


def _stronger(stage: int) -> tuple[MemberPlan, ...]:
    attack = PGD(40, restarts=2, losses=("margin", "dlr"))
    return (MemberPlan(attack, Surrogate("superspike", 0.125), stage, stronger=True),)
