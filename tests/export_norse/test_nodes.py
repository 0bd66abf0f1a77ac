"""Every NIR node and every word of the contract in Norse's parts, against the literal interpreter."""

import numpy as np
import pytest
import torch
from export_norse.made_graphs import (
    DT,
    affine,
    between,
    differences,
    door,
    literal,
    load,
    neuron,
    recurrent,
    spikes,
    tree,
)
from oracles import literal_graph

from neurodeploy.export.norse import from_nir
from neurodeploy.export.norse.modules import LIBoxCell, LICell, LIFCell, StepGain
from neurodeploy.neurons import DLIFCell
from neurodeploy.neurons.norse_parts import LIFBoxCell

SPIKING = ("IF", "LIF", "CubaLIF")
NEURONS = (*SPIKING, "I", "LI", "CubaLI")


def agree(made, x, folder, **words):
    """Import a graph, run it on ``x`` and compare every node; return network and oracle run."""
    network = from_nir(load(made, folder, **words), dtype=torch.float64)
    oracle = literal(made, x, **words)
    nodes = literal_graph.from_tree(made).nodes
    assert differences(network.run(torch.tensor(x)), oracle, nodes) == []
    name = next(n for n, node in nodes.items() if node["type"] == "Output" and "/" not in n)
    np.testing.assert_allclose(
        network(torch.tensor(x)).detach(), oracle.outputs[name], rtol=1e-9, atol=1e-9
    )
    return network, oracle


def fires(oracle, name="x"):
    rate = oracle.outputs[name].mean()
    assert 0.05 < rate < 0.95, f"a rate of {rate} proves little"


@pytest.mark.parametrize("kind", SPIKING)
@pytest.mark.parametrize("reset", ["value", "subtract", "subtract-late"])
@pytest.mark.parametrize("decay", ["euler", "exponential"])
@pytest.mark.parametrize("gain", ["r", "one"])
def test_spiking_neurons(kind, reset, decay, gain, tmp_path):
    rng = np.random.default_rng(1)
    made = between(neuron(kind, (7,), rng), (7,))
    x = spikes(rng, 60, 3, 7) * 0.7
    words = {"reset": reset, "decay": decay, "input_gain": gain}
    _, oracle = agree(made, x, tmp_path, **words)
    fires(oracle)


@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
@pytest.mark.parametrize("decay", ["euler", "exponential"])
@pytest.mark.parametrize("gain", ["r", "one"])
def test_integrators(kind, decay, gain, tmp_path):
    rng = np.random.default_rng(2)
    made = between(neuron(kind, (2, 3), rng), (2, 3))
    x = rng.normal(0, 1, (30, 2, 2, 3))
    agree(made, x, tmp_path, decay=decay, input_gain=gain)


@pytest.mark.parametrize("kind", ["I", "IF"])
def test_input_per_step_of_integrate_and_fire(kind, tmp_path):
    rng = np.random.default_rng(3)
    made = between(neuron(kind, (4,), rng, r=rng.uniform(0.2, 0.6, 4)), (4,))
    _, oracle = agree(made, spikes(rng, 50, 2, 4), tmp_path, if_unit="step")
    assert np.abs(oracle.outputs["x"]).max() > 0


@pytest.mark.parametrize("kind", NEURONS)
def test_states_start_at_zero_not_at_leak_or_reset(kind, tmp_path):
    rng = np.random.default_rng(4)
    fields = {"v_leak": np.full(3, 0.9)} if kind not in ("I", "IF") else {}
    if kind in SPIKING:
        fields["v_reset"] = np.full(3, 0.5)
    made = between(neuron(kind, (3,), rng, **fields), (3,))
    agree(made, np.zeros((25, 1, 3)), tmp_path)


def test_w_in_and_r_other_than_norse_s_own(tmp_path):
    rng = np.random.default_rng(5)
    node = neuron("CubaLIF", (6,), rng)
    made = between({**node, "w_in": node["w_in"] * 0.37, "r": node["r"] * 2.2}, (6,))
    network, oracle = agree(made, spikes(rng, 60, 2, 6), tmp_path)
    fires(oracle)
    assert any(type(m) is LIFCell for m in network.modules())


def test_norse_s_own_cells_are_used(tmp_path):
    rng = np.random.default_rng(6)
    for kind, cell in (("LIF", LIFBoxCell), ("LI", LIBoxCell), ("CubaLI", LICell)):
        network = from_nir(load(between(neuron(kind, (3,), rng), (3,)), tmp_path))
        assert any(type(m) is cell for m in network.modules()), kind


def test_unit_input_needs_no_scale(tmp_path):
    node = {"tau": np.full(3, 5e-3), "r": np.ones(3), "v_leak": np.zeros(3),
            "v_threshold": np.full(3, 0.1), "type": "LIF"}  # fmt: skip
    network = from_nir(load(between(node, (3,)), tmp_path))
    assert [type(m) for m in network.node("x")] == [LIFBoxCell]


