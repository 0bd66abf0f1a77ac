"""Each sanity line, at both of its ends, on pools whose outcomes are written down."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from neurodeploy.attacks import PGD, Ball, Square
from neurodeploy.robustness.cascade import Member
from neurodeploy.robustness.config import SIDES
from neurodeploy.robustness.point_rows import PointRows, no_rows
from neurodeploy.robustness.pool import CleanSamples, Pool, PoolMember
from neurodeploy.robustness.sanity import (
    grey_image,
    large_radius,
    large_radius_lines,
    pool_lines,
    radius_lines,
    summarise,
    weak_sides,
)
from neurodeploy.robustness.suite import MemberPlan
from neurodeploy.robustness.surrogates import Surrogate

N = 400
NULL = "a second run finds little more"
GRADIENT = "gradients are not zero"
STRONGER = "a stronger attack finds little more"
QUERIES = "queries find little more than gradients"
WIDTH = "a second width finds little more"
TRANSFER = "the white box is not weaker than transfer"


def right(share, shift=0.0):
    """Outcomes [N]: right on ``share`` of the samples, beginning at ``shift``."""
    start = round(shift * N)
    mask = np.zeros(N, bool)
    mask[start : start + round(share * N)] = True
    return mask


def pool(outcomes, stuck=0.0, null=None, radius=10, name="pgd20", classes=10, **special):
    """A pool from outcomes per (attacked, width): (float right [N], fixed right [N]).

    ``special`` holds outcomes per network of a member at the end: ``stronger`` or ``queries``.
    """
    labels = np.arange(N) % classes
    members, pairs = [], []
    for side in ("float", "fixed", None):
        for (attacked, width), pair in outcomes.items():
            if attacked == side:
                plan = MemberPlan(PGD(), Surrogate(width=width or 1.0), 0)
                ran = Member(plan, 0, np.ones(N, bool), right(stuck), 0.0, 0)
                members.append(PoolMember(str(width), side, ran if side else None))
                pairs.append(pair)
        for kind, found in special.items():
            if side:
                attack = PGD() if kind == "stronger" else Square()
                plan = MemberPlan(attack, Surrogate(), 1, stronger=kind == "stronger")
                ran = Member(plan, 0, np.ones(N, bool), right(stuck), 0.0, 0)
                members.append(PoolMember(kind, side, ran))
                pairs.append(tuple(found if s == side else np.ones(N, bool) for s in SIDES))
    if null is None:
        null = np.logical_and.reduce(
            [p[0] for m, p in zip(members, pairs, strict=True) if m.attacked == "float"]
            or [np.ones(N, bool)]
        )
    codes = np.zeros((N, 1), np.int32)
    clean = CleanSamples(codes, labels, {"float": labels, "fixed": labels})
    everyone, count = np.arange(N), len(members)
    rows = PointRows(
        np.tile(everyone, count), np.repeat(np.arange(count), N), np.zeros((N * count, 1), np.int32)
    )
    predicted = {
        side: np.concatenate([np.where(pair[i], labels, -1) for pair in pairs])
        for i, side in enumerate(SIDES)
    }
    return Pool(
        name, radius, Ball("linf", radius, 255), clean, tuple(members), rows, predicted,
        PointRows(everyone, np.zeros(N, np.int64), codes), np.where(null, labels, -1),
    )  # fmt: skip


def good(share=0.5):
    """Four equal members, each of which leaves ``share`` of both networks right."""
    half = right(share)
    return {(side, width): (half, half) for side in ("float", "fixed") for width in (1.0, 2.0)}


def lines_of(of, tolerance=10.0):
    """The pool's lines at a tolerance so wide that each has its own slack."""
    return pool_lines(of, tolerance)


def verdicts(lines):
    return {(line.line, line.concerns): line.ok for line in lines}


def test_a_healthy_pool_passes():
    lines = lines_of(pool(good()))
    assert all(line.ok for line in lines)
    assert len(lines) == 7
    assert weak_sides(lines) == frozenset()


def test_noise_has_no_lines():
    assert lines_of(pool({(None, None): (right(0.5), right(0.1))}, name="gaussian")) == ()
    noise = pool({(None, None): (right(0.5), right(0.1))}, name="gaussian")
    more = pool({(None, None): (right(0.9), right(0.9))}, name="gaussian", radius=20)
    assert radius_lines((noise, more), 2.0) == ()


