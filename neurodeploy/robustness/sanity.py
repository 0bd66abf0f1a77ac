"""Sanity lines: signs that an attack was too weak for its result to be believed.

Each line concerns one network. Where two attacks are compared, on the same images, the line fails
if one is weaker than it must be by more than the slack and beyond sampling noise (one-sided 95 %
limit); else, of the hundred comparisons behind a model, some would fail by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neurodeploy.robustness.config import CONFIDENCE, SIDES, Side
from neurodeploy.robustness.pool import Pool
from neurodeploy.robustness.statistics import score_limit

#: Slack of every comparison, in points of accuracy.
SLACK_POINTS = 2.0
#: Samples counted robust although the attack on them never saw a gradient, in points.
STUCK_POINTS = 5.0
#: What a second surrogate width, a second run or a stronger attack may still find, in points.
MORE_POINTS = 5.0


@dataclass(frozen=True, slots=True)
class SanityLine:
    """One check: what must hold, whether it does, with which numbers, for which network."""

    line: str
    ok: bool
    detail: str
    concerns: Side
    perturbation: str
    radius_codes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON types."""
        return asdict(self)


def pool_lines(pool: Pool) -> tuple[SanityLine, ...]:
    """Return the lines that one pool of a gradient attack can tell by itself; none for noise."""
    if not pool.is_attack:
        return ()
    lines = [_null_line(pool)] if pool.has_null else []
    for side in SIDES:
        lines += [_gradient_line(pool, side), _width_line(pool, side), _transfer_line(pool, side)]
    return tuple(lines)


def radius_lines(pools: Sequence[Pool]) -> tuple[SanityLine, ...]:
    """Return the lines "a larger radius is not weaker" for one attack, rising radii.

    The line belongs to the larger radius, whose attack is the suspect.
    """
    lines: list[SanityLine] = []
    if not pools or not pools[0].is_attack:
        return ()
    for small, large in pairwise(pools):
        for side in SIDES:
            before, after = small.robust(side), large.robust(side)
            detail = (
                f"{side}: {_points(before):.1f} % at {small.radius_codes} codes, "
                f"{_points(after):.1f} % at {large.radius_codes}"
            )
            ok = not _weaker(after, before)
            lines.append(_line("a larger radius is not weaker", ok, detail, side, large))
    return tuple(lines)


def fgsm_lines(pgd: Pool, fgsm: Pool) -> tuple[SanityLine, ...]:
    """Return the lines "PGD is not weaker than FGSM" at one radius."""
    lines = []
    for side in SIDES:
        many, one = pgd.robust(side), fgsm.robust(side)
        detail = (
            f"{side}: {_points(many):.1f} % under {pgd.perturbation}, "
            f"{_points(one):.1f} % under fgsm"
        )
        ok = not _weaker(many, one)
        lines.append(_line("PGD is not weaker than FGSM", ok, detail, side, pgd))
    return tuple(lines)


def large_radius_lines(pool: Pool) -> tuple[SanityLine, ...]:
    """Return the lines "a large radius breaks the network".

    At half of the code range every image can become the same grey image. No classifier is right
    on more than the share of the most frequent class then; an attack that leaves more is too weak.
    """
    labels = pool.clean.labels
    limit = 100 * float(np.bincount(labels).max()) / labels.size
    lines = []
    for side in SIDES:
        accuracy = _points(pool.robust(side))
        detail = (
            f"{side}: {accuracy:.1f} % at {pool.radius_codes} codes; "
            f"at most {limit:.1f} % is possible"
        )
        ok = accuracy <= limit
        lines.append(_line("a large radius breaks the network", ok, detail, side, pool))
    return tuple(lines)


def stronger_lines(pool: Pool, stronger: Pool) -> tuple[SanityLine, ...]:
    """Return the lines "a stronger attack finds little more": robust accuracies are upper bounds.

    ``stronger`` is an attack at the same radius with more steps and restarts.
    Two runs of one attack agree long before either has found all there is; this line tells more.
    """
    lines = []
    for side in SIDES:
        before = pool.robust(side)
        after = before & stronger.robust(side)
        more = _points(before) - _points(after)
        detail = (
            f"{side}: {_points(before):.1f} %, and {_points(after):.1f} % with the points of "
            f"{stronger.perturbation} (three times the restarts) too: {more:.1f} points less"
        )
        # Counted, not subtracted, so that 5 points are 5 points.
        ok = _points(before & ~after) <= MORE_POINTS
        lines.append(_line("a stronger attack finds little more", ok, detail, side, pool))
    return tuple(lines)


