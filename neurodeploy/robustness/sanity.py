"""Sanity lines: signs that an attack was too weak for its result to be believed.

Each line concerns one network and compares plain shares of the same images with a slack; noise of
sampling excuses nothing. A slack that bounds how wrong a robust accuracy may be is never above the
tolerance of the verdict: what is larger than the tolerance could turn it. Points from elsewhere
help no line to hold: all lines but the one about them leave them out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.robustness.cascade import Member
from neurodeploy.robustness.config import SIDES, Side
from neurodeploy.robustness.pool import Pool

#: How much weaker than another attack an attack may be, in points of accuracy.
SLACK_POINTS = 2.0
#: Samples counted robust although the attack on them never saw a gradient, in points.
STUCK_POINTS = 5.0
#: What a second run, a stronger attack or queries may still find, in points.
MORE_POINTS = 3.0
#: What other widths may find beyond the best one, in points. PGD of 10 steps with three widths on a
#: digits network, float, 8 and 4 bits, 360 images, 6 seeds: at most 3.6 points at 26 codes, 1.1 at
#: 52, and 4.7 (at 32) among radii from 13 to 77. So several points are normal for one short attack,
#: which is why a suite has many. This is no bound on what the suite misses.
WIDTH_POINTS = 6.5
#: Of the samples that must break at a large radius, the share that may be left, in percent. Every
#: attack asked left none on the same networks (see ``large_radius_lines``); this allows one of 200.
LEFT_PERCENT = 0.5
#: The line about points from elsewhere.
GIVEN_LINE = "points from elsewhere find little more"


@dataclass(frozen=True, slots=True)
class SanityLine:
    """One check: what must hold, whether it does, with which numbers, for which network."""

    line: str
    ok: bool
    detail: str
    concerns: Side
    perturbation: str
    radius_codes: float

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON types."""
        return asdict(self)


def pool_lines(pool: Pool, tolerance_points: float) -> tuple[SanityLine, ...]:
    """Return the lines that one pool of an attack can tell by itself; none for noise."""
    if not pool.is_attack:
        return ()
    more = min(MORE_POINTS, tolerance_points)
    lines = [_null_line(pool, more)] if pool.has_null else []
    for side in SIDES:
        lines += _gradient_lines(pool, side, min(STUCK_POINTS, tolerance_points))
        # Not bounded by the tolerance: what one width misses, the others find.
        lines += _width_lines(pool, side)
        lines.append(_transfer_line(pool, side, min(SLACK_POINTS, tolerance_points)))
        lines += _stronger_lines(pool, side, more)
        lines += _query_lines(pool, side, more)
        lines += _given_lines(pool, side, tolerance_points)
    return tuple(lines)


def radius_lines(pools: Sequence[Pool], tolerance_points: float) -> tuple[SanityLine, ...]:
    """Return the lines "a larger radius is not weaker" for one attack, rising radii.

    The line belongs to the larger radius, whose attack is the suspect. Points from elsewhere do not
    count: they would hide that it is weak.
    """
    lines: list[SanityLine] = []
    if not pools or not pools[0].is_attack:
        return ()
    for small, large in pairwise(pools):
        for side in SIDES:
            before, after = (pool.robust(side, given=False) for pool in (small, large))
            detail = (
                f"{side}: {_points(before):.1f} % at {small.radius_codes:g} codes, "
                f"{_points(after):.1f} % at {large.radius_codes:g}"
            )
            ok = _excess(after, before) <= min(SLACK_POINTS, tolerance_points)
            lines.append(_line("a larger radius is not weaker", ok, detail, side, large))
    return tuple(lines)


def large_radius(norm: str, max_code: int, n_input: int) -> float:
    """Return the radius in codes within which every image can become ``grey_image``."""
    half = (max_code + 1) // 2
    if norm == "linf":
        return half
    square = half * half * n_input
    root = math.sqrt(square)
    # A root that was rounded down would leave the farthest image outside.
    return root if Fraction(root) ** 2 >= square else math.nextafter(root, math.inf)