@pytest.mark.parametrize(("shift", "ok"), [(0.03, True), (0.04, False)])
def test_luck(shift, ok):
    """Two runs that each leave half, but not the same half: each lost and gained are ``shift``."""
    lines = verdicts(lines_of(pool(good(), null=right(0.5, shift))))
    assert lines[NULL, "float"] == ok
    assert sum(not v for v in lines.values()) == (not ok)


def test_no_null_line_no_line_about_luck():
    """An attack without randomness would pass it always."""
    without = dataclasses.replace(
        pool(good()), null_rows=no_rows(1), null_predicted=np.zeros(0, np.int64)
    )
    assert NULL not in {line.line for line in lines_of(without)}


@pytest.mark.parametrize(("after", "ok"), [(0.47, True), (0.46, False)])
def test_a_stronger_attack(after, ok):
    """It breaks another 3 or 4 points."""
    lines = lines_of(pool(good(), stronger=right(after)))
    found = {line.concerns: line for line in lines if line.line == STRONGER}
    assert found["float"].ok == found["fixed"].ok == ok
    assert [line.ok for line in lines if line.line != STRONGER] == [True] * 7
    assert "50.0 % before" in found["fixed"].detail
    (nothing, _) = [x for x in lines_of(pool(good(), stronger=right(1.0))) if x.line == STRONGER]
    assert "0.0 points less" in nothing.detail


@pytest.mark.parametrize(("after", "ok"), [(0.47, True), (0.46, False)])
def test_queries(after, ok):
    """What queries break and no gradient did."""
    lines = lines_of(pool(good(), queries=right(after)))
    found = verdicts(lines)
    assert found[QUERIES, "float"] == found[QUERIES, "fixed"] == ok
    assert all(
        line.ok for line in lines_of(pool(good(), queries=right(0.4, 0.6))) if line.line != QUERIES
    )
    # What a gradient breaks as well does not count.
    both = lines_of(pool(good(), queries=right(0.44), stronger=right(0.44)))
    assert verdicts(both)[QUERIES, "float"]


@pytest.mark.parametrize(("stuck", "ok"), [(0.05, True), (0.06, False)])
def test_gradients(stuck, ok):
    lines = verdicts(lines_of(pool(good(), stuck=stuck)))
    assert lines[GRADIENT, "float"] == lines[GRADIENT, "fixed"] == ok


def test_samples_that_are_broken_anyway_need_no_gradient():
    half = right(0.5, 0.5)
    outcomes = {(s, w): (half, half) for s in ("float", "fixed") for w in (1.0, 2.0)}
    assert all(line.ok for line in lines_of(pool(outcomes, stuck=0.5)))


@pytest.mark.parametrize(("shift", "ok"), [(0.065, True), (0.0675, False)])
def test_widths(shift, ok):
    outcomes = good()
    outcomes["fixed", 1.0] = (right(0.5), right(0.5, shift))
    lines = verdicts(lines_of(pool(outcomes)))
    assert lines[WIDTH, "fixed"] == ok
    assert lines[WIDTH, "float"]


def test_widths_are_compared_by_counts(monkeypatch):
    """83 and 18 of 1000 differ by exactly 6.5 points; their shares do not, in floating point."""
    assert 100 * 83 / 1000 - 100 * 18 / 1000 > 6.5
    monkeypatch.setitem(globals(), "N", 1000)
    outcomes = good(0.083)
    outcomes["fixed", 1.0] = (right(0.083), right(0.083, 0.065))
    assert verdicts(lines_of(pool(outcomes)))[WIDTH, "fixed"]


@pytest.mark.parametrize(("white", "ok"), [(0.50, True), (0.52, True), (0.5225, False)])
def test_transfer(white, ok):
    """Fixed stays right on ``white`` of its own adversaries, on half of float's."""
    outcomes = good()
    for width in (1.0, 2.0):
        outcomes["fixed", width] = (right(0.6), right(white))
    lines = lines_of(pool(outcomes))
    assert verdicts(lines)[TRANSFER, "fixed"] == ok
    assert verdicts(lines)[TRANSFER, "float"]
    assert weak_sides(lines) == (frozenset() if ok else frozenset({"fixed"}))


@pytest.mark.parametrize(("large", "ok"), [(0.50, True), (0.52, True), (0.5225, False)])
def test_larger_radius(large, ok):
    lines = radius_lines((pool(good(0.5)), pool(good(large), radius=20)), 2.0)
    assert [line.ok for line in lines] == [ok, ok]
    assert {line.radius_codes for line in lines} == {20}, "the larger radius is the suspect"
    assert radius_lines((), 2.0) == ()


