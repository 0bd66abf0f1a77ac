"""Repair: integers that learn, never past what was proven of them, and never for the worse."""

import dataclasses

import numpy as np
import pytest
from quantization.deployable import random_deployable
from training.test_latent_integers import demands, no_more

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    check_legality,
    decide,
    has_start_v,
)
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.simulate import run_fixed
from neurodeploy.training.latent_integers import LatentIntegers
from neurodeploy.training.repair import RepairConfig, _wanted, repair

PROFILE = hardware_profiles.load("loihi2")


def drawn(seed, bits=3, **ways):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=8, layers=3)
    codes = rng.integers(0, 256, (120, network.n_input)).astype(np.int32)
    try:
        config = QuantizeConfig(weight_bits=bits, **ways)
        return network, quantize(network, PROFILE, config, calibration=codes).value, codes
    except RangeError:
        return None


@pytest.mark.parametrize("seed", range(6))
def test_latent_numbers_start_at_the_integers(seed):
    if (parts := drawn(seed, scale="search", rounding="adaptive", bias="corrected")) is None:
        pytest.skip("this draw fits no register")
    network, net, _ = parts
    same = LatentIntegers(net, _wanted(network, net)).network()
    for a, b in zip(same.synapses, net.synapses, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
    for a, b in zip(same.populations, net.populations, strict=True):
        np.testing.assert_array_equal(a.bias, b.bias)


@pytest.mark.slow
def test_random_networks_come_nearer_and_keep_what_was_proven():
    nearer = ran = 0
    for seed in range(7):
        if (parts := drawn(seed)) is None:
            continue
        network, net, codes = parts
        config = RepairConfig(epochs=4, learning_rate=0.05, radius_codes=10)
        before = [s.weight.copy() for s in net.synapses]
        fixed, (finding,) = repair(network, net, codes, config=config)
        ran += 1
        for weight, s in zip(before, net.synapses, strict=True):
            np.testing.assert_array_equal(weight, s.weight)
        assert not check_legality(fixed)
        assert all(has_start_v(p) for p in fixed.populations)
        assert no_more(demands(fixed), demands(net))
        for p, old in zip(fixed.populations, net.populations, strict=True):
            assert np.abs(p.bias).max() <= np.abs(old.bias).max()
        first, last = finding.numbers["divergence"]
        equal = finding.numbers["agreement"]
        assert last <= first
        assert equal[1] >= equal[0]
        nearer += last < first
        if not finding.numbers["epoch"]:
            assert fixed is net
    assert ran >= 5
    assert nearer >= 2


def blobs(seed, count=160):
    """Two classes that half of the inputs tell apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    low, high = rng.integers(0, 120, (count, 8)), rng.integers(100, 220, (count, 8))
    codes = np.where((np.arange(8) < 4) == (labels[:, None] == 1), high, low)
    return codes.astype(np.int32), labels


def two_classes(seed):
    """An untrained network."""
    rng = np.random.default_rng(seed)

    def population(name, size, kind, threshold):
        zeros = np.zeros(size)
        return Population(
            name, (name,), kind, zeros + 0.5, zeros + 1, zeros, zeros + threshold, zeros, zeros,
            zeros + (0.05 if kind == "lif" else 0.0),
        )  # fmt: skip

    synapses = (
        Synapse.dense("s0", "input", "a", rng.normal(0, 0.7, (12, 8))),
        Synapse.dense("s1", "a", "read", rng.normal(0, 0.4, (2, 12))),
    )
    populations = (population("a", 12, "lif", 1.0), population("read", 2, "li", np.inf))
    encoder = ConstantEncoder(0.0, 1.0, 8)
    return Network(populations, synapses, 8, encoder, Readout("read", "sum"), 6)


@pytest.mark.parametrize(
    "perturbation",
    ["adversarial", *(pytest.param(p, marks=pytest.mark.slow) for p in ("gaussian", "none"))],
)
def test_labels_are_learnt_through_the_integers(perturbation):
    network, (codes, labels), (others, truth) = two_classes(1), blobs(0), blobs(1)
    net = quantize(network, PROFILE, QuantizeConfig(weight_bits=5), calibration=codes).value
    before = (decide(run_fixed(net, others).scores()) == truth).mean()
    config = RepairConfig(
        teacher="labels", perturbation=perturbation, radius_codes=8, epochs=12, learning_rate=0.2,
        batch_size=16,
    )  # fmt: skip
    fixed, (finding,) = repair(network, net, codes, labels, config)
    after = (decide(run_fixed(fixed, others).scores()) == truth).mean()
    assert before < 0.8
    assert after > 0.95
    assert finding.numbers["weights_changed"] > 10
    again, _ = repair(network, net, codes, labels, config)
    for a, b in zip(again.synapses, fixed.synapses, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)


def test_sequences_and_progress():
    rng = np.random.default_rng(0)
    network, net, _ = drawn(1)
    codes = rng.integers(0, 256, (8, 40, network.n_input)).astype(np.int32)
    seen = []
    repair(network, net, codes, config=RepairConfig(epochs=2), progress=lambda *a: seen.append(a))
    assert seen == [(1, 2), (2, 2)]


def test_refusals():
    network, net, codes = drawn(1)
    with pytest.raises(InputError, match="at least 20"):
        repair(network, net, codes[:10])
    with pytest.raises(InputError, match="labels"):
        repair(network, net, codes, config=RepairConfig(teacher="labels"))
    with pytest.raises(ShapeError, match="codes"):
        repair(network, net, codes[:, :-1])
    with pytest.raises(RangeError, match=r"0\.\.255"):
        repair(network, net, codes, config=RepairConfig(radius_codes=300))
    for wrong in ({"teacher": "me"}, {"perturbation": "much"}):
        with pytest.raises(InputError):
            RepairConfig(**wrong)
    for wrong in ({"epochs": 0}, {"learning_rate": 0.0}, {"width": -1.0}):
        with pytest.raises(RangeError):
            RepairConfig(**wrong)
    assert RepairConfig().as_dict()["schema"] == 1
    assert dataclasses.asdict(RepairConfig()).keys() < RepairConfig().as_dict().keys()
