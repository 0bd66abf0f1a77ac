"""How tight certificates are on trained networks, how long they take, and that they hold there."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from oracles.contained_runs import points_within, violations
from oracles.enumerate_inputs import leads
from robustness.shipped_networks import NAMES, digits_apart, shipped_network

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.robustness.certificates import ball, certify
from neurodeploy.robustness.certificates.certificate import bound_run
from neurodeploy.simulate import run_fixed

METHODS = ("interval", "refined")


@cache
def certified(name, radius, method):
    """Return the certificate and the processor time it took."""
    codes, labels = digits_apart()
    start = time.process_time()
    made = certify(shipped_network(name), codes, labels, radius, method=method)
    return made, time.process_time() - start


SLOW_NAMES = ("dlif-at-mppd", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[:2]))


@pytest.mark.parametrize("name", SLOW_NAMES)
def test_the_refinement_certifies_ten_points_more_at_radius_8(name):
    plain, refined = (certified(name, 8, method)[0] for method in METHODS)
    assert refined.accuracy >= plain.accuracy + 0.10
    # Whatever is certified step by step stays so.
    assert not (plain.certified & ~refined.certified).any()
    assert (refined.margin >= plain.margin).all()


def test_radius_0_certifies_what_is_right():
    codes, labels = digits_apart()
    net = shipped_network("dlif-at-mppd")
    scores = run_fixed(net, codes).scores()
    for method in METHODS:
        made, _ = certified("dlif-at-mppd", 0, method)
        right = np.array([leads(s[None], y)[0] for s, y in zip(scores, labels, strict=True)])
        np.testing.assert_array_equal(made.certified, right > 0)
        assert not any(count.any() for count in made.unknown.values())
        if method == "interval":
            np.testing.assert_array_equal(made.margin, right)


def test_more_room_certifies_less():
    net, (codes, labels) = shipped_network("dlif-at-mppd"), (x[:40] for x in digits_apart())
    margins = [certify(net, codes, labels, radius).margin for radius in (1, 4, 16)]
    assert (np.diff(margins, axis=0) <= 0).all()


def test_360_images_take_a_second_and_a_minute():
    for method, limit, tries in (("interval", 1.0, 3), ("refined", 60.0, 1)):
        taken = [certified("dlif-at-mppd", 8, method)[1]]
        for _ in range(tries - 1):
            if taken[-1] >= limit:
                taken.append(certified.__wrapped__("dlif-at-mppd", 8, method)[1])
        assert min(taken) < limit, method


def check_runs(name, radius, each, first, count):
    """Runs of the exact simulator within a radius of some digits stay within both bounds."""
    net = shipped_network(name)
    codes, labels = (x[first : first + count] for x in digits_apart())
    rng = np.random.default_rng([radius, first])
    box = ball(net, codes, radius)
    points, sample = points_within(rng, *box.codes, each)
    run = run_fixed(net, points.astype(np.int32), record=("spikes", "u", "v", "v_pre"))
    for method in METHODS:
        assert violations(net, bound_run(net, box, method), run, sample, rng) == []
        claim = certify(net, codes, labels, radius, method=method)
        scores = run.scores()
        lead = np.array([leads(s[None], y)[0] for s, y in zip(scores, labels[sample], strict=True)])
        assert (lead >= claim.margin[sample]).all()
    return len(sample)


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_trained_networks_stay_within_their_bounds(name):
    check_runs(name, 8, each=20, first=0, count=20)


@pytest.mark.slow
def test_many_runs_of_trained_networks_stay_within_their_bounds():
    runs = 0
    for name, radius in zip(NAMES, (2, 4, 8), strict=True):
        runs += sum(check_runs(name, radius, 1000, first, 10) for first in range(0, 360, 10))
    assert runs >= 10**6


def test_what_does_not_fit_is_refused():
    codes, labels = digits_apart()
    net = shipped_network("lif")
    with pytest.raises(RangeError, match="classes 0..9"):
        certify(net, codes[:2], np.array([0, 10]), 1)
    with pytest.raises(RangeError, match="radius"):
        certify(net, codes, labels, 0.5)
    with pytest.raises(RangeError, match="radius"):
        certify(net, codes, labels, -1)
    with pytest.raises(RangeError, match=r"0\.\.255"):
        certify(net, codes + 200, labels, 1)
    with pytest.raises(ShapeError, match="labels"):
        certify(net, codes, labels[:3], 1)
    with pytest.raises(ShapeError, match="input bounds"):
        certify(net, codes[:, :5], labels, 1)
    with pytest.raises(RangeError, match="integers"):
        certify(net, codes / 255, labels, 1)
    with pytest.raises(InputError, match="method"):
        certify(net, codes, labels, 1, method="exact")
