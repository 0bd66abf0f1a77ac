"""The check behind from_nir: it sees a wrong module, and says where."""

import numpy as np
import pytest
import torch
from export_norse.made_graphs import (
    DT,
    affine,
    between,
    door,
    load,
    neuron,
    recurrent,
    spikes,
    tree,
)

from neurodeploy.errors import ExportRefusedError
from neurodeploy.export.norse import from_nir
from neurodeploy.export.norse.check import check_network
from neurodeploy.export.norse.network import NorseNetwork


@pytest.fixture
def graph(tmp_path):
    return load(recurrent("CubaLIF", np.random.default_rng(0)), tmp_path)


def test_what_was_compared(graph):
    check = from_nir(graph).check
    assert set(check.spikes) == {"hidden"}
    assert {"fc", "back", "read", "out"} <= set(check.values)
    assert max(check.values.values()) < 1e-12
    assert check.spikes["hidden"] > 100
    assert check.silent == ()
    assert from_nir(graph, verify=False).check is None


def flip(parameter, index=0, factor=1.02):
    with torch.no_grad():
        parameter.view(-1)[index] *= factor


@pytest.mark.parametrize("node", ["fc", "back", "read"])
@pytest.mark.parametrize("which", ["weight", "bias"])
def test_one_wrong_weight_is_found(graph, node, which):
    network = NorseNetwork(graph)
    check_network(network, graph)
    flip(getattr(network.node(node), which))
    # The way back is seen in the neurons it leads to before its own output of that step.
    seen = "(back|hidden)" if node == "back" else node
    with pytest.raises(ExportRefusedError, match=f"node '{seen}'.* step .* in place of"):
        check_network(network, graph)


@pytest.mark.parametrize("constant", ["tau_mem_inv", "tau_syn_inv", "v_th", "v_reset", "v_leak"])
def test_one_wrong_constant_is_found(graph, constant):
    network = NorseNetwork(graph)
    flip(getattr(network.node("hidden")[-1].p, constant), 3, 1.2)
    with pytest.raises(ExportRefusedError, match="node 'hidden'.*step .*neuron 3.*in place of"):
        check_network(network, graph)


def test_a_spike_difference_says_step_and_membrane(tmp_path):
    rng = np.random.default_rng(1)
    node = neuron("LIF", (2,), rng, v_threshold=np.array([0.5, 0.5]), v_leak=np.zeros(2),
                  tau=np.full(2, 4e-3), r=np.full(2, 4.0))  # fmt: skip
    graph = load(between(node, (2,)), tmp_path)
    network = NorseNetwork(graph)
    x = np.zeros((4, 1, 2))
    x[2, 0, 1] = 0.75
    assert check_network(network, graph, x).spikes == {"x": 1}
    with torch.no_grad():
        network.node("x")[-1].p.v_th[1] = 0.8
    with pytest.raises(ExportRefusedError) as error:
        check_network(network, graph, x)
    text = str(error.value)
    assert "step 2, sample 0, neuron 1: 0 in place of 1 spikes" in text
    assert "1 of 8 entries differ" in text
    assert "0.75" in text


def test_a_tie_is_said_to_be_one(tmp_path):
    # v meets the threshold exactly at the first spike; 0.3 * 0.1 * 10 depends on the order.
    equal, refusals = 0, []
    for threshold in (0.1, 0.3, 0.7, 1.1, 1.3):
        for steps in (3, 10, 13, 19, 23):
            node = {"type": "LIF", "tau": np.array([steps * DT]), "r": np.array([float(steps)]),
                    "v_leak": np.zeros(1), "v_threshold": np.array([threshold])}  # fmt: skip
            graph = load(between(node, (1,)), tmp_path)
            try:
                from_nir(graph, sample=np.full((1, 1, 1), threshold))
                equal += 1
            except ExportRefusedError as error:
                refusals.append(str(error))
            # The random stimulus meets no threshold.
            assert from_nir(graph).check.spikes["x"] > 0
    assert equal > 0
    assert len(refusals) > 0
    assert all("equal up to rounding" in text for text in refusals)


def test_the_user_s_own_sample(graph):
    x = spikes(np.random.default_rng(2), 17, 3, 4)
    for sample in (x, x.astype(np.float32), torch.tensor(x)):
        check = from_nir(graph, sample=sample).check
        assert (check.steps, check.samples) == (17, 3)
        assert check.spikes["hidden"] > 0


def test_silent_neurons_are_said(tmp_path):
    rng = np.random.default_rng(3)
    # The second one's input weight is zero.
    weight = {"type": "Linear", "weight": np.zeros((3, 3))}
    made = tree({
        "input": door("Input", (3,)), "loud": neuron("IF", (3,), rng), "cut": weight,
        "dumb": neuron("IF", (3,), rng), "output": door("Output", (3,)),
    })  # fmt: skip
    assert from_nir(load(made, tmp_path)).check.silent == ("dumb",)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_the_stimulus_fits_weak_and_strong_inputs(size, tmp_path):
    rng = np.random.default_rng(4)
    fc = affine(4, 6, rng)
    fc = {**fc, "weight": fc["weight"] * size, "bias": np.zeros(6)}
    made = tree({
        "input": door("Input", (4,)), "fc": fc, "lif": neuron("LIF", (6,), rng),
        "output": door("Output", (6,)),
    })  # fmt: skip
    check = from_nir(load(made, tmp_path)).check
    assert 0.01 < check.spikes["lif"] / (check.steps * check.samples * 6) < 0.9
