"""Certificates against every input there is, on small networks of every kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from oracles.contained_runs import violations
from oracles.enumerate_inputs import all_points, decisions, robust_on_grid, small_network
from oracles.literal_fixed import run_aligned

from neurodeploy.robustness.certificates import certify, certify_inputs, input_bounds
from neurodeploy.robustness.certificates.certificate import bound_run

RADII = (0, 1, 2)
METHODS = ("interval", "refined")


@dataclass
class Tally:
    """What was seen over many networks; ``true`` and ``proven`` count what is not trivial."""

    true: int = 0
    proven: dict = None
    exact_hits: int = 0
    wraps: int = 0
    clamps: int = 0


def check_network(net, seed, tally):
    """Raise AssertionError where a certificate says what enumeration refutes."""
    points = all_points([0] * net.n_input, [net.encoder.max_code] * net.n_input)
    run = run_aligned(net, points)
    decided = decisions(net, points)
    for p in net.populations:
        threshold = p.v_threshold.astype(np.int64) << 6
        tally.exact_hits += int((run.records[f"{p.name}/v_pre"] == threshold).any())
        tally.wraps += int(run.counts[f"{p.name}/wraps"].any())
        tally.clamps += int(run.counts[f"{p.name}/clamps"].any())
    classes = net.populations[-1].size
    # The decided class, and another one, which must never be certified.
    labels = np.stack([np.where(decided >= 0, decided, 0), (decided + 1) % classes])
    varied = len(np.unique(decided)) > 1
    for radius in RADII:
        robust = robust_on_grid(points, decided, radius)
        last = robust.shape[1] - 1
        truth = np.where(
            labels < last, robust[np.arange(len(points)), np.minimum(labels, last)], False
        )
        tally.true += int(truth.sum()) if radius and varied else 0
        for method in METHODS:
            twice = np.concatenate([points, points])
            made = certify(net, twice.astype(np.int32), labels.ravel(), radius, method=method)
            claimed = made.certified.reshape(2, -1)
            assert not (claimed & ~truth).any(), (seed, radius, method)
            if radius == 0:
                assert (claimed == truth).all(), (seed, method)
            elif varied:
                tally.proven[method] += int(claimed.sum())


def check_networks(seeds):
    tally = Tally(proven=dict.fromkeys(METHODS, 0))
    for seed in seeds:
        check_network(small_network(np.random.default_rng(seed)), seed, tally)
    return tally


def test_no_certificate_says_what_enumeration_refutes():
    tally = check_networks(range(24))
    assert tally.proven["refined"] >= tally.proven["interval"] > 0
    assert min(tally.exact_hits, tally.wraps, tally.clamps) > 0


@pytest.mark.slow
def test_no_certificate_says_what_enumeration_refutes_on_many_networks():
    tally = check_networks(range(1000, 1300))
    assert min(tally.exact_hits, tally.wraps, tally.clamps) > 50
    assert tally.proven["refined"] >= tally.proven["interval"]
    # Small networks are bounded nearly as well as can be.
    assert tally.proven["refined"] > 0.7 * tally.true


def sequences(net, seed):
    """All sequences of codes in 0..2 over the run's steps, for one input."""
    rng = np.random.default_rng(seed)
    points = all_points([0] * net.steps, [2] * net.steps)
    scale = int(rng.integers(1, net.encoder.max_code // 2 + 1))
    return (points * scale).T[:, :, None], scale


@pytest.mark.parametrize("seed", range(6))
def test_every_sequence_lies_within_the_bounds_of_free_steps(seed):
    """Codes may differ from step to step; the box holds a whole grid of sequences."""
    rng = np.random.default_rng(100 + seed)
    net = small_network(rng)
    while net.n_input != 1 or net.steps > 5:
        net = small_network(rng)
    codes, scale = sequences(net, seed)
    run, decided = run_aligned(net, codes), decisions(net, codes)
    whole = np.full((net.steps, 1, 1), 2 * scale)
    box = input_bounds(net, 0 * whole, whole)
    for method in METHODS:
        bounds = bound_run(net, box, method)
        sample = np.zeros(codes.shape[1], int)
        assert violations(net, bounds, run, sample, rng) == []
        for label in range(net.populations[-1].size):
            made = certify_inputs(net, box, np.array([label]), method=method)
            assert not made.certified[0] or (decided == label).all()
