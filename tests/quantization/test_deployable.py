"""Random deployable networks of every kind: exact where nothing rounds, legal and close elsewhere."""

from collections import Counter

import numpy as np
import pytest
from oracles import literal_float
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from quantization.deployable import NEURONS, random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError
from neurodeploy.network import ALWAYS_ON, check_legality, has_start_v
from neurodeploy.quantization import (
    describe_populations,
    describe_synapses,
    quantize_network,
    register_errors,
    solve_latencies,
    with_extra_steps,
)
from neurodeploy.simulate import run_float

LOIHI2 = hardware_profiles.load("loihi2")
OPERATORS = ("dense", "sparse", "conv")


def quantised(network):
    """Return the integers, or None where a neuron with a current has no start state."""
    try:
        return quantize_network(network, LOIHI2)
    except RangeError as error:
        if "v_leak moves the membrane" not in str(error):
            raise
        return None


def possible(network):
    """Return ``network`` with feedback as slow as on the chip."""
    return with_extra_steps(network, solve_latencies(network, 62).extra)


def codes_for(network, rng, batch=3):
    codes = rng.integers(0, network.encoder.max_code + 1, (network.steps, batch, network.n_input))
    codes[:, 0] = network.encoder.max_code
    return codes


def check_exact(seed, neuron, operator, seen):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, exact=True, neuron=neuron, operator=operator)
    result = quantised(network)
    if result is None:
        return False
    net = result.value
    codes = codes_for(network, rng, 2)
    fixed = run_aligned(net, codes).records
    # Steps are few enough that halving never leaves the whole numbers.
    meant = run_float(possible(network), codes, record=("spikes", "v")).records
    for p in net.populations:
        if p.kind != "readout":
            np.testing.assert_array_equal(fixed[f"{p.name}/spikes"], meant[f"{p.name}/spikes"])
        v = fixed[f"{p.name}/v"] / p.scale + p.origin
        np.testing.assert_array_equal(v, meant[f"{p.name}/v"], err_msg=f"{seed} {p.name}")
        seen[p.kind, p.reset, bool((p.decay_u < 4095).any())] += 1
    for s in net.synapses:
        seen[s.kind] += 1
        seen["waits"] += bool(np.any(s.delay))
        seen["line"] += s.source == ALWAYS_ON
    seen["extra"] += any("logical steps more" in f.what for f in result.findings)
    return True


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_numbers_that_need_no_rounding_give_equal_spikes_and_membranes(neuron, operator):
    seen = Counter()
    ran = [check_exact(seed, neuron, operator, seen) for seed in range(8)]
    assert sum(ran) >= 5
    assert min(seen[key] for key in ("dense", "sparse", "waits")) > 0


def test_the_exact_networks_hold_every_kind():
    seen = Counter()
    for seed in range(100, 140):
        check_exact(seed, None, None, seen)
    neurons = [
        ("lif", "zero", False), ("lif", "zero", True), ("lif", "subtract", False),
        ("lif", "subtract", True), ("dlif", "zero", False), ("readout", "zero", False),
        ("readout", "zero", True),
    ]  # fmt: skip
    assert min(seen[kind] for kind in neurons) >= 5
    assert min(seen[kind] for kind in (*OPERATORS, "waits", "line", "extra")) >= 10


def test_an_independent_step_by_step_float_run_agrees():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        network = random_deployable(rng, exact=True, layers=3, steps=4)
        result = quantised(network)
        if result is None:
            continue
        codes = codes_for(network, rng, 1)
        fixed = run_aligned(result.value, codes).records
        meant, _ = literal_float.run(possible(network), network.encoder.decode(codes))
        for p in result.value.populations:
            v = fixed[f"{p.name}/v"] / p.scale + p.origin
            np.testing.assert_array_equal(v, meant[f"{p.name}/v"])


def test_real_numbers_give_legal_integers_that_keep_most_spikes():
    agreements = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = random_deployable(rng)
        result = quantised(network)
        if result is None:
            continue
        net, findings = result
        check_structure(network, net)
        codes = codes_for(network, rng)
        fixed = run_aligned(net, codes)
        check_ranges(net, fixed, findings)
        hardware = logical_records(net, run_hardware(net, codes), network.steps)
        for key, rows in fixed.records.items():
            np.testing.assert_array_equal(hardware[key], rows)
        meant = run_float(possible(network), codes, record=("spikes",)).records
        agreements += [
            float((meant[f"{p.name}/spikes"] == fixed.records[f"{p.name}/spikes"]).mean())
            for p in net.populations
            if p.kind != "readout"
        ]
    assert len(agreements) > 70
    assert np.mean(agreements) > 0.97
    assert np.min(agreements) > 0.8


def check_structure(network, net):
    assert not check_legality(net)
    assert all(has_start_v(p) for p in net.populations)
    assert net.input_shape == network.input_shape
    assert net.readout == network.readout
    slower = {s.name: s.delay_steps for s in possible(network).synapses}
    for s in net.synapses:
        if s.source != ALWAYS_ON:
            assert (net.logical_delay(s) == slower[s.name]).all()
    for p in network.populations:
        fixed = net.population(p.name)
        assert fixed.shape == p.shape
        if p.decay_u is not None:
            lost = (fixed.decay_u + 1) / 4096
            assert np.abs(lost - p.decay_u).max() <= 0.5 / 4096
    errors = register_errors(network, net)
    assert all(e["decay"] <= 0.5 / 4096 for e in errors.values())
    assert all(e["v_threshold"] < 0.02 and e["bias"] < 0.02 for e in errors.values())
    rows = {r["synapse"]: r for r in describe_synapses(network, net)}
    assert all(r["error_rms"] < 0.02 for r in rows.values() if "error_rms" in r)
    assert [p["shape"] for p in describe_populations(net)] == [
        list(p.shape) for p in net.populations
    ]


def check_ranges(net, run, findings):
    """Nothing overflows without calibration: all bounds are proven."""
    assert not any("may exceed" in f.what for f in findings)
    for p in net.populations:
        assert run.counts[f"{p.name}/wraps"].sum() == 0
        assert run.counts[f"{p.name}/clamps"].sum() == 0


@pytest.mark.parametrize("seed", range(6))
def test_proven_ranges_hold_on_adversarial_corners(seed):
    """Recurrence and currents too: inputs that push single neurons as far as they go."""
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=40)
    result = quantised(network)
    if result is None:
        return
    net, findings = result
    top = network.encoder.max_code
    corners = np.zeros((network.steps, 8, network.n_input), np.int64)
    first = net.synapses_into("p0")[0].connections()
    for sample in range(1, 8):
        rows = first.target == rng.integers(net.population("p0").size)
        sign = 1 if sample % 2 else -1
        corners[:, sample, first.source[rows & (first.weight * sign > 0)]] = top
    corners[:, 0] = top
    check_ranges(net, run_aligned(net, corners), findings)