@pytest.mark.parametrize(
    ("line", "special", "at_least"),
    [
        (NULL, {"null": right(0.5, 0.02)}, 2.0),
        (GRADIENT, {"stuck": 0.02}, 2.0),
        (STRONGER, {"stronger": right(0.48)}, 2.0),
        (QUERIES, {"queries": right(0.48)}, 2.0),
    ],
)
def test_no_slack_is_above_the_tolerance(line, special, at_least):
    """Two points may be wrong: too much for a tolerance of 1.9, and enough for one of two."""
    suspect = pool(good(), **special)
    assert verdicts(lines_of(suspect, at_least))[line, "float"]
    assert not verdicts(lines_of(suspect, at_least - 0.1))[line, "float"]


def test_no_comparison_has_a_slack_above_the_tolerance():
    outcomes = good()
    for width in (1.0, 2.0):
        outcomes["fixed", width] = (right(0.6), right(0.51))
    found = {t: verdicts(lines_of(pool(outcomes), t))[TRANSFER, "fixed"] for t in (0.9, 1.0)}
    assert found == {0.9: False, 1.0: True}
    pair = (pool(good(0.5)), pool(good(0.51), radius=20))
    assert [[line.ok for line in radius_lines(pair, t)] for t in (0.9, 1.0)] == [
        [False, False], [True, True],
    ]  # fmt: skip
    # What one width misses, the others find: the tolerance says nothing about it.
    wide = good()
    wide["fixed", 1.0] = (right(0.5), right(0.5, 0.05))
    assert verdicts(lines_of(pool(wide), 0.5))[WIDTH, "fixed"]


def at_large_radius(left, grey, tolerance=2.0, wrong=()):
    """Whether the line holds where the first samples ``left`` [N] of ten classes are robust."""
    outcomes = {(s, 1.0): (left, left) for s in SIDES}
    of = pool(outcomes, radius=128)
    clean = dataclasses.replace(
        of.clean,
        predicted={s: np.where(np.isin(of.clean.labels, wrong), -1, of.clean.labels)
                   for s in SIDES},
    )  # fmt: skip
    of = dataclasses.replace(of, clean=clean)
    lines = large_radius_lines(of, {"float": grey, "fixed": grey}, tolerance)
    assert lines[0].ok == lines[1].ok
    return lines[0].ok


def test_a_large_radius_leaves_the_class_of_grey_alone():
    """360 of 400 samples have another label than grey's decision: at most one of them may stay."""
    labels = np.arange(N) % 10
    nobody = np.zeros(N, bool)
    assert at_large_radius(nobody, 3)
    assert at_large_radius(labels == 3, 3), "these may be robust"
    assert not at_large_radius(labels == 4, 3), "as many of another class may not"
    assert not at_large_radius(labels == 3, -1), "a tie on grey is wrong for every class"
    for count, ok in ((1, True), (2, False)):
        others = np.isin(np.arange(N), np.flatnonzero(labels != 3)[:count])
        assert at_large_radius(others | (labels == 3), 3) == ok
    one = np.arange(N) == 0
    assert not at_large_radius(one, 3, tolerance=0.25), "one of 360 is 0.28 %"
    assert at_large_radius(labels == 4, 3, wrong=(4,)), "wrong without an attack: not robust"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("max_code", [1, 2, 15, 16, 254, 255])
def test_grey_lies_in_every_ball_of_the_large_radius(norm, max_code):
    """The corners of the range are farthest from it, and random images lie between."""
    for n_input in (1, 2, 3, 5, 7, 64, 77, 784, 3001):
        grey = grey_image(max_code, n_input)
        ball = Ball(norm, large_radius(norm, max_code, n_input), max_code)
        rng = np.random.default_rng(n_input)
        images = rng.integers(0, max_code + 1, (20, n_input))
        images[0], images[1] = 0, max_code
        images[2:10] = max_code * rng.integers(0, 2, (8, n_input))
        assert ball.contains(np.repeat(grey, 20, axis=0), images).all()
        assert 0 <= grey.min() <= grey.max() <= max_code


def test_summary_names_the_first_failure():
    lines = (*lines_of(pool(good())), *lines_of(pool(good(), stuck=0.2, radius=26)))
    entries = {entry["line"]: entry for entry in summarise(lines)}
    assert [entry["ok"] for entry in entries.values()].count(False) == 1
    detail = entries[GRADIENT]["detail"]
    assert detail.startswith(
        "holds 2 of 4 times; fails first: pgd20 at 26 codes, float: 20.0 points"
    )
    assert entries[NULL]["detail"].startswith("holds 2 of 2 times")
    assert summarise(()) == ()