@pytest.mark.parametrize("kind", ["LIF", "IF", "CubaLIF"])
@pytest.mark.parametrize("gains", [1, 5, 40])
def test_gain_per_step(kind, gains, tmp_path):
    rng = np.random.default_rng(7)
    metadata = {"dlif_gain": {"values": rng.uniform(0.3, 2, gains), "after": "last"}}
    made = between(neuron(kind, (5,), rng, metadata=metadata), (5,))
    network, oracle = agree(made, spikes(rng, 30, 2, 5), tmp_path)
    fires(oracle)
    assert any(type(m) is StepGain for m in network.modules())


def test_dlif_becomes_our_cell(tmp_path):
    rng = np.random.default_rng(8)
    metadata = {"dlif_gain": {"values": rng.uniform(0.3, 2, 6), "after": "last"}}
    tau = rng.uniform(3, 9, 5) * DT
    node = neuron("LIF", (5,), rng, tau=tau, r=tau / DT, v_leak=np.zeros(5), metadata=metadata)
    network, oracle = agree(between(node, (5,)), 0.6 * spikes(rng, 30, 2, 5), tmp_path)
    fires(oracle)
    assert [type(m) for m in network.node("x")] == [DLIFCell]
    assert network.node("x")[0].gain.requires_grad


@pytest.mark.parametrize("name", ["threshold", "scale", "flatten", "delay"])
def test_stateless_nodes_and_delays(name, tmp_path):
    rng = np.random.default_rng(9)
    shape = (2, 3, 4)
    node, out = {
        "threshold": ({"type": "Threshold", "threshold": rng.normal(0, 1, shape)}, shape),
        "scale": ({"type": "Scale", "scale": rng.normal(0, 1, shape)}, shape),
        "flatten": ({"type": "Flatten", "start_dim": 1, "end_dim": -1}, (2, 12)),
        "delay": ({"type": "Delay", "delay": rng.integers(0, 5, shape) * DT}, shape),
    }[name]
    agree(between(node, shape, out), rng.normal(0, 1, (12, 3, *shape)), tmp_path)


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_rounded_delays(rounding, tmp_path):
    rng = np.random.default_rng(10)
    made = between({"type": "Delay", "delay": rng.uniform(1, 4, 6) * DT}, (6,))
    agree(made, rng.normal(0, 1, (10, 2, 6)), tmp_path, delay_rounding=rounding)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_matrices(bias, lead, tmp_path):
    rng = np.random.default_rng(11)
    node = {"type": "Affine" if bias else "Linear", "weight": rng.normal(0, 1, (*lead, 3, 5))}
    if bias:
        node["bias"] = rng.normal(0, 1, (*lead, 3))
    made = between(node, (*lead, 5), (*lead, 3))
    agree(made, rng.normal(0, 1, (4, 2, *lead, 5)), tmp_path)


