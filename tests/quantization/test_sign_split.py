"""A mixed matrix as two of one sign: the same network, a grid twice as fine."""

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError
from neurodeploy.network import Convolution, Dense, Sparse, check_legality, decide
from neurodeploy.quantization import QuantizeConfig, describe_synapses, quantize
from neurodeploy.quantization.diagnosis import diagnose
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.partial_rounding import rounding_losses
from neurodeploy.quantization.rounding import weight_limits
from neurodeploy.quantization.sign_split import with_split
from neurodeploy.robustness.certificates.deviation import certify_deviation
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")


def test_both_halves_compute_what_the_whole_does():
    seen = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        net = random_deployable(rng, exact=True)
        codes = rng.integers(0, 4, (5, net.n_input)).astype(np.int32)
        names = {s.name for s in net.synapses}
        split = with_split(net, names)
        assert len(split.synapses) == 2 * len(names)
        seen |= {type(s.operators[0]) for s in split.synapses}
        before = run_float(net, codes, record=("spikes", "v")).records
        for key, values in run_float(split, codes, record=("spikes", "v")).records.items():
            np.testing.assert_array_equal(values, before[key])
    assert seen == {Dense, Sparse, Convolution}


def test_random_networks_are_legal_exact_and_closer():
    agreed = {"never": [], "auto": []}
    for seed in (0, 3):
        rng = np.random.default_rng(seed)
        net = random_deployable(rng, layers=3)
        codes = rng.integers(0, 256, (16, net.n_input)).astype(np.int32)
        before = run_float(net, codes, record=("spikes",)).records
        for choice, found in agreed.items():
            config = QuantizeConfig(4, sign_split=choice)
            fixed, findings = quantize(net, LOIHI2, config, calibration=codes)
            after = run_fixed(fixed, codes, record=("spikes", "v"), threads=1).records
            found += [(before[k] == after[k]).mean() for k in after if k in before]
        assert not check_legality(fixed)
        for key, values in run_aligned(fixed, codes[:3]).records.items():
            if key in after:
                np.testing.assert_array_equal(after[key][:, :3], values)
        _halves(net, fixed, findings)
        _is_read_by_all(net, fixed, codes, before, after)
    assert 1 - np.mean(agreed["auto"]) < 0.8 * (1 - np.mean(agreed["never"]))


def _halves(net, fixed, findings):
    """Of one sign, a bit more each, the cost told."""
    told = {f.where: f.numbers for f in findings if "both signs" in f.what}
    assert told
    held = {s.name: s for s in fixed.synapses}
    for where, numbers in told.items():
        name = where.removeprefix("synapse ")
        assert (name in held) != numbers["split"]
        if numbers["split"]:
            assert numbers["loss_ratio"] < 0.5
            assert held[name + "+"].sign_mode == "excitatory"
            assert held[name + "-"].sign_mode == "inhibitory"
            assert held[name + "+"].weight.max() <= weight_limits("excitatory", 4)[1]
    assert len(as_mapped(net, fixed).synapses) == len(net.synapses) + sum(
        n["split"] for n in told.values()
    )


def _is_read_by_all(net, fixed, codes, before, after):
    """What compares with the float network knows the halves."""
    assert all(0 <= row.get("error_max", 0) < 1 for row in describe_synapses(net, fixed))
    layers = diagnose(net, fixed, codes)
    for layer in layers:
        key = f"{layer.name}/spikes"
        assert np.isfinite(layer.effective_bits)
        assert layer.turned < 2 * (before[key] != after[key]).mean() + 0.01
    assert rounding_losses(net, fixed, codes[:4])
    found = certify_deviation(net, fixed, codes[:2])
    certain = found.real >= 0
    assert certain.any()
    float_run = run_float(net, codes[:2])
    np.testing.assert_array_equal(found.real[certain], decide(float_run.scores())[certain])


def test_a_matrix_of_one_sign_stays():
    rng = np.random.default_rng(1)
    net = random_deployable(rng, layers=2)
    codes = rng.integers(0, 256, (8, net.n_input)).astype(np.int32)
    halves = with_split(net, {s.name for s in net.synapses})
    fixed, findings = quantize(
        halves, LOIHI2, QuantizeConfig(4, sign_split="auto"), calibration=codes
    )
    assert {s.name for s in fixed.synapses if ">" not in s.name} == {
        s.name for s in halves.synapses
    }
    assert not [f for f in findings if "both signs" in f.what]


@pytest.mark.parametrize("choice", ["always", True])
def test_other_words_are_refused(choice):
    with pytest.raises(InputError, match="never or auto"):
        QuantizeConfig(sign_split=choice)
