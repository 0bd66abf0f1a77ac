"""Points from elsewhere make a verdict worse, never better, and help no attack to look strong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from robustness import test_sanity as pools
from robustness.test_sanity import GRADIENT, good, lines_of, pool, right, verdicts

from neurodeploy.robustness.config import SIDES, RobustnessConfig
from neurodeploy.robustness.point_rows import PointRows, join_rows
from neurodeploy.robustness.pool import PoolMember
from neurodeploy.robustness.rows import make_rows
from neurodeploy.robustness.sanity import (
    GIVEN_LINE,
    large_radius_lines,
    pool_lines,
    radius_lines,
)


def given(of, *outcomes):
    """The pool with one more member from elsewhere per pair of outcomes."""
    count = len(of.members)
    rows = [of.rows]
    predicted = {side: [of.predicted[side]] for side in SIDES}
    for number, pair in enumerate(outcomes):
        rows.append(
            PointRows(
                np.arange(pools.N),
                np.full(pools.N, count + number),
                np.zeros((pools.N, 1), np.int32),
            )
        )
        for side, right_on in zip(SIDES, pair, strict=True):
            predicted[side].append(np.where(right_on, of.clean.labels, -1))
    members = [PoolMember(f"given: {n}", None, None, given=True) for n in range(len(outcomes))]
    return dataclasses.replace(
        of, members=(*of.members, *members), rows=join_rows(rows, 1),
        predicted={side: np.concatenate(parts) for side, parts in predicted.items()},
    )  # fmt: skip


EVERY = np.ones(400, bool)


@pytest.mark.parametrize(
    ("float_left", "fixed_left", "tolerance", "ok"),
    [
        (0.50, 0.50, 10.0, {"float": True, "fixed": True}),
        (0.47, 0.47, 10.0, {"float": True, "fixed": True}),
        (0.4675, 0.4675, 10.0, {"float": False, "fixed": False}),
        (0.48, 0.50, 10.0, {"float": True, "fixed": True}),
        (0.4775, 0.50, 10.0, {"float": False, "fixed": True}),
        (0.50, 0.4775, 10.0, {"float": True, "fixed": False}),
        (0.4775, 0.4975, 10.0, {"float": True, "fixed": True}),
        (0.49, 0.50, 1.0, {"float": True, "fixed": True}),
        (0.4875, 0.50, 1.0, {"float": False, "fixed": True}),
        (0.4875, 0.4875, 1.0, {"float": False, "fixed": False}),
    ],
)
def test_points_from_elsewhere(float_left, fixed_left, tolerance, ok):
    """Neither much that no member found, nor more on one network than on the other."""
    lines = pool_lines(given(pool(good()), (right(float_left), right(fixed_left))), tolerance)
    assert {s: verdicts(lines)[GIVEN_LINE, s] for s in SIDES} == ok
    assert GIVEN_LINE not in {line.line for line in pool_lines(pool(good()), tolerance)}


def test_one_sided_points_in_two_files_are_seen():
    """Each file alone has 1.5 points, together they have 3; or they hide each other."""
    halves = [(right(0.485), EVERY), (~right(0.015), EVERY)]
    found = verdicts(lines_of(given(pool(good()), *halves)))
    assert (found[GIVEN_LINE, "float"], found[GIVEN_LINE, "fixed"]) == (False, True)
    apart = [(right(0.475), EVERY), (EVERY, right(0.475))]
    found = verdicts(lines_of(given(pool(good()), *apart)))
    assert (found[GIVEN_LINE, "float"], found[GIVEN_LINE, "fixed"]) == (False, False)


def test_points_from_elsewhere_help_no_other_line():
    """An attack that breaks nothing stays too weak, whatever others broke."""
    nobody = (~EVERY, ~EVERY)
    blind = pool(good(1.0), stuck=1.0, radius=128)
    grey = {"float": 3, "fixed": 3}
    for of in (blind, given(blind, nobody)):
        assert [line.ok for line in large_radius_lines(of, grey, 2.0)] == [False, False]
        found = verdicts(lines_of(of))
        assert not found[GRADIENT, "float"]
        assert not found[GRADIENT, "fixed"]
        assert [line.ok for line in radius_lines((pool(good()), of), 2.0)] == [False, False]
    small = given(pool(good(0.5)), (right(0.3), right(0.3)))
    assert all(line.ok for line in radius_lines((small, pool(good(0.5), radius=20)), 2.0))


def planted(*extra, share=0.465, config=None):
    """The row of a pool that leaves float half of the samples and fixed ``share``."""
    outcomes = {(s, w): (right(0.5), right(share)) for s in ("float", "fixed") for w in (1.0, 2.0)}
    of = pool(outcomes, name="suite", radius=26)
    codes = np.arange(pools.N, dtype=np.int32)[:, None]
    of = given(dataclasses.replace(of, clean=dataclasses.replace(of.clean, codes=codes)), *extra)
    config = config or RobustnessConfig(("suite",), (26,), bootstrap=2000)
    return make_rows([of], [pool_lines(of, config.tolerance_points)], config)[0]


def test_given_points_make_no_verdict_better(monkeypatch):
    """Points that break the float network alone hide the drop; every line about them holds."""
    monkeypatch.setattr(pools, "N", 5000)
    alone = planted()
    every = np.ones(pools.N, bool)
    hidden = right(0.5) & ~right(0.019, 0.465)
    joined = planted((hidden, every))
    assert alone["verdict"] == joined["verdict"] == "lost"
    assert alone["without_given"] is None
    assert not joined["attack_too_weak"]
    assert joined["drop_upper95"] < 0.02 < joined["without_given"]["drop_lower95"]
    for key in ("float", "fixed", "lost", "gained", "drop", "p_lost", "verdict"):
        assert joined["without_given"][key] == alone[key]
    # A survival needs both: here the points make it worse.
    assert planted(share=0.495)["verdict"] == "survives"
    worse = planted((every, right(0.477)), share=0.495)
    assert (worse["verdict"], worse["without_given"]["verdict"]) == ("undecided", "survives")
    # Neither may they carry a strength into the range that can tell something, nor excuse a loss.
    assert planted((right(0.4), every))["verdict"] == "lost"
    assert planted((right(0.4), every))["attack_too_weak"]


def test_given_points_carry_no_strength_into_the_range(monkeypatch):
    monkeypatch.setattr(pools, "N", 5000)
    outcomes = {(s, w): (right(0.91), right(0.91)) for s in SIDES for w in (1.0, 2.0)}
    config = RobustnessConfig(("suite",), (26,), bootstrap=2000)
    for extra in ((), ((right(0.895), right(0.895)),)):
        of = pool(outcomes, name="suite", radius=26)
        codes = np.arange(pools.N, dtype=np.int32)[:, None]
        of = given(
            dataclasses.replace(of, clean=dataclasses.replace(of.clean, codes=codes)), *extra
        )
        row = make_rows([of], [pool_lines(of, 2.0)], config)[0]
        assert row["verdict"] == "uninformative"
    assert row["informative"]
    assert row["drop_upper95"] <= 0.02
