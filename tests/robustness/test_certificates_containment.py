"""Every integer of perturbed runs lies in its interval: networks of every kind, and trained ones."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.contained_runs import points_within, violations
from oracles.literal_fixed import run_aligned
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.robustness.certificates import input_bounds
from neurodeploy.robustness.certificates.certificate import bound_run
from neurodeploy.simulate import run_fixed

METHODS = ("interval", "refined")


def literal(net, points):
    return run_aligned(net, points)


def simulated(net, points):
    """The product's simulator, which other tests hold against the literal interpreter."""
    return run_fixed(net, points.astype(np.int32), record=("spikes", "u", "v", "v_pre"))


def check(net, codes, radius, each, rng, run_points):
    """Assert that ``each`` runs per sample within ``radius`` of it stay within both bounds."""
    lo = np.maximum(codes.astype(np.int64) - radius, 0)
    hi = np.minimum(codes.astype(np.int64) + radius, net.encoder.max_code)
    points, sample = points_within(rng, lo, hi, each)
    run = run_points(net, points)
    box = input_bounds(net, lo, hi)
    plain, refined = (bound_run(net, box, method) for method in METHODS)
    assert violations(net, plain, run, sample, rng) == []
    assert violations(net, refined, run, sample, rng) == []
    for name, known in plain.populations.items():
        mine, theirs = refined.populations[name].trains.steps, known.trains.steps
        assert (mine.lo >= theirs.lo).all(), name
        assert (mine.hi <= theirs.hi).all(), name
    return len(sample)


def check_pair(number, each, seed, run_points=literal):
    rng = np.random.default_rng([seed, number])
    net, codes = random_case(rng, pair=PAIRS[number % len(PAIRS)], samples=4, hardware=False)
    radius = int(rng.choice([1, 2, 8, max(1, net.encoder.max_code // 8)]))
    return check(net, codes, radius, each, rng, run_points)


@pytest.mark.parametrize("number", range(0, len(PAIRS), 2))
def test_random_networks_stay_within_their_bounds(number):
    check_pair(number, each=25, seed=1)


@pytest.mark.slow
def test_a_million_runs_stay_within_their_bounds():
    runs = sum(check_pair(number, 2000, seed=2, run_points=simulated) for number in range(126))
    assert runs >= 10**6


@pytest.mark.parametrize(("v_init", "mantissa"), [(2**23 - 1, 32767), (-(2**31), -32768)])
def test_a_sum_of_v_that_leaves_32_bits_is_followed(v_init, mantissa):
    """It wraps, and no count says so; what is known of sums must not be believed there."""
    p = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=4095, decay_v=[0, 41], bias=mantissa,
        bias_exp=16, v_threshold=100, u_init=0, v_init=v_init, latency=1, scale=1.0,
    )  # fmt: skip
    # The recurrence keeps the population from having its trains listed.
    synapses = tuple(
        FixedSynapse(source, source, "n", np.full((2, n), 2), 0, "excitatory", message_bits=bits)
        for source, n, bits in (("input", 1, 8), ("n", 2, 0))
    )
    net = FixedPointNetwork(
        (p,), synapses, n_input=1, encoder=ConstantEncoder(), readout=Readout("n", "count"), steps=4
    )
    check(net, np.array([[3], [200]]), 2, 10, np.random.default_rng(0), literal)


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
