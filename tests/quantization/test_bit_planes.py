"""Gains gated bit by bit: in float the rounded gain itself, in integers stock neurons and spikes."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned, run_hardware
from quantization.gained_networks import gained_network

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError
from neurodeploy.hardware_profiles import limits_of
from neurodeploy.network import check_legality
from neurodeploy.quantization import QuantizeConfig, describe_synapses, quantize
from neurodeploy.quantization.bit_planes import bit_planes, obstacle, with_bit_planes
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.incoming import SIGNS
from neurodeploy.simulate import run_fixed, run_float
from neurodeploy.simulate.weight_gradient import ParameterGradients
from neurodeploy.training.latent_integers import LatentIntegers
from neurodeploy.training.repair import _wanted

LOIHI1 = hardware_profiles.load("loihi1")
QUANTITIES = ("spikes", "u", "v", "v_pre")


def codes_of(network, samples=16, steps=None):
    shape = (steps or network.steps, samples, network.n_input)
    return np.random.default_rng(1).integers(0, 2, shape)


def rounded(network, bits):
    """Return ``network`` with gains ``mantissa / 2**shift``, by plain arithmetic."""
    populations = []
    for p in network.populations:
        if p.gain is not None:
            shift = max(s for s in range(8) if round(max(p.gain) * 2**s) < 2**bits)
            p = replace(p, gain=[round(g * 2**shift) / 2**shift for g in p.gain])
        populations.append(p)
    return replace(network, populations=tuple(populations))


@pytest.mark.parametrize(
    ("bits", "choices"),
    [
        (8, {"feedback": True}),
        (6, {"delay": 3}),
        (8, {"low": -0.5}),
        (4, {"gain_steps": 2}),
        (8, {"gain_steps": 20}),
        (5, {"feedback": True, "v_reset": -0.2}),
    ],
)
def test_in_float_they_are_the_rounded_gain(bits, choices):
    """In every spike and membrane, also in steps beyond the gain's last and beyond a sample."""
    network = gained_network(3, code_bits=1, **choices)
    gated = with_bit_planes(network, ["a", "b"], bits)
    codes = codes_of(network, steps=network.steps + 5)
    expected = run_float(rounded(network, bits), codes, record=("spikes", "v"))
    found = run_float(gated, codes, record=("spikes", "v"))
    assert expected.records["b/spikes"].any()
    for key, values in expected.records.items():
        np.testing.assert_allclose(found.records[key], values, rtol=0, atol=1e-12, err_msg=key)


def test_the_clock_counts_and_stays():
    network = gained_network(0, code_bits=1)
    found = run_float(
        with_bit_planes(network, ["a", "b"], 8), codes_of(network, 2, 9), record=("spikes",)
    )
    clock = found.records["gain_clock/spikes"][:, 0]
    assert clock.sum(axis=1).tolist() == [1] * 9
    assert clock.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 4]


def test_a_bit_that_is_always_set_needs_no_gate():
    network = gained_network(0, code_bits=1)
    gains = np.array([128 + 5, 128 + 7, 128 + 4]) / 128
    network = replace(
        network,
        populations=tuple(
            replace(p, gain=gains if p.name == "a" else None) for p in network.populations
        ),
    )
    planes = bit_planes(network.population("a"), 8)
    assert (planes.gated, planes.constant, planes.steps) == ((0, 1), 132 / 128, 3)
    gated = with_bit_planes(network, ["a"], 8)
    assert sorted(p.name for p in gated.populations) == [
        "a", "a.bit0", "a.bit1", "a.gain8", "b", "gain_clock", "read",
    ]  # fmt: skip
    # A gain without a bit that moves needs nothing at all: it is folded.
    still = replace(
        network, populations=tuple(
            replace(p, gain=np.full(4, 1.25)) if p.name == "a" else p for p in network.populations
        ),
    )  # fmt: skip
    net, findings = quantize(still, LOIHI1, QuantizeConfig(remap="bitplane"))
    assert [p.name for p in net.populations] == ["a", "b", "read"]
    assert any("folded into its mean 1.25" in f.what and "0.0% off" in f.what for f in findings)