CONVOLUTIONS = {
    "3x5": ({"weight": (4, 3, 3, 5)}, (3, 8, 9), (4, 6, 5)),
    "groups": ({"weight": (4, 2, 3, 2), "groups": 2}, (4, 7, 6), (4, 5, 5)),
    "depthwise": ({"weight": (3, 1, 2, 3), "groups": 3, "stride": (2, 1)}, (3, 6, 7), (3, 3, 5)),
    "same": ({"weight": (2, 3, 3, 5), "padding": "same"}, (3, 4, 6), (2, 4, 6)),
    "dilated": ({"weight": (2, 1, 2, 3), "dilation": (3, 2), "padding": (1, 0)}, (1, 7, 9), (2, 6, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name, tmp_path):
    rng = np.random.default_rng(12)
    fields, shape, out = CONVOLUTIONS[name]
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    node = {"type": "Conv2d", **plain, **fields, "input_shape": np.array(shape[1:])}
    node["weight"] = rng.normal(0, 1, fields["weight"])
    node["bias"] = rng.normal(0, 1, len(node["weight"]))
    node = {k: np.array(v) if isinstance(v, tuple) else v for k, v in node.items()}
    agree(between(node, shape, out), rng.normal(0, 1, (3, 2, *shape)), tmp_path)


def test_convolution_over_one_axis(tmp_path):
    rng = np.random.default_rng(13)
    node = {"type": "Conv1d", "weight": rng.normal(0, 1, (4, 1, 3)), "bias": rng.normal(0, 1, 4),
            "stride": 2, "padding": 1, "dilation": 1, "groups": 2, "input_shape": 9}  # fmt: skip
    agree(between(node, (2, 9), (4, 5)), rng.normal(0, 1, (3, 2, 2, 9)), tmp_path)


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
@pytest.mark.parametrize(("kernel", "stride", "padding", "out"), [
    ((2, 2), (2, 2), (0, 0), (3, 4)),
    ((3, 2), (1, 2), (1, 0), (6, 4)),
    ((3, 3), (2, 3), (1, 1), (3, 3)),
    ((2, 3), (2, 2), (2, 1), (5, 4)),
])  # fmt: skip
def test_pools(kind, kernel, stride, padding, out, tmp_path):
    rng = np.random.default_rng(14)
    node = {"type": kind, "kernel_size": np.array(kernel), "stride": np.array(stride),
            "padding": np.array(padding)}  # fmt: skip
    agree(between(node, (2, 6, 8), (2, *out)), rng.normal(0, 1, (3, 2, 2, 6, 8)), tmp_path)


@pytest.mark.parametrize("cut", ["spikes", "affine"])
@pytest.mark.parametrize("kind", SPIKING)
def test_recurrent(cut, kind, tmp_path):
    rng = np.random.default_rng(15)
    made = recurrent(kind, rng)
    x = spikes(rng, 40, 3, 4)
    _, oracle = agree(made, x, tmp_path, recurrent_cut=cut)
    fires(oracle, "hidden")
    other = literal(made, x, recurrent_cut="affine" if cut == "spikes" else "spikes")
    # Else this graph could not tell the two cuts apart.
    assert not np.array_equal(other.outputs["hidden"], oracle.outputs["hidden"])


def test_two_populations_in_a_loop_with_a_shared_matrix(tmp_path):
    rng = np.random.default_rng(16)
    nodes = {
        "input": door("Input", (4,)),
        "a": neuron("LIF", (4,), rng),
        "shared": affine(4, 4, rng, 0.5),
        "b": neuron("CubaLIF", (4,), rng),
        "back": affine(4, 4, rng),
        "output": door("Output", (4,)),
    }
    # What a sends reaches b in the same step and a itself one step later, through one matrix.
    edges = [("input", "a"), ("a", "shared"), ("shared", "b"), ("shared", "a"), ("b", "back"),
             ("back", "a"), ("b", "output")]  # fmt: skip
    for cut in ("spikes", "affine"):
        _, oracle = agree(tree(nodes, edges), spikes(rng, 40, 2, 4), tmp_path, recurrent_cut=cut)
        fires(oracle, "a")
        fires(oracle, "b")


def test_delay_breaks_a_cycle(tmp_path):
    rng = np.random.default_rng(17)
    nodes = {
        "input": door("Input", (3,)),
        "a": neuron("LIF", (3,), rng),
        "d": {"type": "Delay", "delay": np.array([1, 2, 4]) * DT},
        "w": affine(3, 3, rng),
        "output": door("Output", (3,)),
    }
    edges = [("input", "a"), ("a", "d"), ("d", "w"), ("w", "a"), ("a", "output")]
    _, oracle = agree(tree(nodes, edges), spikes(rng, 40, 2, 3), tmp_path)
    fires(oracle, "a")


def test_residual_branches_and_nested_graphs(tmp_path):
    rng = np.random.default_rng(18)
    inner = tree({
        "input": door("Input", (4,)), "lif1.lif": neuron("LIF", (4,), rng),
        "w": affine(4, 4, rng), "output": door("Output", (4,)),
    }, [("input", "lif1.lif"), ("lif1.lif", "w"), ("w", "output"), ("input", "output")])  # fmt: skip
    nodes = {
        "input": door("Input", (4,)),
        "block": inner,
        "lif1/lif": neuron("CubaLIF", (4,), rng),
        "values": neuron("LI", (4,), rng),
        "output": door("Output", (4,)),
    }
    nodes["lif1_lif"] = nodes.pop("lif1/lif")
    edges = [("input", "block"), ("block", "lif1_lif"), ("input", "lif1_lif"),
             ("lif1_lif", "values"), ("block", "values"), ("values", "output")]  # fmt: skip
    _, oracle = agree(tree(nodes, edges), spikes(rng, 40, 2, 4), tmp_path)
    fires(oracle, "block/lif1.lif")


@pytest.mark.parametrize("name", ["a.b", "forward", "keys", "type", "0", "é", "x y", "training"])
def test_odd_node_names(name, tmp_path):
    rng = np.random.default_rng(19)
    made = between(neuron("LIF", (2,), rng), (2,), name=name)
    network, _ = agree(made, spikes(rng, 20, 1, 2), tmp_path)
    assert type(network.node(name)[-1]) is LIFBoxCell


def test_convolutional_network(tmp_path):
    rng = np.random.default_rng(20)
    conv = {"type": "Conv2d", "weight": rng.normal(0.05, 0.4, (4, 1, 3, 2)), "groups": 2,
            "bias": rng.normal(0, 0.1, 4), "stride": np.array([1, 2]), "padding": "valid",
            "dilation": np.array([1, 1]), "input_shape": np.array([6, 8])}  # fmt: skip
    pool = {"type": "SumPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]),
            "padding": np.array([0, 0])}  # fmt: skip
    made = tree({
        "input": door("Input", (2, 6, 8)), "conv": conv, "if": neuron("IF", (4, 4, 4), rng),
        "pool": pool, "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1},
        "fc": affine(16, 5, rng, 0.3), "lif": neuron("LIF", (5,), rng), "output": door("Output", (5,)),
    })  # fmt: skip
    _, oracle = agree(made, spikes(rng, 20, 3, 2, 6, 8), tmp_path)
    fires(oracle, "if")
    fires(oracle, "lif")
