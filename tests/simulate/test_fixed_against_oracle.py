"""The simulator against the literal int64 oracle: every value of every layer, no tolerance."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.network import (
    INPUT,
    V_MAX,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.simulate import run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")
ORACLES = {"aligned": run_aligned, "lava": run_hardware}


def assert_equal(net, codes, timing, steps=None):
    """Compare all records and counts; return the number of compared values."""
    expected = ORACLES[timing](net, codes, steps)
    traces = run_fixed(net, codes, steps=steps, record=QUANTITIES, timing=timing, threads=1)
    assert set(traces.records) == set(expected.records)
    assert set(traces.counts) == set(expected.counts)
    for key, values in expected.records.items():
        np.testing.assert_array_equal(traces.records[key], values, err_msg=f"{timing} {key}")
    for key, values in expected.counts.items():
        np.testing.assert_array_equal(traces.counts[key], values, err_msg=f"{timing} {key}")
    return sum(values.size for values in expected.records.values())


def compare_random_networks(seeds, samples):
    compared = 0
    seen = {"wraps": 0, "clamps": 0, "kinds": set(), "layers": 0, "fitting": 0, "firing": 0}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = random_fixed_network(rng)
        codes = random_codes(rng, net, samples)
        for timing in ("aligned", "lava"):
            compared += assert_equal(net, codes, timing)
        traces = run_fixed(net, codes, record=("spikes",), threads=1)
        for p in net.populations:
            seen["kinds"].add(p.kind)
            seen["wraps"] += bool(traces.counts[f"{p.name}/wraps"].any())
            seen["clamps"] += bool(traces.counts[f"{p.name}/clamps"].any())
            if p.kind != "readout":
                rate = traces.records[f"{p.name}/spikes"].mean()
                seen["layers"] += 1
                seen["firing"] += rate > 0
                seen["fitting"] += 0.01 <= rate <= 0.5
    return compared, seen


def test_random_networks_agree_in_every_value():
    compared, seen = compare_random_networks(range(70), samples=5)
    assert compared >= 1_000_000
    # The draw covers what it is meant to cover.
    assert seen["kinds"] == {"lif", "dlif", "readout"}
    assert seen["wraps"] >= 10
    assert seen["clamps"] >= 10
    assert seen["firing"] >= 0.9 * seen["layers"]
    assert seen["fitting"] >= 0.8 * seen["layers"]


@pytest.mark.slow
def test_many_random_networks_agree_in_every_value():
    compared, _ = compare_random_networks(range(1000, 1400), samples=12)
    assert compared >= 10_000_000


@pytest.mark.parametrize("seed", range(12))
def test_networks_without_a_start_state_agree_on_the_logical_axis(seed):
    rng = np.random.default_rng(500 + seed)
    net = random_fixed_network(rng, hardware=False, layers=2)
    assert_equal(net, random_codes(rng, net, 4), "aligned")


@pytest.mark.parametrize("seed", range(12))
def test_extreme_networks_agree(seed):
    rng = np.random.default_rng(700 + seed)
    net = random_fixed_network(rng, extreme=True, graded=True)
    codes = np.full((3, net.n_input), net.encoder.max_code, np.int32)
    codes[0] = 0
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing, steps=40)


def test_the_largest_sums_leave_32_bits_and_are_counted():
    # 64 inputs * 65535 * 254 * 2^7 wraps in the sum and again in the shift.
    rng = np.random.default_rng(3)
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=rng.integers(0, 4096, 9),
        decay_v=rng.integers(0, 4097, 9), bias=0, bias_exp=0, v_threshold=1000, u_init=0,
        v_init=0, latency=1, scale=1.0,
    )  # fmt: skip
    dlif = replace(population, name="d", kind="dlif", gain=np.array([255, 1]), gain_shift=0)
    weight = rng.integers(-128, 128, (9, 300)) * 2
    net = FixedPointNetwork(
        populations=(population, dlif),
        synapses=tuple(
            FixedSynapse(f"{target}{e}", INPUT, target, weight, e, "mixed", message_bits=16)
            for target in ("n", "d")
            for e in (7, -3)
        ),
        n_input=300,
        encoder=ConstantEncoder(bits=16),
        readout=Readout("n", "count"),
        steps=12,
    )
    codes = rng.integers(0, 2**16, (12, 4, 300))
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)
    assert (run_fixed(net, codes).counts["n/wraps"] > 0).all()


@pytest.mark.parametrize("parameter", ["u_init", "v_init"])
@pytest.mark.parametrize("value", [2**31 - 1, -(2**31) + 1, V_MAX + 1, -V_MAX - 1, V_MAX, -V_MAX])
def test_extreme_start_states_agree(parameter, value):
    rng = np.random.default_rng(11)
    net = random_fixed_network(rng, layers=1, kind="lif", readout=False)
    changed = replace(net.populations[0], **{parameter: np.full(net.populations[0].size, value)})
    net = replace(net, populations=(changed,))
    assert_equal(net, random_codes(rng, net, 3), "aligned")


@pytest.mark.parametrize("seed", range(8))
def test_the_logical_axis_is_the_hardware_axis_shifted_by_the_latency(seed):
    rng = np.random.default_rng(900 + seed)
    net = random_fixed_network(rng, layers=3)
    codes = random_codes(rng, net, 3)
    aligned = run_fixed(net, codes, record=QUANTITIES).records
    hardware = logical_records(net, run_hardware(net, codes), net.steps)
    for key, values in hardware.items():
        np.testing.assert_array_equal(aligned[key], values, err_msg=key)


def test_a_large_layer_and_a_long_run_cross_every_block_boundary():
    # More steps than a block, more samples than a chunk, sizes beside the padding of 64.
    rng = np.random.default_rng(21)
    net = random_fixed_network(rng, layers=2, readout=False)
    codes = random_codes(rng, net, 3, held=True)
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing, steps=600)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_every_remainder_of_the_padded_masks_agrees(size):
    rng = np.random.default_rng(size)
    weight = rng.integers(-127, 128, (size, size)) * 2
    populations = tuple(
        FixedPopulation(
            name=name, nir_nodes=(name,), kind="lif", decay_u=4095, decay_v=np.full(size, 400),
            bias=10, bias_exp=6, v_threshold=300, u_init=0, v_init=0, latency=latency, scale=1.0,
        )
        for name, latency in (("a", 1), ("b", 2))
    )  # fmt: skip
    net = FixedPointNetwork(
        populations=populations,
        synapses=(
            FixedSynapse("s", INPUT, "a", weight, 0, "mixed"),
            FixedSynapse("t", "a", "b", weight, 0, "mixed"),
        ),
        n_input=size,
        encoder=ConstantEncoder(),
        readout=Readout("b", "count"),
        steps=9,
    )
    codes = rng.integers(0, 2, (9, 4, size))
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)
