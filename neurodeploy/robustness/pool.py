"""The pool: every point that any member found, replayed exactly on both networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Ball, Perturbation
from neurodeploy.errors import InputError
from neurodeploy.robustness.cascade import Member, Tick, Trail, run_cascade
from neurodeploy.robustness.classifiers import Attackable
from neurodeploy.robustness.config import SIDES, RobustnessConfig, Side
from neurodeploy.robustness.given_points import GivenPoints, names_apart
from neurodeploy.robustness.point_rows import PointRows, join_rows, no_rows
from neurodeploy.robustness.suite import MemberPlan, Suite


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
class PoolMember:
    """Who chose points: a member against one network, a draw of noise (``ran`` None), or others.

    ``given``: the points came from elsewhere; they count, but belong to no network's attack.
    """

    name: str
    attacked: Side | None
    ran: Member | None
    given: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All points of one suite or perturbation at one strength, and what each network says.

    Parameters
    ----------
    ball : Ball or None
        None for noise.
    members : tuple of PoolMember
    rows : PointRows
        ``rows.member`` counts ``members``.
    predicted : mapping of side to int64 [m]
        Exact predictions on ``rows``; -1 is a tie.
    null_rows : PointRows
        Points of the second side of the null line; none where there is none.
    null_predicted : int64 [null m]
        The float network's predictions on them.

    Raises
    ------
    InputError
        If the members that attacked the two networks are not the same, seed for seed: a
        comparison of unequal suites cannot be made.
    """

    perturbation: str
    radius_codes: float
    ball: Ball | None
    clean: CleanSamples
    members: tuple[PoolMember, ...]
    rows: PointRows
    predicted: Mapping[Side, NDArray[np.int64]]
    null_rows: PointRows
    null_predicted: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that both networks met the same adversaries."""
        plans = {side: self._met(side) for side in SIDES}
        if plans["float"] != plans["fixed"]:
            raise InputError(
                f"{self.perturbation} at {self.radius_codes} codes: the float network met "
                f"{len(plans['float'])} members and the fixed one {len(plans['fixed'])}, or they "
                "differ; both must meet the same suite with the same seeds"
            )

    @property
    def has_null(self) -> bool:
        """Whether the null line has a second side; an attack without randomness has none."""
        return bool(self.null_rows.sample.size > 0)

    @property
    def is_attack(self) -> bool:
        """Whether any member looks at a network; noise has none."""
        return any(member.attacked for member in self.members)

    def numbers(self, side: Side | None) -> tuple[int, ...]:
        """Return which members attack ``side`` (None: neither); none that were given."""
        return tuple(i for i, m in enumerate(self.members) if m.attacked == side and not m.given)

    @property
    def given(self) -> tuple[int, ...]:
        """Which members came from elsewhere."""
        return tuple(i for i, member in enumerate(self.members) if member.given)

    def right_on(self, side: Side, members: Collection[int]) -> NDArray[np.bool_]:
        """Return where ``side`` is right on the points of ``members``, [n]; not the clean one."""
        return self.rows.right(self.predicted[side], self.clean.labels, members)

    @property
    def own(self) -> tuple[int, ...]:
        """Which members ran, or drew noise, in this evaluation."""
        return tuple(i for i, member in enumerate(self.members) if not member.given)

    def robust(self, side: Side, *, given: bool = True) -> NDArray[np.bool_]:
        """Return where ``side`` is right on every pooled point and on the clean one, [n].

        ``given=False`` leaves out the points that came from elsewhere.
        """
        members = None if given else self.own
        right = self.rows.right(self.predicted[side], self.clean.labels, members)
        return self.clean.right(side) & right

    def null_robust(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where the float network is robust for either side of the null line, [n] each.

        First side: the members that attack it (for noise: all draws). Second side: the same
        members with the null seed. Both with the clean point; neither with points that were found
        on the other network.
        """
        clean = self.clean.right("float")
        own = (*self.numbers("float"), *self.numbers(None))
        second = self.null_rows.right(self.null_predicted, self.clean.labels)
        return clean & self.right_on("float", own), clean & second

    def ties(self, side: Side) -> int:
        """Return on how many samples ``side`` ties at the top for some pooled or clean point."""
        tied = self.clean.predicted[side] == -1
        tied[self.rows.sample[self.predicted[side] == -1]] = True
        return int(tied.sum())

    def _met(self, side: Side) -> list[tuple[MemberPlan, int]]:
        """Return plan and seed of every member against ``side``."""
        ran = [m.ran for m in self.members if m.attacked == side]
        return [(m.plan, m.seed) for m in ran if m is not None]


