"""Balanced thresholds: never more spikes that differ, on any network, and on samples never seen."""

import dataclasses

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.hardware_profiles import limits_of
from neurodeploy.network import check_legality, has_start_v
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.threshold_balancing import balanced_thresholds
from neurodeploy.simulate import run_fixed, run_float

PROFILE = hardware_profiles.load("loihi2")
LIMITS = limits_of(PROFILE)


def drawn(seed, neuron=None):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=6, layers=3, neuron=neuron)
    codes = rng.integers(0, 256, (400, network.n_input)).astype(np.int32)
    net = quantize(network, PROFILE, QuantizeConfig(weight_bits=3), calibration=codes[:200]).value
    return network, net, codes


def differing(network, net, codes):
    before = run_float(network, codes, record=("spikes",)).records
    after = run_fixed(net, codes, record=("spikes",)).records
    names = [p.name for p in net.populations if p.kind != "readout"]
    return sum(int((before[f"{n}/spikes"] != after[f"{n}/spikes"]).sum()) for n in names)


@pytest.mark.slow
def test_fewer_spikes_differ_on_other_samples():
    fewer = ran = moved = 0
    for seed in range(10):
        try:
            network, net, codes = drawn(seed)
        except RangeError:
            continue
        found, (finding,) = balanced_thresholds(network, net, codes[:200], LIMITS)
        first, last = finding.numbers["differing"]
        assert last <= first
        assert not check_legality(found)
        assert all(has_start_v(p) for p in found.populations)
        shifts = [
            a.v_threshold != b.v_threshold
            for a, b in zip(found.populations, net.populations, strict=True)
        ]
        assert finding.numbers["moved"] == sum(int(s.sum()) for s in shifts)
        ran, moved = ran + 1, moved + (last < first)
        fewer += differing(network, found, codes[200:]) <= differing(network, net, codes[200:])
    assert ran >= 7
    assert moved >= ran - 1
    assert fewer >= ran - 1


@pytest.mark.parametrize("neuron", ["dlif", pytest.param("subtract", marks=pytest.mark.slow)])
def test_a_target_with_few_settings_moves_all_neurons_by_one_share(neuron):
    network, net, codes = drawn(2, neuron)
    few = dataclasses.replace(LIMITS, threshold_settings=4)
    found, (finding,) = balanced_thresholds(network, net, codes[:100], few)
    each, (finer,) = balanced_thresholds(network, net, codes[:100], LIMITS)
    for now, old in zip(found.populations, net.populations, strict=True):
        share = now.v_threshold / np.maximum(old.v_threshold, 1) - 1
        assert np.ptp(share) <= 1 / old.v_threshold.min()
    assert finding.numbers["compared"] == finer.numbers["compared"]
    assert finer.numbers["differing"][1] <= finding.numbers["differing"][0]
    again, _ = balanced_thresholds(network, net, codes[:100], LIMITS)
    for a, b in zip(each.populations, again.populations, strict=True):
        np.testing.assert_array_equal(a.v_threshold, b.v_threshold)


def test_as_a_choice_of_the_quantiser():
    network, net, codes = drawn(5, "lif")
    config = QuantizeConfig(weight_bits=3, threshold="balanced")
    found, findings = quantize(network, PROFILE, config, calibration=codes[:200])
    (finding,) = (f for f in findings if f.where == "thresholds")
    assert finding.numbers["moved"] > 0
    assert differing(network, found, codes[:200]) < differing(network, net, codes[:200])
    with pytest.raises(InputError, match="--calibration"):
        quantize(network, PROFILE, config)
    with pytest.raises(InputError, match="own or balanced"):
        QuantizeConfig(threshold="mine")
