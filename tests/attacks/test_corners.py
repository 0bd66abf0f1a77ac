"""Random corners of the ball."""

from __future__ import annotations

import numpy as np
import pytest
from robustness.standins import Constant, random_linear

from neurodeploy.attacks import Ball, Corners
from neurodeploy.errors import InputError


def test_every_input_moves_by_the_radius_and_either_way():
    codes = np.full((300, 8), 100, np.int32)
    never = Constant(0, 2)
    outcome = Corners(3).run(never, codes, np.zeros(300, np.int64), Ball("linf", 30, 255), 4)
    assert (np.abs(outcome.codes - 100) == 30).all()
    assert 0.45 < (outcome.codes > 100).mean() < 0.55
    assert not outcome.found.any()
    assert not outcome.stuck.any()
    assert outcome.queries == 900
    length = np.linalg.norm(
        Corners(1).run(never, codes, np.zeros(300, np.int64), Ball("l2", 50.0, 255), 4).codes - 100,
        axis=1,
    )
    assert (length <= 50).all()
    assert length.min() > 47


def test_stops_at_the_first_wrong_corner_and_a_subset_is_a_subset():
    net = random_linear(3, 6, 3, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (60, 6)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    ball = Ball("linf", 60, 255)
    few, many = (Corners(k).run(net, codes, labels, ball, 1) for k in (1, 6))
    assert (many.codes[few.found] == few.codes[few.found]).all()
    assert few.found.sum() < many.found.sum() < 60
    assert (many.found == (net.predict(many.codes) != labels)).all()
    chosen = np.array([40, 3, 17])
    part = Corners(6).run(net, codes[chosen], labels[chosen], ball, 1, chosen)
    assert (part.codes == many.codes[chosen]).all()


def test_bad_draws():
    with pytest.raises(InputError, match="at least 1"):
        Corners(0)
