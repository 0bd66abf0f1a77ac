"""The quantiser against the float network and its own promises."""

import dataclasses

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError, UnsupportedNodeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    check_legality,
    has_start_v,
)
from neurodeploy.quantization import (
    QuantizeConfig,
    describe_populations,
    describe_synapses,
    quantize,
    quantize_network,
)
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")


def population(name, n, rng, kind="lif", **changes):
    lif = kind == "lif"
    values = {
        "decay_v": rng.uniform(0.005, 0.5, n) if lif else np.zeros(n),
        "input_gain": np.ones(n),
        "v_leak": np.zeros(n),
        "v_threshold": np.ones(n) if lif else np.full(n, np.inf),
        "v_reset": np.zeros(n),
        "v_init": np.zeros(n),
        "bias": rng.normal(0, 0.1, n),
        "gain": None,
        **changes,
    }
    return Population(name=name, nir_nodes=(name,), kind=kind, **values)


def random_network(seed, *, scale=1.0, steps=8, low=0.0, gain=False, **changes):
    rng = np.random.default_rng(seed)
    n = [int(k) for k in rng.integers(5, 40, 4)]
    gains = rng.uniform(0.4, 1.9, 5) if gain else None
    populations = (
        population("a", n[1], rng, gain=gains, **changes),
        population("b", n[2], rng, gain=gains),
        population("read", n[3], rng, "li"),
    )
    names = [INPUT, "a", "b", "read"]
    synapses = tuple(
        Synapse.dense(f"{s}->{t}", s, t, scale * rng.normal(0, 2 / np.sqrt(i), (o, i)))
        for s, t, i, o in zip(names, names[1:], n, n[1:], strict=False)
    )
    encoder = ConstantEncoder(low, low + 1.0, 8)
    return Network(populations, synapses, n[0], encoder, Readout("read", "sum"), steps)


