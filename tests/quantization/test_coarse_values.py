"""What the findings about coarse rounding say, for thresholds of every size."""

import dataclasses

import numpy as np
import pytest
from quantization.small_networks import network_of

from neurodeploy import hardware_profiles
from neurodeploy.network import Population, Synapse
from neurodeploy.quantization import quantize

LOIHI2 = hardware_profiles.load("loihi2")


def weight_findings(weight, threshold, v_reset=0.0):
    """Quantise one layer of two neurons and return what is said about its weights."""
    base = network_of(("a",), [("input", "a", 0)])
    n = len(weight)
    layer = Population(
        "a", ("a",), "lif", np.full(n, 0.5), np.full(n, 1.0), np.zeros(n),
        np.broadcast_to(threshold, n), np.full(n, v_reset), np.full(n, v_reset), np.zeros(n),
    )  # fmt: skip
    dense = Synapse.dense("input->a", "input", "a", np.asarray(weight, float))
    net = dataclasses.replace(
        base, populations=(layer,), synapses=(dense,), n_input=dense.operators[0].size_in,
        input_shape=(dense.operators[0].size_in,),
    )  # fmt: skip
    _, findings = quantize(net, LOIHI2)
    return [f for f in findings if f.where == "synapse input->a" and "rounded by" in f.what]


@pytest.mark.parametrize("v_reset", [0.0, -0.25])
def test_a_threshold_of_zero_measures_nothing(v_reset):
    """Weights of one size are exact enough, whatever the threshold."""
    weight = np.random.default_rng(0).normal(size=(2, 9))
    assert weight_findings(weight, v_reset, v_reset) == []


def test_at_a_threshold_of_zero_the_weights_own_size_counts():
    weight = np.array([[1.0, -1.0, 0.7], [1e-3, -1.3e-3, 1e-3]])
    (finding,) = weight_findings(weight, 0.0)
    assert "1 of 2 neurons, whose integer threshold is 0, are rounded" in finding.what
    assert "of their own size (worst: neuron 1, 1 times its size)" in finding.what
    assert finding.numbers == {"neurons": 1, "worst": 1, "share": 1.0}


def test_both_kinds_of_neurons_are_named_apart():
    weight = np.array([[1.0, -1.0], [1e-3, -1e-3], [1e-3, -1e-3]])
    found = weight_findings(weight, np.array([1.0, 0.0, 1e-4]))
    assert [f.numbers["worst"] for f in found] == [2, 1]
    assert "of their threshold (worst: neuron 2, " in found[0].what


def test_how_many_thresholds_is_told_up_to_a_thousand():
    (finding,) = weight_findings([[1.0, 0.999], [1.0, 0.999]], np.array([1.0, 1e-9]))
    assert "(worst: neuron 1, 1000 or more thresholds)" in finding.what