@pytest.mark.parametrize(
    ("seed", "choices"), [(1, {"feedback": True}), (2, {"delay": 2}), (4, {"low": -0.5})]
)
def test_the_integers_are_stock_and_keep_the_spikes(seed, choices):
    network = gained_network(seed, code_bits=1, **choices)
    codes = codes_of(network)
    net, findings = quantize(network, LOIHI1, QuantizeConfig(remap="bitplane"), calibration=codes)
    assert not check_legality(net, limits_of(LOIHI1))
    assert {p.kind for p in net.populations} == {"lif", "readout"}
    assert not any(p.is_extended for p in net.populations)
    assert {s.message_bits for s in net.synapses} == {0}
    for timing, oracle in (("aligned", run_aligned), ("lava", run_hardware)):
        expected = oracle(net, codes[:, :3])
        traces = run_fixed(net, codes[:, :3], record=QUANTITIES, timing=timing)
        for key, values in expected.records.items():
            np.testing.assert_array_equal(traces.records[key], values, err_msg=key)
    # Against the real gain, where feedback through gates is not slower on the chip.
    said = [f for f in findings if f.what.startswith("gain in ")]
    assert [f.where for f in said] == ["population a", "population b"]
    assert all(f.numbers["agreement"] > 0.98 for f in said)
    assert any("extra_steps" in f.numbers for f in findings) == ("feedback" in choices)
    if "feedback" not in choices:
        real = run_float(network, codes, record=("spikes",)).records
        fixed = run_fixed(net, codes, record=("spikes",)).records
        for name in ("a", "b"):
            assert (real[f"{name}/spikes"] == fixed[f"{name}/spikes"]).mean() > 0.97


def test_each_layer_takes_one_step_more_and_the_clock_one():
    network = gained_network(0, code_bits=1)
    plain, _ = quantize(network, LOIHI1, QuantizeConfig(remap="fold"))
    gated, _ = quantize(network, LOIHI1, QuantizeConfig(remap="bitplane"))
    assert [plain.population(n).latency for n in ("a", "b", "read")] == [1, 2, 3]
    assert [gated.population(n).latency for n in ("a", "b", "read")] == [4, 6, 7]


def test_tables_are_about_the_network_with_its_gates():
    network = gained_network(5, code_bits=1)
    net, _ = quantize(network, LOIHI1, QuantizeConfig(remap="bitplane", gain_bits=5))
    mapped = as_mapped(network, net)
    assert [p.name for p in mapped.populations] == [p.name for p in net.populations]
    assert {s.name for s in mapped.synapses} == {s.name for s in net.synapses}
    rows = describe_synapses(network, net)
    assert all(row["error_rms"] < 0.01 for row in rows if "error_rms" in row)
    # One matrix at exponents that differ as the bits do.
    exponents = {row["synapse"]: row["weight_exp"] for row in rows}
    bits = bit_planes(network.population("b"), 5).gated
    differences = np.diff([exponents[f"a->b.bit{b}"] for b in bits])
    assert differences.tolist() == np.diff(bits).tolist()


def test_codes_have_no_gates_and_the_error_says_what_to_do():
    network = gained_network(0, code_bits=8)
    assert obstacle(network, "b") == ""
    with pytest.raises(RangeError) as caught:
        quantize(network, LOIHI1, QuantizeConfig(remap="bitplane"))
    assert str(caught.value) == (
        "population a: input codes of 8 bits enter it, and gates of bit planes take spikes; use "
        "--remap graded or fold, or an encoder of 1 bit"
    )


@pytest.mark.parametrize("choice", [{"sign_split": "auto"}, {"granularity": "neuron"}])
def test_they_go_with_the_other_choices_of_the_quantiser(choice):
    network = gained_network(6, code_bits=1)
    codes = codes_of(network, 24)
    config = QuantizeConfig(3, remap="bitplane", gain_bits=4, rounding="adaptive", **choice)
    net, _ = quantize(network, hardware_profiles.load("loihi2"), config, calibration=codes)
    mapped = as_mapped(network, net)
    own = {s.name for s in net.synapses if s.source != "always_on"}
    assert own <= {s.name for s in mapped.synapses}
    assert len(describe_synapses(network, net)) == len(net.synapses)
    split = [name for name in own if ".bit" in name and name.endswith(SIGNS)]
    assert bool(split) == ("sign_split" in choice)


def test_repair_leaves_gates_and_clock_alone():
    """They say when something enters, and a weight that learned would say something else."""
    network = gained_network(1, code_bits=1)
    net, _ = quantize(network, LOIHI1, QuantizeConfig(4, remap="bitplane", gain_bits=4))
    latent = LatentIntegers(net, _wanted(as_mapped(network, net), net))
    # Toward zero, so that no sum grows beyond what was proven.
    down = {s.name: np.sign(s.weight).astype(np.float64) for s in net.synapses}
    biases = {p.name: np.zeros(p.size) for p in net.populations}
    for _ in range(3):
        latent.step(ParameterGradients(np.zeros((1, net.n_input)), down, biases), 0.34)
    learned = latent.network()
    kept = {"gain_clock", "a.gain4", "b.gain4"}
    kept |= {p.name for p in net.populations if ".bit" in p.name}
    for before, after in zip(net.synapses, learned.synapses, strict=True):
        same = bool((before.weight == after.weight).all())
        assert same == (before.target in kept), before.name