def summarise(lines: Iterable[SanityLine]) -> tuple[dict[str, Any], ...]:
    """Return one entry per kind of line: ``line``, ``ok``, ``detail`` (of the first that fails)."""
    kinds: dict[str, list[SanityLine]] = {}
    for line in lines:
        kinds.setdefault(line.line, []).append(line)
    entries = []
    for name, group in kinds.items():
        bad = [line for line in group if not line.ok]
        where = bad[0] if bad else group[len(group) // 2]
        at = f"{where.perturbation} at {where.radius_codes} codes, {where.detail}"
        held = f"holds {len(group) - len(bad)} of {len(group)} times"
        detail = f"{held}; fails first: {at}" if bad else f"{held}; for example {at}"
        entries.append({"line": name, "ok": not bad, "detail": detail})
    return tuple(entries)


def weak_sides(lines: Iterable[SanityLine]) -> frozenset[Side]:
    """Return the networks on which an attack was too weak."""
    return frozenset(line.concerns for line in lines if not line.ok)


def _null_line(pool: Pool) -> SanityLine:
    first, second = pool.null_robust()
    lost, gained = _points(first & ~second), _points(~first & second)
    # Either run may be the lucky one: on average a second run finds half of both.
    detail = (
        f"float against float: lost {lost:.1f}, gained {gained:.1f} points by luck, "
        f"so a second run finds about {(lost + gained) / 2:.1f} more"
    )
    ok = (lost + gained) / 2 <= MORE_POINTS
    return _line("a second run finds little more", ok, detail, "float", pool)


def _gradient_line(pool: Pool, side: Side) -> SanityLine:
    own = [member for member in pool.members if member.plan.attacked == side]
    stuck = np.logical_and.reduce([member.stuck for member in own]) & pool.robust(side)
    share = min(member.zero_gradient_share for member in own)
    detail = (
        f"{side}: {_points(stuck):.1f} points counted robust without any gradient; "
        f"{100 * share:.1f} % of all gradients were zero"
    )
    return _line("gradients are not zero", _points(stuck) <= STUCK_POINTS, detail, side, pool)


def _width_line(pool: Pool, side: Side) -> SanityLine:
    own = {
        f"{member.plan.width:g}": _points(pool.predicted[side][index] == pool.clean.labels)
        for index, member in enumerate(pool.members)
        if member.plan.attacked == side
    }
    both = _points(pool.right_on(side, {side}))
    listed = ", ".join(f"width {width} {accuracy:.1f} %" for width, accuracy in own.items())
    detail = f"{side}: {listed}, together {both:.1f} %"
    ok = min(own.values()) - both <= MORE_POINTS
    return _line("a second width finds little more", ok, detail, side, pool)


def _transfer_line(pool: Pool, side: Side) -> SanityLine:
    other: Side = "fixed" if side == "float" else "float"
    white, transfer = pool.right_on(side, {side}), pool.right_on(side, {other})
    detail = (
        f"{side}: {_points(white):.1f} % on its own adversaries, "
        f"{_points(transfer):.1f} % on those of {other}"
    )
    ok = not _weaker(white, transfer)
    return _line("the white box is not weaker than transfer", ok, detail, side, pool)


def _line(line: str, ok: bool, detail: str, side: Side, pool: Pool) -> SanityLine:
    return SanityLine(line, bool(ok), detail, side, pool.perturbation, pool.radius_codes)


def _weaker(attack: Any, reference: Any) -> bool:
    """Whether ``attack`` leaves more samples right than ``reference``, beyond slack and noise."""
    more, fewer = int((attack & ~reference).sum()), int((~attack & reference).sum())
    limit = score_limit(more, fewer, attack.size, CONFIDENCE, upper=False)
    return 100 * limit > SLACK_POINTS


def _points(mask: Any) -> float:
    return 100 * float(np.mean(mask))
