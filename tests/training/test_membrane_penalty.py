"""The penalty on integers: against the sums written out, and as part of a repair."""

from dataclasses import replace

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import V_THRESHOLD_MAX, ConvLayout
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.simulate.weight_gradient import WeightGradient
from neurodeploy.training.latent_integers import bias_groups
from neurodeploy.training.membrane_penalty import MembranePenalty
from neurodeploy.training.repair import RepairConfig, repair

PROFILE = hardware_profiles.load("loihi2")


def drawn(seed, neuron, operator):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=6, layers=2, neuron=neuron, operator=operator)
    codes = rng.integers(0, 256, (60, network.n_input)).astype(np.int32)
    net = quantize(network, PROFILE, QuantizeConfig(weight_bits=5), calibration=codes).value
    return network, net, codes


@pytest.mark.parametrize("neuron", ["lif", "current", "dlif", "subtract"])
def test_it_is_the_mean_square_of_the_free_membrane(neuron):
    _, net, codes = drawn(1, neuron, "dense")
    penalty = MembranePenalty(net)
    p = net.population(penalty.population)
    a, b = (
        WeightGradient(net).run(x, [p.name]).inputs[p.name]
        for x in (codes[:3], np.clip(codes[:3] + 9, 0, 255))
    )
    found, gradient = penalty.of(a, b)
    keep_u = np.zeros(p.size) if p.kind == "dlif" else (4095 - p.decay_u) / 4096
    keep_v = (4096 - p.decay_v) / 4096
    difference, total = (b - a).numpy(), 0.0
    for sample in difference:
        for t in range(6):
            y = sum(
                keep_u ** (j - k) * keep_v ** (t - j) * sample[k]
                for k in range(t + 1)
                for j in range(k, t + 1)
            )
            total += ((y / p.v_threshold) ** 2).sum()
    assert found == pytest.approx(total / difference.size, rel=1e-9)
    assert found > 0
    # It is a quadratic form of the difference, which the clean side has no part in.
    assert float((gradient * (b - a)).sum()) == pytest.approx(2 * found, rel=1e-9)


@pytest.mark.parametrize(
    ("seed", "neuron", "operator", "perturbation"),
    [
        (4, "dlif", "dense", "gaussian"),
        pytest.param(2, "lif", "conv", "gaussian", marks=pytest.mark.slow),
        (4, "subtract-current", "conv", "gaussian"),
        pytest.param(2, "current", "dense", "gaussian", marks=pytest.mark.slow),
        pytest.param(2, "if", "sparse", "adversarial", marks=pytest.mark.slow),
    ],
)
def test_a_repair_with_it_moves_membranes_less(seed, neuron, operator, perturbation):
    network, net, codes = drawn(seed, neuron, operator)
    config = {
        "perturbation": perturbation, "radius_codes": 40, "epochs": 4, "learning_rate": 0.5,
        "batch_size": 16, "teacher": "labels",
    }  # fmt: skip
    labels = np.random.default_rng(0).integers(0, 3, len(codes))
    fixed, (finding,) = repair(network, net, codes, labels, RepairConfig(penalty=30.0, **config))
    before, after = finding.numbers["penalty"]
    assert after < before
    assert finding.numbers["weights_changed"] > 0
    _, (plain,) = repair(network, net, codes, labels, RepairConfig(**config))
    assert plain.numbers["penalty"] == [0.0, 0.0]
    for p, old in zip(fixed.populations, net.populations, strict=True):
        groups = bias_groups(net, p)
        moved = (p.bias - old.bias).reshape(groups, -1)
        assert (moved == moved[:, :1]).all()
        kinds = {isinstance(s.layout, ConvLayout) for s in net.synapses_into(p.name)}
        assert (groups < p.size) == (kinds == {True})


def test_refusals():
    with pytest.raises(RangeError, match="penalty"):
        RepairConfig(penalty=-1.0)
    with pytest.raises(RangeError, match="penalty"):
        RepairConfig(penalty=float("nan"))
    with pytest.raises(InputError, match="perturbation"):
        RepairConfig(penalty=1.0, perturbation="none")
    _, net, _ = drawn(1, "lif", "dense")
    never = tuple(
        replace(p, v_threshold=np.full(p.size, V_THRESHOLD_MAX + 1)) for p in net.populations
    )
    with pytest.raises(InputError, match="spikes"):
        MembranePenalty(replace(net, populations=never))
