"""The pool: every point that any member found, replayed exactly on both networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Attack, Ball, Perturbation
from neurodeploy.robustness.classifiers import Attackable
from neurodeploy.robustness.config import SIDES, RobustnessConfig, Side
from neurodeploy.robustness.surrogates import Surrogate

Tick = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One adversary: which network it attacks (None: noise, none), with which width and seed."""

    name: str
    attacked: Side | None
    width: float | None
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A member that ran: its plan and the health of its gradients (see ``AttackOutcome``)."""

    plan: MemberPlan
    zero_gradient_share: float
    stuck: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CleanSamples:
    """The evaluation samples and what each network says to them, before any perturbation."""

    codes: NDArray[np.int32]
    labels: NDArray[np.int64]
    predicted: Mapping[Side, NDArray[np.int64]]

    def right(self, side: Side) -> NDArray[np.bool_]:
        """Return where network ``side`` is right, [n]; a tie (-1) is wrong."""
        right: NDArray[np.bool_] = self.predicted[side] == self.labels
        return right


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All points of one perturbation at one radius, and what each network says to each.

    Parameters
    ----------
    points : int32 [members, n, n_input]
    predicted : mapping of side to int64 [members, n]
        Exact predictions; -1 is a tie.
    null_points : int32 [null members, n, n_input]
        Points of the float members with another seed.
    null_predicted : int64 [null members, n]
        The float network's predictions on them.
    """

    perturbation: str
    radius_codes: int
    in_ball: bool
    clean: CleanSamples
    members: tuple[Member, ...]
    points: NDArray[np.int32]
    predicted: Mapping[Side, NDArray[np.int64]]
    null_points: NDArray[np.int32]
    null_predicted: NDArray[np.int64]

    @property
    def has_null(self) -> bool:
        """Whether the null line has a second side; an attack without randomness has none."""
        return bool(self.null_points.shape[0] > 0)

    @property
    def is_attack(self) -> bool:
        """Whether any member follows gradients; noise has none."""
        return any(member.plan.attacked for member in self.members)

    def right_on(self, side: Side, attacked: set[Side | None]) -> NDArray[np.bool_]:
        """Return where ``side`` is right on all points of the members that attack ``attacked``.

        The clean point is not among them. All true where there is no such member.
        """
        chosen = [i for i, member in enumerate(self.members) if member.plan.attacked in attacked]
        right: NDArray[np.bool_] = (self.predicted[side][chosen] == self.clean.labels).all(axis=0)
        return right

    def robust(self, side: Side) -> NDArray[np.bool_]:
        """Return where ``side`` is right on every pooled point and on the clean one, [n]."""
        return self.clean.right(side) & self.right_on(side, {"float", "fixed", None})

    def null_robust(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where the float network is robust for either side of the null line, [n] each.

        First side: the float members (for noise: all draws) of this pool. Second side: the same
        members with the null seed. Both with the clean point.
        """
        clean = self.clean.right("float")
        second = (self.null_predicted == self.clean.labels).all(axis=0)
        return clean & self.right_on("float", {"float", None}), clean & second

    def ties(self, side: Side) -> int:
        """Return on how many samples ``side`` ties at the top for some pooled or clean point."""
        tied = (self.predicted[side] == -1).any(axis=0) | (self.clean.predicted[side] == -1)
        return int(tied.sum())


def is_attack(attack: Attack | Perturbation) -> TypeGuard[Attack]:
    """Whether ``attack`` looks at the classifier; a perturbation changes samples blindly."""
    return hasattr(attack, "run")


def plan_members(
    attack: Attack | Perturbation, config: RobustnessConfig, null: bool = False
) -> tuple[MemberPlan, ...]:
    """Return the members of one perturbation; with ``null`` those of the null line's second side.

    Attacks: {float, fixed} x widths; both networks are attacked from the same random starts, so
    that a difference between them is not luck of the start. Noise: ``noise_draws`` draws, the
    same points for both networks. No seed depends on the radius. An attack without randomness has
    no null line: its second run is the first one again, and would show a luck of zero.
    """
    if null and not attack.uses_seed:
        return ()
    if not is_attack(attack):
        return tuple(
            MemberPlan(f"draw{k}", None, None, config.member_seed(attack.name, k, null=null))
            for k in range(config.noise_draws)
        )
    return tuple(
        MemberPlan(
            f"{side} width {width:g}",
            side,
            width,
            config.member_seed(attack.name, index, null=null),
        )
        for side in (SIDES[:1] if null else SIDES)
        for index, width in enumerate(config.widths)
    )


def member_count(attack: Attack | Perturbation, config: RobustnessConfig, null: bool = True) -> int:
    """Return how many members ``build_pool`` runs."""
    extra = len(plan_members(attack, config, null=True)) if null else 0
    return len(plan_members(attack, config)) + extra


def build_pool(
    attack: Attack | Perturbation,
    radius_codes: int,
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    config: RobustnessConfig,
    tick: Tick,
    *,
    null: bool = True,
) -> Pool:
    """Run all members of one perturbation at one radius and replay every point on both networks.

    ``null=False`` leaves the null line's second side empty (for checks that need none).
    """
    members, points = _run(
        attack, radius_codes, plan_members(attack, config), classifiers, clean, tick
    )
    plans = plan_members(attack, config, null=True) if null else ()
    _, null_points = _run(attack, radius_codes, plans, classifiers, clean, tick)
    return Pool(
        perturbation=attack.name,
        radius_codes=radius_codes,
        in_ball=is_attack(attack),
        clean=clean,
        members=members,
        points=points,
        predicted={side: replay_points(classifiers[side], points) for side in SIDES},
        null_points=null_points,
        null_predicted=replay_points(classifiers["float"], null_points),
    )


def replay_points(classifier: Any, points: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return exact predictions [members, n] for points [members, n, n_input], in one batch."""
    members, n, n_input = points.shape
    if members == 0:
        return np.zeros((0, n), dtype=np.int64)
    flat = classifier.predict(points.reshape(members * n, n_input))
    return np.asarray(flat, dtype=np.int64).reshape(members, n)


def _run(
    attack: Attack | Perturbation,
    radius_codes: int,
    plans: tuple[MemberPlan, ...],
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    tick: Tick,
) -> tuple[tuple[Member, ...], NDArray[np.int32]]:
    members = []
    points = np.zeros((len(plans), *clean.codes.shape), dtype=np.int32)
    for index, plan in enumerate(plans):
        tick(f"{attack.name} at {radius_codes} codes: {plan.name}")
        if not is_attack(attack):
            seed, largest = plan.seed, classifiers["float"].max_code
            noise = cast("Perturbation", attack)
            points[index] = noise.points(clean.codes, radius_codes, seed, largest, keys=None)
            members.append(Member(plan, 0.0, np.zeros(clean.labels.size, dtype=np.bool_)))
            continue
        classifier = classifiers[plan.attacked or "float"]
        outcome = attack.run(
            classifier.under(Surrogate(width=plan.width or 1.0)),
            clean.codes,
            clean.labels,
            Ball("linf", radius_codes, classifier.max_code),
            plan.seed,
        )
        members.append(Member(plan, outcome.zero_gradient_share, outcome.stuck))
        points[index] = outcome.codes
    return tuple(members), points
