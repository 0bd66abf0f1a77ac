"""Quantising for images as biases: findings and tables are about the integers that are saved."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.test_convolutions import literal_matrix

from neurodeploy import hardware_profiles
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Convolution,
    EventsEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    fit_to_biases,
)
from neurodeploy.pipeline.standing_network import standing_network
from neurodeploy.quantization import QuantizeConfig, describe_synapses, quantize, quantize_network
from neurodeploy.quantization.diagnosis import diagnose
from neurodeploy.simulate import run_fixed, run_float
from neurodeploy.training.repair import RepairConfig, repair

LOIHI1, LOIHI2 = hardware_profiles.load("loihi1"), hardware_profiles.load("loihi2")


def neurons(name, n, rng=None, **changes):
    bias = np.zeros(n) if rng is None else rng.normal(0, 0.1, n)
    zero, one = np.zeros(n), np.ones(n)
    return Population(name, (name,), "lif", 0.3 * one, one, zero, one, zero, zero, bias, **changes)


def maps(seed, form="bias"):
    """A convolution of the input, 2 x 4 x 4 to 3 x 4 x 4, one of its weights near zero."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, 0.5, (3, 2, 3, 3))
    kernel[0, 1, 2, 0] = 1e-4
    operator = Convolution(
        "c", kernel, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, (2, 4, 4), (3, 4, 4)
    )
    network = Network(
        (neurons("a", 48, shape=(3, 4, 4)),),
        (Synapse("s", INPUT, "a", (operator,)),),
        32,
        ConstantEncoder(0, 1, 4, form),
        Readout("a", "count"),
        6,
        input_shape=(2, 4, 4),
    )
    return network, operator, rng.integers(0, 16, (40, 32)).astype(np.int32)


def matrix_of(synapse):
    ends = synapse.connections()
    found = np.zeros((synapse.size_out, synapse.size_in))
    found[ends.target, ends.source] = np.ldexp(ends.weight.astype(float), synapse.weight_exp)
    return found


@pytest.mark.parametrize("bits", [4, 8])
def test_a_convolution_as_biases_is_described_diagnosed_and_repaired(bits):
    network, operator, codes = maps(0)
    net, findings = quantize(network, LOIHI2, QuantizeConfig(bits), calibration=codes)
    (synapse,) = net.synapses
    assert next(f for f in findings if "as biases" in f.what).numbers["coarser_bits"] > 0
    wanted = literal_matrix(operator)
    stored = matrix_of(synapse)
    assert (synapse.kind, synapse.weight.size) == ("sparse", np.count_nonzero(wanted))
    assert (synapse.weight == 0).any()
    # Weights per code, in membrane units.
    wanted, stored = wanted * net.encoder.step, stored * 64 / net.populations[0].scale
    (row,) = describe_synapses(network, net)
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(row["error_max"], np.abs(stored - wanted).max() / largest)
    assert row["error_max"] < 2.0 ** (2 - bits)
    assert row["zero_weights"] == (synapse.weight == 0).sum()
    (layer,) = diagnose(network, net, codes)
    assert 0 <= layer.turned < 0.5
    np.testing.assert_allclose(
        literal_matrix(standing_network(network, net).synapses[0].operators[0]),
        stored / net.encoder.step,
        atol=1e-12,
    )
    tuned, _ = repair(network, net, codes, config=RepairConfig(epochs=1, perturbation="none"))
    assert tuned.synapses[0].weight.shape == synapse.weight.shape


@pytest.mark.parametrize("threshold", ["own", "balanced"])
def test_agreement_and_overflow_are_those_of_the_saved_integers(threshold):
    rng = np.random.default_rng(3)
    network = Network(
        (neurons("a", 12, rng), neurons("b", 3)),
        (
            Synapse.dense("s", INPUT, "a", rng.normal(0, 0.4, (12, 20))),
            Synapse.dense("t", "a", "b", rng.normal(0, 0.5, (3, 12))),
        ),
        20,
        ConstantEncoder(form="bias"),
        Readout("b", "count"),
        8,
    )
    codes = rng.integers(0, 256, (60, 20)).astype(np.int32)
    config = QuantizeConfig(threshold=threshold)
    net, findings = quantize(network, LOIHI1, config, calibration=codes)
    again, _ = fit_to_biases(net, hardware_profiles.limits_of(LOIHI1))
    assert again.populations[0].scale == net.populations[0].scale
    floats = run_float(network, codes, record=("spikes",)).records
    fixed = run_aligned(net, codes)
    unfitted, _ = quantize(
        dataclasses.replace(network, encoder=ConstantEncoder()), LOIHI1, config, calibration=codes
    )
    other = run_fixed(unfitted, codes, record=("spikes",)).records
    told = {f.where: f.numbers["agreement"] for f in findings if "of spikes agree" in f.what}
    for name in ("a", "b"):
        key = f"{name}/spikes"
        assert told[f"population {name}"] == (fixed.records[key] == floats[key]).mean()
        assert not fixed.counts[f"{name}/wraps"].any()
    assert told["population a"] != (other["a/spikes"] == floats["a/spikes"]).mean()
    # Without samples the integers are in the form as well.
    bare, said = quantize(network, LOIHI1)
    assert any("input as biases" in f.what for f in said)
    assert bare.populations[0].scale < quantize_network(network, LOIHI1).value.populations[0].scale


def test_payloads_on_a_chip_of_spikes_are_told_with_what_helps():
    network, _, _ = maps(1)

    def said(encoder, profile=LOIHI1):
        given = dataclasses.replace(network, encoder=encoder)
        return [f for f in quantize_network(given, profile).findings if f.where == "encoder"]

    assert said(ConstantEncoder(bits=4, form="bias")) == []
    assert said(ConstantEncoder(bits=1)) == []
    assert said(ConstantEncoder(bits=4), LOIHI2) == []
    (held,) = said(ConstantEncoder(bits=4))
    assert "--encoder-form bias" in held.remedy
    assert "rounds them once more" in held.what
    (payloads,) = said(EventsEncoder(ConstantEncoder(bits=4)))
    assert "bias" not in payloads.remedy + payloads.what