def codes_for(network, n=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, network.n_input))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gain", [False, True])
def test_eight_bits_keep_most_spikes_and_the_scores(seed, gain):
    network = random_network(seed, gain=gain)
    codes = codes_for(network)
    net, _ = quantize(network, LOIHI2, calibration=codes)
    before = run_float(network, codes, record=("spikes",))
    after = run_fixed(net, codes, record=("spikes",))
    for name in ("a", "b"):
        a, b = before.records[f"{name}/spikes"], after.records[f"{name}/spikes"]
        assert a.any()
        assert (a == b).mean() > 0.9
    scores = after.scores() / net.population("read").scale
    assert np.corrcoef(before.scores().ravel(), scores.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_proven_ranges_hold_on_every_corner(seed, scale):
    """All-zero, all-full and adversarial corner inputs must neither wrap u nor saturate v."""
    network = random_network(seed, scale=scale, gain=bool(seed % 2))
    net, findings = quantize_network(network, LOIHI2)
    assert not check_legality(net)
    assert not any("may exceed" in f.what for f in findings)
    first = net.synapses_into("a")[0].weight
    corners = [np.zeros(net.n_input), np.full(net.n_input, 255)]
    corners += [np.where(row > 0, 255, 0) for row in first]
    corners += [np.where(row < 0, 255, 0) for row in first]
    traces = run_fixed(net, np.array(corners, dtype=np.int32))
    for population in net.populations:
        assert traces.counts[f"{population.name}/wraps"].sum() == 0
        assert traces.counts[f"{population.name}/clamps"].sum() == 0


def test_more_bits_never_round_worse():
    network = random_network(3)
    errors = []
    for bits in range(2, 9):
        net, _ = quantize_network(network, LOIHI2, QuantizeConfig(bits))
        errors.append([row["error_rms"] for row in describe_synapses(network, net)])
    assert (np.diff(np.array(errors), axis=0) <= 1e-12).all()


def test_input_ranges_that_do_not_start_at_zero_move_into_the_bias():
    network = random_network(1, low=-0.5)
    codes = codes_for(network)
    net, _ = quantize(network, LOIHI2)
    a = run_float(network, codes, record=("spikes",)).records["a/spikes"]
    b = run_fixed(net, codes, record=("spikes",)).records["a/spikes"]
    assert (a == b).mean() > 0.95


@pytest.mark.parametrize("v_reset", [-0.25, 0.25])
def test_a_reset_value_becomes_the_origin(v_reset):
    n = random_network(5).population("a").size
    network = random_network(
        5, v_reset=np.full(n, v_reset), v_leak=np.full(n, 0.1), bias=np.full(n, 0.05)
    )
    codes = codes_for(network)
    net, _ = quantize(network, LOIHI2)
    assert (net.population("a").origin == v_reset).all()
    before = run_float(network, codes, record=("spikes", "v"))
    after = run_fixed(net, codes, record=("spikes", "v"))
    assert before.records["a/spikes"].any()
    equal = before.records["a/spikes"] == after.records["a/spikes"]
    assert equal.mean() > 0.95
    fixed_v = after.records["a/v"] / net.population("a").scale + v_reset
    assert np.median(np.abs(fixed_v - before.records["a/v"])) < 0.05


def test_a_bias_without_a_start_state_moves_to_an_always_on_line():
    network = random_network(7)
    strong = dataclasses.replace(
        network.population("b"), bias=np.full(network.population("b").size, -3.0)
    )
    populations = (network.populations[0], strong, network.populations[2])
    network = dataclasses.replace(network, populations=populations)
    net, findings = quantize_network(network, LOIHI2)
    lines = [s for s in net.synapses if s.source == ALWAYS_ON]
    assert [s.target for s in lines] == ["b"]
    assert not net.population("b").bias.any()
    assert any("always-on" in f.what for f in findings)
    stored = np.ldexp(lines[0].weight[:, 0].astype(float), lines[0].weight_exp + 6)
    assert np.allclose(stored / net.population("b").scale, -3.0, rtol=0.01)
    assert all(has_start_v(p) for p in net.populations)


def test_a_gain_with_a_drift_is_refused():
    n = random_network(2).population("a").size
    network = random_network(2, gain=True, v_leak=np.full(n, 0.3))
    with pytest.raises(UnsupportedNodeError, match="v_leak other than v_reset"):
        quantize_network(network, LOIHI2)


def test_a_network_no_scale_fits_says_so_with_numbers():
    network = random_network(2)
    wild = dataclasses.replace(
        network.population("a"), v_threshold=np.full(network.population("a").size, 1e12)
    )
    network = dataclasses.replace(network, populations=(wild, *network.populations[1:]))
    with pytest.raises(RangeError, match=r"population a: .* threshold \(1e\+12\)"):
        quantize_network(network, LOIHI2)


def test_a_silent_population_is_a_finding():
    network = random_network(4)
    quiet = dataclasses.replace(
        network.population("b"), v_threshold=np.full(network.population("b").size, 30.0)
    )
    network = dataclasses.replace(
        network, populations=(network.populations[0], quiet, network.populations[2])
    )
    _, findings = quantize(network, LOIHI2, calibration=codes_for(network))
    assert any("no spikes" in f.what and "b" in f.where for f in findings)


@pytest.mark.parametrize("bits", [1, 9, 0])
def test_impossible_widths_are_refused(bits):
    with pytest.raises(RangeError, match="weight_bits"):
        QuantizeConfig(weight_bits=bits)


def test_descriptions_hold_json_types():
    import json

    network = random_network(6, gain=True)
    net, _ = quantize_network(network, LOIHI2)
    json.dumps([describe_synapses(network, net), describe_populations(net)], allow_nan=False)


def test_quantising_is_deterministic():
    from neurodeploy.network import network_hash

    network = random_network(8)
    codes = codes_for(network)
    hashes = {network_hash(quantize(network, LOIHI2, calibration=codes).value) for _ in range(2)}
    assert len(hashes) == 1


def first_layer(network, **changes):
    """Return ``network`` with the fields of its first population replaced."""
    first = dataclasses.replace(network.populations[0], **changes)
    return dataclasses.replace(network, populations=(first, *network.populations[1:]))


def second_layer(network, **changes):
    """Return ``network`` with the fields of its second population replaced."""
    a, b, read = network.populations
    populations = (a, dataclasses.replace(b, **changes), read)
    return dataclasses.replace(network, populations=populations)


@pytest.mark.parametrize("v_reset", [-0.5, 0.25])
def test_neurons_without_memory_start_anywhere(v_reset):
    """tau = dt forgets its start, so neither v_reset nor a bias needs a state that leads there."""
    n = random_network(5).populations[0].size
    one = np.ones(n)
    network = first_layer(
        random_network(5), decay_v=one, v_reset=v_reset * one, v_leak=v_reset * one, bias=0.3 * one
    )
    codes = codes_for(network)
    net, _ = quantize(network, LOIHI2)
    assert not any(s.source == ALWAYS_ON for s in net.synapses)
    before = run_float(network, codes, record=("spikes",)).records["a/spikes"]
    after = run_fixed(net, codes, record=("spikes",)).records["a/spikes"]
    assert (before == after).mean() > 0.98


def test_a_bias_that_makes_a_memoryless_neuron_fire_moves_to_a_line():
    n = random_network(5).populations[0].size
    network = first_layer(random_network(5), decay_v=np.ones(n), bias=np.full(n, 1.5))
    net, _ = quantize(network, LOIHI2)
    assert [s.target for s in net.synapses if s.source == ALWAYS_ON] == ["a"]
    assert not net.population("a").v_init.any()


def test_only_neurons_without_a_start_state_leave_their_register():
    network = random_network(7)
    bias = np.array(network.population("b").bias)
    bias[2] = -30.0
    net, _ = quantize(second_layer(network, bias=bias), LOIHI2)
    line = next(s for s in net.synapses if s.source == ALWAYS_ON)
    assert np.flatnonzero(line.weight[:, 0]).tolist() == [2]
    kept = net.population("b").bias
    assert kept[2] == 0
    assert np.count_nonzero(kept) > kept.size // 2


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_an_always_on_line_is_legal_whatever_signs_and_widths(bits):
    """A column of one large negative and one tiny positive bias rounds to -256 and 0."""
    network = random_network(7)
    bias = np.zeros(network.population("b").size)
    bias[0], bias[1] = -32.0, 2.0**-9
    decay = np.full(bias.size, 0.5)
    decay[1] = 4095 / 4096  # the preimage of even a small bias leaves 24 bits
    network = second_layer(network, bias=bias, decay_v=decay)
    net, _ = quantize(network, LOIHI2, QuantizeConfig(bits))
    line = next(s for s in net.synapses if s.source == ALWAYS_ON)
    stored = np.ldexp(line.weight[:, 0].astype(float), line.weight_exp + 6)
    assert stored[0] / net.population("b").scale == pytest.approx(-32.0, rel=0.01)


@pytest.mark.parametrize("bits", [12, 16])
def test_wide_input_codes_cost_weight_bits_and_say_so(bits):
    network = dataclasses.replace(random_network(3), encoder=ConstantEncoder(0.0, 1.0, bits))
    codes = codes_for(network) * 2 ** (bits - 8)
    net, findings = quantize(network, LOIHI2, QuantizeConfig(), calibration=codes)
    assert any("bits less than they could" in f.what for f in findings)
    before = run_float(network, codes, record=("spikes",)).records["a/spikes"]
    after = run_fixed(net, codes, record=("spikes",))
    assert after.counts["a/wraps"].sum() == 0
    assert (before == after.records["a/spikes"]).mean() > 0.9


def test_a_threshold_of_infinity_never_fires():
    network = random_network(3)
    threshold = np.array(network.populations[0].v_threshold)
    threshold[1] = np.inf
    network = first_layer(network, v_threshold=threshold)
    net, _ = quantize(network, LOIHI2)
    after = run_fixed(net, codes_for(network), record=("spikes",)).records["a/spikes"]
    assert not after[..., 1].any()
    assert after.any()


def test_thresholds_lost_beside_a_huge_membrane_are_a_finding():
    network = random_network(3)
    threshold = np.full(network.populations[0].size, 1e-4)
    _, findings = quantize(first_layer(network, v_threshold=threshold), LOIHI2)
    assert any("thresholds are rounded" in f.what for f in findings)


@pytest.mark.parametrize("steps", [1, 2, 30, 1000])
def test_the_bound_of_a_leaky_membrane_is_a_geometric_sum(steps):
    from neurodeploy.quantization.population_scale import _geometric_sum

    ratio = np.array([0.0, 1e-17, 0.3, 0.999, 1 - 2.0**-52, 1.0])
    literal = (ratio[:, None] ** np.arange(steps)).sum(axis=1)
    np.testing.assert_allclose(_geometric_sum(ratio, steps), literal, rtol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_gain": 1e300},
        {"input_gain": 1e-310},
        {"bias": 1e200},
        {"v_threshold": 1e-300},
        {"v_leak": 1e308},
    ],
)
def test_values_of_no_model_are_refused_with_their_size(changes):
    n = random_network(2).populations[0].size
    network = first_layer(random_network(2), **{k: np.full(n, v) for k, v in changes.items()})
    with pytest.raises(RangeError, match="population a: its .* are up to .*e[+-]"):
        quantize_network(network, LOIHI2)
