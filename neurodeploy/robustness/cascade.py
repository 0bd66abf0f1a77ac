"""The cascade: cheap adversaries first, and only survivors go on to the next stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Ball
from neurodeploy.errors import RangeError
from neurodeploy.robustness.classifiers import Attackable
from neurodeploy.robustness.point_rows import PointRows, join_rows
from neurodeploy.robustness.suite import MemberPlan, Suite

Tick = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A member that ran: how it went against one network.

    Parameters
    ----------
    plan : MemberPlan
    seed : int
    attacked : bool [n]
        Samples it ran on: those that nothing before its stage had broken.
    stuck : bool [n]
        Of these, those on which it never saw a gradient (see ``AttackOutcome``).
    zero_gradient_share : float
    queries : int
        Forward passes, counted per sample.
    """

    plan: MemberPlan
    seed: int
    attacked: NDArray[np.bool_]
    stuck: NDArray[np.bool_]
    zero_gradient_share: float
    queries: int


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """What one cascade did to one network; ``rows.member`` counts ``members``."""

    members: tuple[Member, ...]
    rows: PointRows


def run_cascade(
    suite: Suite,
    seeds: Sequence[int],
    classifier: Attackable,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    ball: Ball,
    tick: Tick,
) -> Trail:
    """Attack one network with every member of ``suite``.

    A sample leaves after the stage in which the network was wrong (or tied) on a point, judged
    by its exact predictions; one that is wrong without any attack never enters. A sample's points
    hang on nothing but itself, so that two cascades of one network differ by their seeds alone.

    Parameters
    ----------
    seeds : sequence of int
        One per member.
    codes, labels : int32 [n, n_input], int64 [n]
        Clean samples; their position is their key.
    tick : callable
        Called with the member's name before it runs.

    Raises
    ------
    RangeError
        If an attack hands back a point outside the ball.
    """
    alive = classifier.predict(codes) == labels
    members: list[Member] = []
    parts: list[PointRows] = []
    planned = zip(suite.plans, seeds, strict=True)
    for _, group in groupby(planned, key=lambda pair: pair[0].stage):
        keys = np.flatnonzero(alive)
        for plan, seed in group:
            tick(plan.name)
            member, points = _run(plan, seed, classifier, codes, labels, ball, keys)
            number = np.full(keys.size, len(members), dtype=np.int64)
            members.append(member)
            parts.append(PointRows(keys, number, points))
            if keys.size:
                alive[keys[classifier.predict(points) != labels[keys]]] = False
    return Trail(tuple(members), join_rows(parts, codes.shape[1]))


def _run(
    plan: MemberPlan,
    seed: int,
    classifier: Attackable,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    ball: Ball,
    keys: NDArray[np.int64],
) -> tuple[Member, NDArray[np.int32]]:
    attacked = np.zeros(labels.shape, dtype=np.bool_)
    stuck = np.zeros(labels.shape, dtype=np.bool_)
    if keys.size == 0:
        return Member(plan, seed, attacked, stuck, 0.0, 0), codes[keys]
    attacked[keys] = True
    seen = classifier.under(plan.surrogate)
    outcome = plan.attack.run(seen, codes[keys], labels[keys], ball, seed, keys)
    outside = ~ball.contains(outcome.codes, codes[keys])
    if outside.any():
        raise RangeError(
            f"attack {plan.name}: {int(outside.sum())} of {keys.size} points leave the "
            f"{ball.norm} ball of {ball.radius:g} codes or the range 0..{ball.max_code}"
        )
    stuck[keys] = outcome.stuck
    share, queries = outcome.zero_gradient_share, outcome.queries
    return Member(plan, seed, attacked, stuck, share, queries), outcome.codes