def grey_image(max_code: int, n_input: int) -> NDArray[np.int32]:
    """Return the image [1, n_input] whose codes all lie in the middle of 0..max_code.

    No code is farther from it than ``(max_code + 1) // 2``, for odd and even ``max_code``.
    """
    return np.full((1, n_input), (max_code + 1) // 2, dtype=np.int32)


def large_radius_lines(
    pool: Pool, grey: Mapping[Side, int], tolerance_points: float
) -> tuple[SanityLine, ...]:
    """Return the lines "a large radius breaks the network".

    Within ``large_radius`` every image can become the same grey image, on which a network has one
    decision. So no sample with another label is robust, whatever the network; samples with that
    label may be. The grey image is no point of the pool: the line asks whether the attack breaks
    what provably can be broken; points from elsewhere do not count. On a network trained on the
    digits and its 8- and 4-bit versions every attack asked (the suite, FGSM, PGD with 5 and 20
    steps) left no such sample of 360.

    Parameters
    ----------
    grey : mapping of side to int
        Each network's decision on ``grey_image``; a tie (-1) is wrong for every sample.
    """
    labels = pool.clean.labels
    lines = []
    for side in SIDES:
        must = pool.clean.right(side) & (labels != grey[side])
        left, count = int((must & pool.robust(side, given=False)).sum()), int(must.sum())
        detail = (
            f"{side}: {left} of {count} samples are left at {pool.radius_codes:g} codes whose "
            f"label is not the decision on grey ({grey[side]}); each of them can be broken"
        )
        ok = 100 * left <= min(LEFT_PERCENT, tolerance_points) * count
        lines.append(_line("a large radius breaks the network", ok, detail, side, pool))
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
        at = f"{where.perturbation} at {where.radius_codes:g} codes, {where.detail}"
        held = f"holds {len(group) - len(bad)} of {len(group)} times"
        detail = f"{held}; fails first: {at}" if bad else f"{held}; for example {at}"
        entries.append({"line": name, "ok": not bad, "detail": detail})
    return tuple(entries)


def weak_sides(lines: Iterable[SanityLine]) -> frozenset[Side]:
    """Return the networks on which an attack was too weak."""
    return frozenset(line.concerns for line in lines if not line.ok)


def _null_line(pool: Pool, slack: float) -> SanityLine:
    first, second = pool.null_robust()
    lost, gained = _points(first & ~second), _points(~first & second)
    # Either run may be the lucky one: on average a second run finds half of both.
    detail = (
        f"float against float: lost {lost:.1f}, gained {gained:.1f} points by luck, "
        f"so a second run finds about {(lost + gained) / 2:.1f} more"
    )
    ok = (lost + gained) / 2 <= slack
    return _line("a second run finds little more", ok, detail, "float", pool)


def _gradient_lines(pool: Pool, side: Side, slack: float) -> list[SanityLine]:
    """Return the line about samples counted robust on which no member ever saw a gradient."""
    own = [ran for ran in _own(pool, side).values() if ran.plan.attack.uses_gradient]
    if not own:
        return []
    left = pool.robust(side, given=False)
    stuck = np.logical_and.reduce([left, *(ran.stuck for ran in own)])
    share = min(ran.zero_gradient_share for ran in own)
    detail = (
        f"{side}: {_points(stuck):.1f} points counted robust without any gradient; at best "
        f"{100 * share:.1f} % of a member's gradients were zero"
    )
    ok = _points(stuck) <= slack
    return [_line("gradients are not zero", ok, detail, side, pool)]


def _width_lines(pool: Pool, side: Side) -> list[SanityLine]:
    """Return the line about one attack with several surrogates, on the same samples."""
    stages: dict[tuple[int, str], dict[int, Member]] = {}
    for number, ran in _own(pool, side).items():
        if ran.plan.attack.uses_gradient and not ran.plan.stronger:
            key = (ran.plan.stage, ran.plan.attack.name)
            stages.setdefault(key, {})[number] = ran
    lines = []
    for (_, name), group in stages.items():
        if len(group) < 2:
            continue
        met = next(iter(group.values())).attacked
        left = {str(r.plan.surrogate): met & pool.right_on(side, [n]) for n, r in group.items()}
        both = np.logical_and.reduce(list(left.values()))
        listed = ", ".join(f"{which} {_points(mask):.1f} %" for which, mask in left.items())
        detail = f"{side}: {name} leaves with {listed}, with all {_points(both):.1f} %"
        best = min(left.values(), key=np.count_nonzero)
        ok = _excess(best, both) <= WIDTH_POINTS
        lines.append(_line("a second width finds little more", ok, detail, side, pool))
    return lines


def _stronger_lines(pool: Pool, side: Side, slack: float) -> list[SanityLine]:
    """Return the line about more steps and restarts: robust accuracies are upper bounds."""
    stronger = [n for n, m in enumerate(pool.members) if m.ran and m.ran.plan.stronger]
    if not stronger:
        return []
    before = pool.clean.right(side) & pool.right_on(side, _all_but(pool, stronger))
    after = before & pool.right_on(side, stronger)
    more = before & ~after
    detail = (
        f"{side}: {_points(before):.1f} % before, {_points(after):.1f} % after more "
        f"steps and restarts: {_points(more):.1f} points less"
    )
    ok = _points(more) <= slack
    return [_line("a stronger attack finds little more", ok, detail, side, pool)]


def _query_lines(pool: Pool, side: Side, slack: float) -> list[SanityLine]:
    """Return the line about what queries alone found, gradients having failed: masking."""
    stages = [m.ran.plan.stage for m in pool.members if m.ran and m.ran.plan.attack.uses_gradient]
    if not stages:
        return []
    late = [n for n, m in enumerate(pool.members) if m.ran and _asks_after(m.ran, min(stages))]
    if not late:
        return []
    before = pool.clean.right(side) & pool.right_on(side, _all_but(pool, late))
    more = before & ~pool.right_on(side, late)
    detail = f"{side}: {_points(more):.1f} points were broken by queries and by no gradient"
    ok = _points(more) <= slack
    return [_line("queries find little more than gradients", ok, detail, side, pool)]


def _given_lines(pool: Pool, side: Side, tolerance_points: float) -> list[SanityLine]:
    """Return the line about what points from elsewhere broke that no member did.

    Neither much of this network, nor more of it than of the other: such points were perhaps sought
    on one network alone, and it is this one whose attack left them to be found.
    """
    if not pool.given:
        return []
    other: Side = "fixed" if side == "float" else "float"
    found = {s: _beyond(pool, s, pool.given) for s in SIDES}
    groups = [pool.given, *((number,) for number in pool.given)]
    one_sided = max(
        _excess(_beyond(pool, side, group), _beyond(pool, other, group)) for group in groups
    )
    names = ", ".join(pool.members[number].name for number in pool.given)
    detail = (
        f"{side}: {_points(found[side]):.1f} points were broken by {names} alone, of {other} "
        f"{_points(found[other]):.1f}; at most {max(one_sided, 0.0):.1f} more by one of them or all"
    )
    ok = _points(found[side]) <= min(MORE_POINTS, tolerance_points)
    ok &= one_sided <= min(SLACK_POINTS, tolerance_points)
    return [_line(GIVEN_LINE, ok, detail, side, pool)]


def _beyond(pool: Pool, side: Side, given: Collection[int]) -> NDArray[np.bool_]:
    """Return where ``given`` members break ``side`` and the evaluation's own do not, [n]."""
    return pool.robust(side, given=False) & ~pool.right_on(side, given)


def _all_but(pool: Pool, some: Collection[int]) -> list[int]:
    """Return the members but ``some``, and but what came from elsewhere."""
    return [n for n in pool.own if n not in some]


def _asks_after(ran: Member, stage: int) -> bool:
    return not ran.plan.attack.uses_gradient and ran.plan.stage > stage


def _own(pool: Pool, side: Side) -> dict[int, Member]:
    """Return the members that attacked ``side``, by number."""
    return {n: m.ran for n in pool.numbers(side) if (m := pool.members[n]).ran is not None}


def _transfer_line(pool: Pool, side: Side, slack: float) -> SanityLine:
    other: Side = "fixed" if side == "float" else "float"
    clean = pool.clean.right(side)
    white = clean & pool.right_on(side, pool.numbers(side))
    transfer = clean & pool.right_on(side, pool.numbers(other))
    detail = (
        f"{side}: {_points(white):.1f} % on its own adversaries, "
        f"{_points(transfer):.1f} % on those of {other}"
    )
    ok = _excess(white, transfer) <= slack
    return _line("the white box is not weaker than transfer", ok, detail, side, pool)


def _line(line: str, ok: bool, detail: str, side: Side, pool: Pool) -> SanityLine:
    return SanityLine(line, bool(ok), detail, side, pool.perturbation, pool.radius_codes)


def _excess(attack: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return how many points more ``attack`` leaves right than ``reference``."""
    return 100 * (int(attack.sum()) - int(reference.sum())) / attack.size


def _points(mask: NDArray[np.bool_]) -> float:
    # Counts first: a share of exactly the slack must not round above it.
    return 100 * int(mask.sum()) / mask.size
