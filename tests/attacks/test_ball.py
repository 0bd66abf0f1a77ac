"""The ball on the code grid, against plain loops and exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.attacks import Ball, SampleRandom
from neurodeploy.errors import InputError

radii = st.one_of(
    st.integers(0, 12).map(float), st.floats(0, 300), st.sampled_from([math.sqrt(2), math.sqrt(50)])
)


def inside(ball, point, code):
    """One point, in exact arithmetic."""
    offsets = [int(p) - int(c) for p, c in zip(point, code, strict=True)]
    if any(p < 0 or p > ball.max_code for p in point):
        return False
    if ball.norm == "linf":
        return all(abs(o) <= ball.radius for o in offsets)
    return sum(o * o for o in offsets) <= Fraction(ball.radius) ** 2


@settings(max_examples=300, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    radius=radii,
    max_code=st.sampled_from([1, 15, 255, 65535]),
    n=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_whole_codes_never_leave_and_project_changes_nothing_inside(
    norm, radius, max_code, n, seed
):
    ball = Ball(norm, math.floor(radius) if norm == "linf" else radius, max_code)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, max_code + 1, (20, n)).astype(np.int32)
    far = codes + rng.normal(size=codes.shape) * rng.choice([0.3, radius, 1e6], (20, 1))
    real = ball.project(far, codes)
    assert (real >= 0).all()
    assert (real <= max_code).all()
    length = np.abs(real - codes).max() if norm == "linf" else np.linalg.norm(real - codes, axis=1)
    assert (length <= ball.radius + 1e-9).all()
    np.testing.assert_allclose(ball.project(real, codes), real, atol=1e-9)
    random = SampleRandom(seed, np.arange(20))
    for whole in (
        ball.to_grid(far, codes),
        ball.to_grid(real, codes),
        ball.to_grid(ball.random(codes, random, 0), codes),
        ball.corner(codes, random, 0),
    ):
        assert whole.dtype == np.int32
        assert ball.contains(whole, codes).all()
        assert all(inside(ball, p, c) for p, c in zip(whole, codes, strict=True))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_contains_is_exact(norm, radius):
    ball = Ball(norm, radius, 6)
    code = np.array([2, 5], np.int32)
    points = np.array(list(itertools.product(range(-1, 8), repeat=2)), np.int32)
    found = ball.contains(points, np.tile(code, (len(points), 1)))
    assert found.tolist() == [inside(ball, p, code) for p in points]


def test_contains_at_a_border_that_floats_miss():
    root = math.sqrt(2)
    below = math.nextafter(root, 0)
    assert Fraction(below) ** 2 < 2 < Fraction(math.nextafter(root, 2)) ** 2
    code, point = np.array([[5, 5]], np.int32), np.array([[6, 6]], np.int32)
    assert not Ball("l2", below, 9).contains(point, code)[0]
    assert Ball("l2", math.nextafter(root, 2), 9).contains(point, code)[0]
    assert (Ball("l2", below, 9).to_grid(point.astype(float), code) != point).any()


def test_l2_rounding_is_near_and_not_all_towards_the_sample():
    """Rounding to the nearest codes is kept where it fits, and given up as little as possible."""
    rng = np.random.default_rng(0)
    codes = np.full((200, 64), 128, np.int32)
    ball = Ball("l2", 100.0, 255)
    real = ball.project(codes + 100 * rng.normal(size=codes.shape), codes)
    whole = ball.to_grid(real, codes)
    length = np.linalg.norm(whole - codes, axis=1)
    assert length.min() > 98.5, "truncation of every input would leave about 96"
    assert np.abs(whole - real).max() < 1
    inner = codes + 50 * ball.direction(rng.normal(size=codes.shape))
    assert (ball.to_grid(inner, codes) == np.rint(inner)).all()


def test_directions():
    gradient = np.array([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0], [3e-200, 4e-200, 0.0]])
    assert Ball("linf", 1, 9).direction(gradient).tolist() == [[1, -1, 0], [0, 0, 0], [1, 1, 0]]
    expected = [[0.6, -0.8, 0], [0, 0, 0], [0.6, 0.8, 0]]
    np.testing.assert_allclose(Ball("l2", 1, 9).direction(gradient), expected)


def test_random_points_are_uniform():
    codes = np.full((20_000, 2), 5_000, np.int32)
    random = SampleRandom(1, np.arange(20_000))
    for norm, share in (("linf", 0.25), ("l2", 0.25)):
        points = Ball(norm, 1_000, 10_000).random(codes, random, 3) - codes
        reach = np.abs(points).max(axis=1) if norm == "linf" else np.linalg.norm(points, axis=1)
        assert reach.max() <= 1_000
        # Half of the radius holds a quarter of the area.
        assert abs((reach < 500).mean() - share) < 0.012
        assert np.abs(points.mean(axis=0)).max() < 20


@pytest.mark.parametrize(
    ("norm", "radius", "words"),
    [
        ("linf", 1.5, "whole number"),
        ("linf", -1, "at least 0"),
        ("l2", float("nan"), "at least 0"),
        ("l2", float("inf"), "finite"),
        ("l1", 1, "neither"),
    ],
)
def test_bad_balls(norm, radius, words):
    with pytest.raises(InputError, match=words):
        Ball(norm, radius, 255)
