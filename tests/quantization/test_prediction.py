"""Predicted turns against counted ones, each rounding by itself, and the diagnosis they make."""

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import V_MAX
from neurodeploy.quantization import QuantizeConfig, quantize, solve_latencies, with_extra_steps
from neurodeploy.quantization.diagnosis import MARGIN_BINS, diagnose, worst_findings
from neurodeploy.quantization.partial_rounding import STORED, rounding_losses, with_roundings
from neurodeploy.quantization.prediction import predict
from neurodeploy.quantization.quantizer import longest_delay
from neurodeploy.simulate import run_fixed, run_float

PROFILE = hardware_profiles.load("loihi2")
#: Fewer turned spikes than this are no count to compare with.
FEW = 8


def drawn(seed, bits, *, exact=False, **chosen):
    """A random network on the chip's time, its integers, and samples; None where it is refused."""
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=10, exact=exact)
    highest = network.encoder.max_code + 1
    codes = rng.integers(0, highest, (2, 80, network.n_input)).astype(np.int32)
    try:
        config = QuantizeConfig(weight_bits=bits, **chosen)
        net = quantize(network, PROFILE, config, calibration=codes[0]).value
    except RangeError:
        return None
    extra = solve_latencies(network, longest_delay(PROFILE)).extra
    return with_extra_steps(network, extra), net, codes[0], codes[1]


def test_predicted_turns_are_within_a_factor_of_two_of_those_on_other_samples():
    """Every neuron, synapse and connection; at least 80 % of the layers within each width."""
    ratios = defaultdict(list)
    for seed in range(14):
        for bits in (8, 6, 4):
            if (parts := drawn(seed, bits)) is None:
                continue
            network, net, codes, others = parts
            before = run_float(network, others, record=("spikes",)).records
            after = run_fixed(net, others, record=("spikes",), threads=1).records
            for layer in predict(network, net, codes):
                key = f"{layer.name}/spikes"
                counted = int((before[key] != after[key]).sum())
                expected = layer.turned.mean() * before[key].size
                assert ((layer.turned >= 0) & (layer.turned <= 1)).all()
                if max(counted, expected) >= FEW:
                    ratios[bits].append(expected / max(counted, 1e-9))
    for bits, found in ratios.items():
        within = [0.5 <= ratio <= 2 for ratio in found]
        assert len(found) > 20
        assert np.mean(within) >= 0.9, bits
        assert 0.8 < np.median(found) < 1.25, bits


def test_nothing_is_predicted_to_turn_where_nothing_is_rounded():
    """Short binary numbers: no spike turns, alone or together, and none is expected to."""
    ran = 0
    for seed in range(8):
        if (parts := drawn(seed, 8, exact=True)) is None:
            continue
        network, net, codes, _ = parts
        before = run_float(network, codes, record=("spikes",)).records
        after = run_fixed(net, codes, record=("spikes",), threads=1).records
        if any((after[key] != before[key]).any() for key in before if key in after):
            continue  # decays truncate even so
        ran += 1
        for rounding in ("weights", "threshold", "gain", "bias"):
            for layer in predict(network, net, codes, roundings=(rounding,)):
                assert layer.turned.max() < 1e-6
        same = run_float(with_roundings(network, net, STORED), codes, record=("spikes",)).records
        for key, values in before.items():
            np.testing.assert_array_equal(same[key], values)
    assert ran >= 3


def test_each_rounding_alone_as_counted_in_float():
    """The float network with one value rounded turns as many spikes as predicted for it."""
    ratios = []
    for seed in range(8):
        if (parts := drawn(seed, 4, gain_bits=4)) is None:
            continue
        network, net, codes, _ = parts
        for loss in rounding_losses(network, net, codes):
            if loss.rounding == "all stored":
                continue
            layers = predict(network, net, codes, roundings=(loss.rounding,))
            for layer in layers:
                size = layer.turned.size
                counted, expected = loss.turned[layer.name] * size, layer.turned.sum()
                if max(counted, expected) >= 2 * FEW:
                    ratios.append(expected / max(counted, 1e-9))
    assert len(ratios) > 25
    assert np.mean([0.5 <= r <= 2 for r in ratios]) > 0.9


def test_stored_values_in_float_come_close_to_the_integers():
    """What is left are floors and truncated decays: far less than the roundings themselves."""
    closer = []
    for seed in range(20, 30):
        if (parts := drawn(seed, 5)) is None:
            continue
        network, net, codes, _ = parts
        integers = run_fixed(net, codes, record=("spikes",), threads=1).records
        stored = run_float(with_roundings(network, net, STORED), codes, record=("spikes",)).records
        plain = run_float(network, codes, record=("spikes",)).records
        for key, values in plain.items():
            if key in integers:
                closer.append(
                    ((values != integers[key]).mean(), (stored[key] != integers[key]).mean())
                )
    before, after = np.mean(closer, axis=0)
    assert before > 0.005
    assert after < before / 4


def test_the_diagnosis_counts_what_is_there():
    network, net, codes, _ = drawn(1, 6)
    silent = dataclasses.replace(
        network.populations[0],
        v_threshold=np.where(
            np.arange(network.populations[0].size) < 3, 1e6, network.populations[0].v_threshold
        ),
    )
    network = dataclasses.replace(network, populations=(silent, *network.populations[1:]))
    records = run_float(network, codes, record=("spikes", "v_pre")).records
    first = diagnose(network, net, codes)[0]
    rates = records[f"{silent.name}/spikes"].mean(axis=(0, 1))
    assert first.dead == (rates == 0).sum() >= 3
    assert first.saturated == (rates >= 0.95).sum()
    assert first.rate == pytest.approx(rates.mean())
    assert len(first.margins) == len(MARGIN_BINS) + 1
    assert sum(first.margins) == pytest.approx(1)
    reached = np.abs(records[f"{silent.name}/v_pre"] - net.population(silent.name).origin).max()
    assert 2**first.headroom_bits == pytest.approx(
        V_MAX / (reached * net.population(silent.name).scale), rel=1e-6
    )
    assert first.turned >= 0.5 * max(first.by_rounding.values())


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_effective_bits_follow_the_width(bits):
    found = []
    for seed in range(3):
        if (parts := drawn(seed, bits)) is not None:
            network, net, codes, _ = parts
            # They hang on the weights alone; samples are only what the rest of a diagnosis needs.
            found += [layer.effective_bits for layer in diagnose(network, net, codes[:8])]
    assert bits - 1.6 < np.median(found) < bits + 1.2


def test_the_worst_layers_come_with_a_remedy():
    layers = diagnose(*drawn(4, 3)[:3])
    findings = worst_findings(layers)
    assert 0 < len(findings) <= 3
    turned = [finding.numbers["turned"] for finding in findings]
    assert turned == sorted(turned, reverse=True)
    assert turned[0] == max(layer.turned for layer in layers)
    assert all(finding.remedy for finding in findings)


def test_unknown_roundings_are_refused():
    network, net, codes, _ = drawn(0, 8)
    with pytest.raises(InputError, match="colours"):
        predict(network, net, codes, roundings=("colours",))
    with pytest.raises(InputError, match="floors"):
        with_roundings(network, net, ("floors",))
