"""Synaptic currents, refusals, calibration by sequences, and what slower feedback changes."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Convolution,
    Network,
    Population,
    Readout,
    Synapse,
    decide,
)
from neurodeploy.quantization import obstacles, quantize, quantize_network, with_extra_steps
from neurodeploy.simulate import run_float

LOIHI2 = hardware_profiles.load("loihi2")
N = 6


def neurons(name, **changes):
    zeros = np.zeros(N)
    values = {
        "decay_v": zeros + 0.1, "input_gain": zeros + 1, "v_leak": zeros, "v_threshold": zeros + 1,
        "v_reset": zeros, "v_init": zeros, "bias": zeros, "decay_u": zeros + 0.2,
        "w_in": zeros + 1, "kind": "lif", **changes,
    }  # fmt: skip
    return Population(name=name, nir_nodes=(name,), **values)


def one_layer(population, steps=40, seed=0):
    weight = np.random.default_rng(seed).normal(0.2, 0.6, (N, 4))
    synapse = Synapse.dense("w", INPUT, population.name, weight)
    kind = "count" if population.fires else "sum"
    encoder, readout = ConstantEncoder(0.0, 1.0, 1), Readout(population.name, kind)
    return Network((population,), (synapse,), 4, encoder, readout, steps)


def two_layers(population):
    """Return ``population`` behind another one: it waits two hardware steps."""
    before = one_layer(neurons("first"))
    between = Synapse.dense("between", "first", population.name, np.eye(N))
    return dataclasses.replace(
        before,
        populations=(*before.populations, population),
        synapses=(*before.synapses, between),
    )


def codes_of(network, density=0.3, batch=5):
    rng = np.random.default_rng(1)
    return (rng.random((network.steps, batch, network.n_input)) < density).astype(int)


@pytest.mark.parametrize(
    ("decay", "register"), [(1.0, 4095), (0.5, 2047), (1 / 4096, 0), (1e-6, 0), (2 / 4096, 1)]
)
def test_the_register_of_a_current_counts_from_one(decay, register):
    net, _ = quantize_network(one_layer(neurons("a", decay_u=np.full(N, decay)), 4), LOIHI2)
    assert (net.population("a").decay_u == register).all()


def test_a_bias_of_a_current_enters_u_by_a_line_and_never_v():
    bias = np.array([-0.9, -0.3, 0.0, 0.2, 0.5, 0.8])
    population = neurons("a", bias=bias, w_in=np.full(N, 1.5), input_gain=np.full(N, 0.8))
    net, findings = quantize_network(one_layer(population), LOIHI2)
    fixed = net.population("a")
    assert not fixed.bias.any()
    (line,) = [s for s in net.synapses if s.source == ALWAYS_ON]
    stored = np.ldexp(line.weight[:, 0].astype(float), line.weight_exp + 6) / fixed.scale
    np.testing.assert_allclose(stored, bias * 0.2 * 1.5 * 0.8, atol=0.9 * 0.24 / 200)
    assert any("enters the synaptic current" in f.what for f in findings)
    # Its effect over time is the network's, on input and without.
    network = one_layer(population)
    codes = codes_of(network)
    codes[:, 0] = 0
    records = run_aligned(net, codes).records
    meant = run_float(network, codes, record=("spikes", "u", "v_pre")).records
    u = records["a/u"] / fixed.scale / 0.8
    assert np.abs(u - meant["a/u"]).max() < 0.02
    counts = records["a/spikes"].sum(axis=0) - meant["a/spikes"].sum(axis=0, dtype=np.int64)
    assert np.abs(counts).max() <= 1
    assert meant["a/spikes"][:, 0].any()


def test_a_line_of_both_signs_resolves_single_units():
    """Even mantissas of one sign bit would resolve two; exponent -1 halves them without a floor."""
    bias = np.array([-3.0, 3.0, 1.0, -1.0, 0.0, 5.0]) / 5
    population = neurons("a", bias=bias, input_gain=np.full(N, 0.25))
    network = one_layer(population)
    weight = np.full((N, 4), 20.0)
    heavy = dataclasses.replace(network, synapses=(Synapse.dense("w", INPUT, "a", weight),))
    net, _ = quantize_network(heavy, LOIHI2)
    unit = 64 / net.population("a").scale
    line = net.synapses[-1]
    assert (line.source, line.sign_mode) == (ALWAYS_ON, "mixed")
    felt = np.floor(np.ldexp(line.weight[:, 0].astype(float), line.weight_exp)) * unit
    assert np.abs(felt - 0.05 * bias).max() <= unit / 2
    assert unit > 0.05 / 100


def test_a_read_out_with_a_current_integrates_it():
    population = neurons("a", kind="li", v_threshold=np.full(N, np.inf), bias=np.full(N, 0.1))
    network = one_layer(population)
    codes = codes_of(network)
    net, _ = quantize_network(network, LOIHI2)
    fixed = run_aligned(net, codes).records["a/v"] / net.population("a").scale
    meant = run_float(network, codes, record=("v",)).records["a/v"]
    assert np.abs(fixed - meant).max() < 0.02 * np.abs(meant).max()


def test_slow_currents_are_proven_or_seen_not_to_wrap():
    """A current that may wrap on some input is scaled by what calibration showed, and says so."""
    population = neurons("a", decay_u=np.full(N, 0.002), input_gain=np.full(N, 100.0))
    network = one_layer(population, steps=2000)
    codes = codes_of(network, density=0.002, batch=2)
    proven, _ = quantize_network(network, LOIHI2)
    seen, findings = quantize(network, LOIHI2, calibration=codes)
    assert any("|u| may exceed 24 bits" in f.what for f in findings)
    assert seen.population("a").scale > proven.population("a").scale
    assert run_aligned(seen, codes).counts["a/wraps"].sum() == 0
    full = np.ones_like(codes)
    assert run_aligned(proven, full).counts["a/wraps"].sum() == 0
    assert run_aligned(seen, full).counts["a/wraps"].sum() > 0


def test_a_sum_without_memory_never_wraps_whatever_calibration_showed():
    zeros = np.zeros(N)
    small = {"decay_v": zeros + 0.001, "v_threshold": zeros + 0.25}
    population = neurons("a", decay_u=None, w_in=None, **small)
    weight = np.random.default_rng(0).normal(0.2, 0.6, (N, 32))
    synapses = (Synapse.dense("w", INPUT, "a", weight),)
    network = dataclasses.replace(
        one_layer(population, 2000), synapses=synapses, n_input=32, input_shape=(32,)
    )
    silent = np.zeros((network.steps, 1, 32), np.int64)
    proven, _ = quantize_network(network, LOIHI2)
    net, findings = quantize(network, LOIHI2, calibration=silent)
    assert any("|v| may exceed 24 bits" in f.what for f in findings)
    assert not any("|u| may exceed" in f.what for f in findings)
    assert net.population("a").scale >= 64 * proven.population("a").scale
    worst = np.stack([w * s > 0 for w in weight for s in (1, -1)]).astype(np.int64)
    run = run_aligned(net, worst, steps=50)
    assert run.counts["a/wraps"].sum() == 0


def test_a_drift_beside_a_current_that_has_no_start_state_is_an_error_with_numbers():
    population = neurons("a", v_leak=np.full(N, -9.0), v_threshold=np.full(N, 0.5))
    with pytest.raises(RangeError, match=r"v_leak moves the membrane of 6 neurons by up to 0.9"):
        quantize_network(two_layers(population), LOIHI2)
    forgetful = dataclasses.replace(population, decay_u=np.ones(N))
    net, _ = quantize_network(two_layers(forgetful), LOIHI2)
    assert not net.population("a").bias.any()
    (line,) = [s for s in net.synapses if s.source == ALWAYS_ON]
    stored = np.ldexp(line.weight[:, 0].astype(float), line.weight_exp + 6)
    np.testing.assert_allclose(stored / net.population("a").scale, -0.9, rtol=0.01)


def test_values_per_neuron_stay_per_neuron():
    spread = np.linspace(0.1, 0.9, N)
    population = neurons(
        "a", decay_v=spread, decay_u=spread, v_threshold=1 + spread, v_reset=spread - 0.5,
        v_leak=spread - 0.5, v_init=spread - 0.5,
    )  # fmt: skip
    fixed = quantize_network(one_layer(population), LOIHI2).value.population("a")
    np.testing.assert_array_equal(fixed.origin, spread - 0.5)
    np.testing.assert_array_equal(fixed.decay_v, np.rint(4096 * spread))
    np.testing.assert_array_equal(fixed.decay_u, np.rint(4096 * spread) - 1)
    np.testing.assert_allclose(fixed.v_threshold * 64 / fixed.scale, 1.5, rtol=0.02)


def test_a_subtractive_reset_keeps_the_membrane_where_it_is():
    population = neurons(
        "a", decay_u=None, w_in=None, reset="subtract", v_reset=np.full(N, 0.5),
        v_leak=np.full(N, 0.25), v_init=np.full(N, 0.75),
    )  # fmt: skip
    network = one_layer(population)
    net, _ = quantize_network(network, LOIHI2)
    fixed = net.population("a")
    assert fixed.reset == "subtract"
    assert not np.any(fixed.origin)
    codes = codes_of(network, 0.5)
    records = run_aligned(net, codes).records
    meant = run_float(network, codes, record=("spikes", "v")).records
    counts = records["a/spikes"].sum(axis=0) - meant["a/spikes"].sum(axis=0, dtype=np.int64)
    assert np.abs(counts).max() <= 1
    assert np.median(np.abs(records["a/v"] / fixed.scale - meant["a/v"])) < 0.1


def test_all_that_cannot_be_held_is_refused_at_once():
    one = np.ones(N)
    populations = (
        neurons("gain", gain=np.array([1.0])),
        neurons("late", reset="subtract-late"),
        neurons("many", spikes="multiple"),
        neurons("floor", v_min=-1.0),
        neurons("fast", decay_v=1.5 * one),
        neurons("low", v_threshold=-one),
        neurons("graded", kind="li", v_threshold=np.inf * one),
        neurons("read", kind="li", v_threshold=np.inf * one),
    )
    names = [p.name for p in populations]
    eye = np.eye(N)
    synapses = [Synapse.dense(f"s{n}", INPUT, n, eye) for n in names]
    synapses.append(Synapse.dense("graded->read", "graded", "read", eye))
    synapses.append(Synapse("chain", "gain", "read", synapses[0].operators * 2))
    kernel = np.ones((1, 1, 1, 2))
    uneven = Convolution(
        "uneven", kernel, None, (1, 1), ((0, 0), (0, 1)), (1, 1), 1, (1, 1, N), (1, 1, N)
    )
    synapses.append(Synapse("uneven", "gain", "read", (uneven,)))
    network = Network(populations, tuple(synapses), N, ConstantEncoder(), Readout("read", "sum"), 4)
    found = obstacles(network)
    bad = {"gain", "late", "many", "floor", "fast", "low", "graded", "chain", "uneven"}
    assert set(found) == bad
    with pytest.raises(UnsupportedNodeError, match="9 nodes cannot be quantised") as error:
        quantize_network(network, LOIHI2)
    assert all(f"'{name}': " in str(error.value) for name in bad)


def test_a_delayed_input_range_that_does_not_begin_at_zero_is_refused():
    network = one_layer(neurons("a"))
    late = dataclasses.replace(network.synapses[0], delay_steps=2)
    network = dataclasses.replace(network, synapses=(late,))
    assert quantize_network(network, LOIHI2).value.synapses[0].delay == 2
    network = dataclasses.replace(network, encoder=ConstantEncoder(-1.0, 1.0, 1))
    with pytest.raises(UnsupportedNodeError, match="begins at 0"):
        quantize_network(network, LOIHI2)


def test_calibration_takes_held_codes_and_sequences():
    network = one_layer(neurons("a"), steps=12)
    sequence = codes_of(network)
    held = sequence[0]
    assert quantize(network, LOIHI2, calibration=held).value.steps == 12
    with_sequence = quantize(network, LOIHI2, calibration=sequence)
    assert any("of spikes agree" in f.what for f in with_sequence.findings)
    with pytest.raises(ShapeError, match=r"needs \[B, 4\]"):
        quantize(network, LOIHI2, calibration=sequence[..., :3])


def test_slower_feedback_is_named_and_measured():
    rng = np.random.default_rng(2)
    populations = (neurons("a"), neurons("b"))
    synapses = (
        Synapse.dense("in", INPUT, "a", rng.normal(0.3, 0.5, (N, 4))),
        Synapse.dense("forth", "a", "b", rng.normal(0.8, 0.8, (N, N))),
        Synapse("back", "b", "a", Synapse.dense("", "b", "a", -np.eye(N) * 3).operators, 1),
    )
    network = Network(populations, synapses, 4, ConstantEncoder(0, 1, 1), Readout("b", "count"), 30)
    codes = codes_of(network, 0.6, batch=20)
    net, findings = quantize(network, LOIHI2, calibration=codes)
    assert net.logical_delay(net.synapses_into("a")[1]) == 2
    named = [f for f in findings if f.numbers.get("extra_steps") == 1]
    assert [f.where for f in named] == ["synapse back"]
    (measured,) = [f for f in findings if "changed_spikes" in f.numbers]
    slower = with_extra_steps(network, {"back": 1})
    before, after = (run_float(n, codes, record=("spikes",)).records for n in (network, slower))
    changed = sum(int((before[k] != after[k]).sum()) for k in before)
    assert measured.numbers["changed_spikes"] == changed > 0
    assert measured.numbers["spikes"] == sum(int(x.sum()) for x in before.values())
    assert measured.numbers["samples"] == 20
    decisions = [decide(run_float(n, codes).scores()) for n in (network, slower)]
    assert measured.numbers["changed_decisions"] == np.sum(decisions[0] != decisions[1]) > 0
    fixed = run_aligned(net, codes).records
    assert np.mean([(fixed[k] == after[k]).mean() for k in after]) > 0.93
    # Without calibration the steps are named all the same.
    _, findings = quantize(network, LOIHI2)
    assert [f.where for f in findings if "extra_steps" in f.numbers] == ["synapse back"]


def test_windows_and_shapes_pass_through():
    network = random_deployable(np.random.default_rng(5))
    readout = dataclasses.replace(network.readout, window=(2, 5))
    network = dataclasses.replace(network, readout=readout)
    net, _ = quantize_network(network, LOIHI2)
    assert net.readout.window == (2, 5)
    assert len(net.input_shape) == 3
