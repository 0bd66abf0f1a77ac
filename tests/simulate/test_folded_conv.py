"""Convolutions over all steps at once: the same integers as event by event."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned, run_hardware
from oracles.random_neurons import NEURONS
from oracles.random_topologies import random_case
from simulate_networks import network, population

from neurodeploy.network import INPUT, ConvLayout, FixedSynapse
from neurodeploy.simulate import folded_conv, run_fixed
from neurodeploy.simulate.folded_conv import FoldedConv

RECORDS = ("spikes", "u", "v", "v_pre")


@pytest.fixture
def calls(monkeypatch):
    """Fold at any density; count how often."""
    found = []
    add = FoldedConv.add
    monkeypatch.setattr(folded_conv, "FOLD_FROM", 0.0)
    monkeypatch.setattr(FoldedConv, "add", lambda self, *a: (found.append(self), add(self, *a))[1])
    return found


@pytest.mark.parametrize("seed", range(3 * len(NEURONS)))
def test_random_networks_equal_the_literal_reading(seed, calls):
    rng = np.random.default_rng([seed, 5])
    pair = (NEURONS[seed % len(NEURONS)], "conv")
    net, codes = random_case(rng, pair=pair, hardware=seed % 2 == 0)
    for timing, literal in (("aligned", run_aligned), ("lava", run_hardware)):
        if timing == "lava" and seed % 2:
            continue  # such networks need not start on Lava
        expected = literal(net, codes)
        found = run_fixed(net, codes, record=RECORDS, timing=timing, threads=1)
        for name, values in found.records.items():
            np.testing.assert_array_equal(values, expected.records[name], err_msg=name)


def test_the_random_networks_do_fold(calls):
    for seed in range(8):
        rng = np.random.default_rng([seed, 5])
        net, codes = random_case(rng, pair=(NEURONS[seed % len(NEURONS)], "conv"))
        run_fixed(net, codes, threads=1)
    assert len(calls) > 20
    assert {fold._last for fold in calls} == {False, True}


def conv_network(rng, *, channels=3, groups=1, bits=1):
    layout = ConvLayout((1, 2), (1, 0), (1, 1), groups, (channels, 9, 8), (6, 9, 3))
    kernel = rng.integers(-60, 60, (6, channels // groups, 3, 3)) * 2
    again = ConvLayout((1, 1), (1, 1), (1, 1), 1, (6, 9, 3), (4, 9, 3))
    return network(
        [
            population("a", 162, shape=(6, 9, 3), v_threshold=900 * 2**bits),
            population("b", 108, 2, shape=(4, 9, 3)),
        ],
        [
            FixedSynapse("in", INPUT, "a", kernel, 0, "mixed", message_bits=bits if bits > 1 else 0,
                         layout=layout),
            FixedSynapse("ab", "a", "b", rng.integers(-60, 60, (4, 6, 3, 3)) * 2, 0, "mixed",
                         layout=again),
        ],
        channels * 72, bits=bits,
    )  # fmt: skip


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(("channels", "groups", "bits"), [(1, 1, 1), (3, 3, 1), (4, 2, 4)])
def test_both_ways_give_every_value_and_count(monkeypatch, density, channels, groups, bits):
    rng = np.random.default_rng(7)
    net = conv_network(rng, channels=channels, groups=groups, bits=bits)
    codes = rng.integers(1, 2**bits, (30, 6, net.n_input)) * (
        rng.random((30, 6, net.n_input)) < density
    )
    runs = []
    for fold_from in (0.0, 2.0):
        monkeypatch.setattr(folded_conv, "FOLD_FROM", fold_from)
        runs.append(run_fixed(net, codes, record=RECORDS, threads=2))
    for part in ("records", "counts"):
        a, b = (getattr(run, part) for run in runs)
        assert a.keys() == b.keys()
        for name, values in a.items():
            np.testing.assert_array_equal(values, b[name], err_msg=name)
    if density == 1.0:
        assert runs[0].counts["a/spikes"].min() > 0


def test_dense_trains_fold_and_sparse_ones_do_not(monkeypatch):
    found = []
    add = FoldedConv.add
    monkeypatch.setattr(FoldedConv, "add", lambda self, *a: (found.append(self), add(self, *a))[1])
    rng = np.random.default_rng(3)
    net = conv_network(rng)
    run_fixed(net, (rng.random((20, 4, net.n_input)) < 0.1).astype(int), threads=1)
    sparse = len(found)
    run_fixed(net, (rng.random((20, 4, net.n_input)) < 0.9).astype(int), threads=1)
    assert len(found) > sparse


def test_reduced_precision_is_never_used(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    monkeypatch.setattr(FoldedConv, "add", None)  # calling it would fail
    rng = np.random.default_rng(3)
    net = conv_network(rng)
    run_fixed(net, np.ones((20, 4, net.n_input), int), threads=1)


def test_sums_beyond_float32_go_event_by_event(monkeypatch):
    monkeypatch.setattr(FoldedConv, "add", None)
    rng = np.random.default_rng(3)
    net = conv_network(rng, bits=14)
    codes = rng.integers(0, 2**14, (5, 2, net.n_input))
    expected = run_aligned(net, codes)
    found = run_fixed(net, codes, record=("v",), threads=1)
    np.testing.assert_array_equal(found.records["a/v"], expected.records["a/v"])


def test_a_bound_on_memory_keeps_to_events(monkeypatch):
    rng = np.random.default_rng(3)
    net = conv_network(rng)
    codes = np.ones((20, 4, net.n_input), int)
    expected = run_fixed(net, codes, record=("v",), threads=1)
    monkeypatch.setattr(FoldedConv, "add", None)
    found = run_fixed(net, codes, record=("v",), threads=1, memory_bytes=2**24)
    np.testing.assert_array_equal(found.records["a/v"], expected.records["a/v"])
