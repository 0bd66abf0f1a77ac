"""Every integer of perturbed runs lies in its interval: networks of every kind, and trained ones."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.contained_runs import points_within, violations
from oracles.literal_fixed import run_aligned
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.robustness.certificates import input_bounds
from neurodeploy.robustness.certificates.certificate import bound_run

METHODS = ("interval", "refined")


def check(net, codes, radius, each, rng):
    """Assert that ``each`` runs per sample within ``radius`` of it stay within both bounds."""
    lo = np.maximum(codes.astype(np.int64) - radius, 0)
    hi = np.minimum(codes.astype(np.int64) + radius, net.encoder.max_code)
    points, sample = points_within(rng, lo, hi, each)
    run = run_aligned(net, points)
    box = input_bounds(net, lo, hi)
    plain, refined = (bound_run(net, box, method) for method in METHODS)
    assert violations(net, plain, run, sample, rng) == []
    assert violations(net, refined, run, sample, rng) == []
    for name, known in plain.populations.items():
        mine, theirs = refined.populations[name].trains.steps, known.trains.steps
        assert (mine.lo >= theirs.lo).all(), name
        assert (mine.hi <= theirs.hi).all(), name
    return len(sample)


def check_pair(number, each, seed):
    rng = np.random.default_rng([seed, number])
    net, codes = random_case(rng, pair=PAIRS[number % len(PAIRS)], samples=4, hardware=False)
    radius = int(rng.choice([1, 2, 8, max(1, net.encoder.max_code // 8)]))
    return check(net, codes, radius, each, rng)


@pytest.mark.parametrize("number", range(0, len(PAIRS), 2))
def test_random_networks_stay_within_their_bounds(number):
    check_pair(number, each=25, seed=1)


@pytest.mark.slow
def test_a_million_runs_stay_within_their_bounds():
    runs = sum(check_pair(number, each=500, seed=2) for number in range(500))
    assert runs >= 10**6


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_one_point_are_that_run(seed):
    rng = np.random.default_rng([3, seed])
    net, codes = random_case(rng, samples=2, hardware=False)
    run = run_aligned(net, codes)
    bounds = bound_run(net, input_bounds(net, codes, codes), "interval")
    for p in net.populations:
        known = bounds.populations[p.name]
        values = {"spikes": known.trains.steps, "u": known.u, "v": known.v, "v_pre": known.v_pre}
        for quantity, interval in values.items():
            true = run.records.get(f"{p.name}/{quantity}")
            if true is not None:
                np.testing.assert_array_equal(interval.lo, true)
                np.testing.assert_array_equal(interval.hi, true)
        np.testing.assert_array_equal(known.wraps.sum((0, 2)), run.counts[f"{p.name}/wraps"])
        np.testing.assert_array_equal(known.clamps.sum((0, 2)), run.counts[f"{p.name}/clamps"])