def member_count(asked: Suite | Perturbation, config: RobustnessConfig, null: bool = True) -> int:
    """Return how often ``build_pool`` ticks."""
    sides = 2 if null and asked.uses_seed else 1
    if isinstance(asked, Suite):
        return len(asked.plans) * (sides + 1)
    return config.noise_draws * sides


def build_pool(
    asked: Suite | Perturbation,
    strength: float,
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    config: RobustnessConfig,
    tick: Tick,
    *,
    null: bool = True,
    given: Sequence[GivenPoints] = (),
) -> Pool:
    """Run one cascade against each network, or draw noise, and replay every point on both.

    Both cascades have the same members and seeds, and no seed hangs on the strength: the networks
    are attacked from the same random starts, so that a difference between them is no luck of the
    start. The null line is one more cascade against the float network, with other seeds; an
    attack without randomness has none, as its second run is the first one again.
    ``null=False`` leaves it out. Points that were ``given`` join attacks where the ball holds them.
    """
    second = null and asked.uses_seed
    max_code = classifiers["float"].max_code
    n_input = clean.codes.shape[1]

    def say(name: str) -> None:
        tick(f"{asked.name} at {strength:g} codes: {name}")

    if isinstance(asked, Suite):
        ball = Ball(config.norm, strength, max_code)
        trails = {
            side: _trail(asked, config, False, classifiers[side], clean, ball, say)
            for side in SIDES
        }
        members = tuple(
            PoolMember(f"{side}: {m.plan.name}", side, m)
            for side in SIDES
            for m in trails[side].members
        )
        rows = _after(trails["float"], trails["fixed"], n_input)
        members, rows = _join_given(members, rows, given, ball, clean.codes)
        null_rows = no_rows(n_input)
        if second:
            null_rows = _trail(asked, config, True, classifiers["float"], clean, ball, say).rows
    else:
        ball = None
        members = tuple(PoolMember(f"draw{k}", None, None) for k in range(config.noise_draws))
        rows = _noise(asked, strength, config, False, clean, max_code, say)
        null_rows = no_rows(n_input)
        if second:
            null_rows = _noise(asked, strength, config, True, clean, max_code, say)
    return Pool(
        perturbation=asked.name,
        radius_codes=strength,
        ball=ball,
        clean=clean,
        members=members,
        rows=rows,
        predicted={side: classifiers[side].predict(rows.points) for side in SIDES},
        null_rows=null_rows,
        null_predicted=classifiers["float"].predict(null_rows.points),
    )


def _trail(
    suite: Suite,
    config: RobustnessConfig,
    null: bool,
    classifier: Attackable,
    clean: CleanSamples,
    ball: Ball,
    tick: Tick,
) -> Trail:
    seeds = [config.member_seed(suite.name, k, null=null) for k in range(len(suite.plans))]
    return run_cascade(suite, seeds, classifier, clean.codes, clean.labels, ball, tick)


def _after(first: Trail, second: Trail, n_input: int) -> PointRows:
    """Return the rows of both, the members of the second counted on from the first."""
    more = second.rows
    moved = PointRows(more.sample, more.member + len(first.members), more.points)
    return join_rows((first.rows, moved), n_input)


def _join_given(
    members: tuple[PoolMember, ...],
    rows: PointRows,
    given: Sequence[GivenPoints],
    ball: Ball,
    codes: NDArray[np.int32],
) -> tuple[tuple[PoolMember, ...], PointRows]:
    """Return members and rows with the given points that the ball holds."""
    parts = [rows]
    for points, name in zip(given, names_apart(given), strict=True):
        inside = points.inside(ball, codes)
        number = np.full(inside.sample.size, len(members), dtype=np.int64)
        parts.append(PointRows(inside.sample, number, inside.points))
        members = (*members, PoolMember(f"given: {name}", None, None, given=True))
    return members, join_rows(parts, codes.shape[1])


def _noise(
    noise: Perturbation,
    strength: float,
    config: RobustnessConfig,
    null: bool,
    clean: CleanSamples,
    max_code: int,
    tick: Tick,
) -> PointRows:
    """Return all draws on all samples: the same points for both networks."""
    keys = np.arange(clean.labels.size, dtype=np.int64)
    parts = []
    for k in range(config.noise_draws):
        tick(f"draw{k}")
        seed = config.member_seed(noise.name, k, null=null)
        points = noise.points(clean.codes, strength, seed, max_code, keys=keys)
        parts.append(PointRows(keys, np.full(keys.size, k, dtype=np.int64), points))
    return join_rows(parts, clean.codes.shape[1])
