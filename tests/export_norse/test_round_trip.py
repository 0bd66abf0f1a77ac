"""Graph to Norse module and back: the file that ``to_nir`` writes gives the first graph's spikes."""

import numpy as np
import pytest
import torch
from export_norse.made_graphs import (
    DT,
    affine,
    between,
    door,
    literal,
    load,
    neuron,
    recurrent,
    spikes,
    tree,
)
from oracles import literal_graph

import neurodeploy
from neurodeploy.errors import NeurodeployError
from neurodeploy.export.norse import from_nir


def back(network, x, folder):
    """Export ``network``; return the literal interpreter's output of the file, and the file's nodes."""
    path = folder / "back.nir"
    neurodeploy.to_nir(network, x, path, dt=network.dt)
    written = literal_graph.load(path)
    contract = neurodeploy.read(path).contract
    words = {word: getattr(contract, word) for word in literal_graph.PLAIN}
    words["v_min"] = words["v_min"] or "none"
    run = literal_graph.run(written, x, {**words, "dt": contract.dt})
    (name,) = (n for n, node in written.nodes.items() if node["type"] == "Output")
    return run.outputs[name], {node["type"] for node in written.nodes.values()}


def convolutional(rng):
    conv = {"type": "Conv2d", "weight": rng.normal(0.1, 0.4, (4, 1, 3, 2)), "groups": 2,
            "bias": rng.normal(0, 0.1, 4), "stride": np.array([1, 1]), "padding": np.array([1, 0]),
            "dilation": np.array([1, 1]), "input_shape": np.array([4, 5])}  # fmt: skip
    pool = {"type": "AvgPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]),
            "padding": np.array([0, 0])}  # fmt: skip
    return tree({
        "input": door("Input", (2, 4, 5)), "conv": conv, "if": neuron("IF", (4, 4, 4), rng),
        "pool": pool, "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1},
        "fc": affine(16, 5, rng), "lif": neuron("LIF", (5,), rng), "output": door("Output", (5,)),
    })  # fmt: skip


def residual(rng):
    nodes = {
        "input": door("Input", (4,)), "a": neuron("LIF", (4,), rng), "w": affine(4, 4, rng, 0.5),
        "b": neuron("CubaLIF", (4,), rng), "c": neuron("LIF", (4,), rng),
        "output": door("Output", (4,)),
    }  # fmt: skip
    edges = [("input", "a"), ("a", "w"), ("w", "b"), ("a", "c"), ("b", "c"), ("c", "output")]
    return tree(nodes, edges)


def dlif(rng):
    metadata = {"dlif_gain": {"values": rng.uniform(0.5, 2, 6), "after": "last"}}
    tau = np.full(4, 5e-3)
    node = neuron("LIF", (4,), rng, tau=tau, r=tau / DT, v_leak=np.zeros(4), metadata=metadata)
    return tree({"input": door("Input", (3,)), "w": affine(3, 4, rng), "dlif": node,
                 "output": door("Output", (4,))})  # fmt: skip


CASES = {
    "lif": (lambda rng: between(neuron("LIF", (4,), rng), (4,)), (4,), {}),
    "lif subtract": (lambda rng: between(neuron("LIF", (4,), rng), (4,)), (4,), {"reset": "subtract"}),
    "lif exponential": (lambda rng: between(neuron("LIF", (4,), rng), (4,)), (4,), {"decay": "exponential"}),
    "if": (lambda rng: between(neuron("IF", (4,), rng), (4,)), (4,), {}),
    "cuba": (lambda rng: between(neuron("CubaLIF", (4,), rng), (4,)), (4,), {}),
    "cuba subtract": (lambda rng: between(neuron("CubaLIF", (4,), rng), (4,)), (4,), {"reset": "subtract"}),
    "recurrent lif": (lambda rng: recurrent("LIF", rng), (4,), {}),
    "recurrent cuba": (lambda rng: recurrent("CubaLIF", rng), (4,), {}),
    "convolutional": (convolutional, (2, 4, 5), {}),
    "residual": (residual, (4,), {}),
    "dlif": (dlif, (3,), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name, tmp_path):
    make, shape, words = CASES[name]
    rng = np.random.default_rng(1)
    made, x = make(rng), spikes(rng, 20, 3, *shape)
    network = from_nir(load(made, tmp_path, **words), dtype=torch.float64)
    want = literal(made, x, **words).outputs["output"]
    assert np.abs(want).max() > 0
    got, _ = back(network, x, tmp_path)
    if np.isin(want, (0, 1)).all():
        assert (got != want).sum() == 0
    else:
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_norse_s_own_cells_need_no_extra_node(tmp_path):
    rng = np.random.default_rng(2)
    cuba = neuron("CubaLIF", (4,), rng)
    cuba |= {"r": np.ones(4), "w_in": cuba["tau_syn"] / DT}
    made = tree({"input": door("Input", (3,)), "w": affine(3, 4, rng, 3), "cuba": cuba,
                 "output": door("Output", (4,))})  # fmt: skip
    x = spikes(rng, 20, 3, 3)
    _, kinds = back(from_nir(load(made, tmp_path), dtype=torch.float64), x, tmp_path)
    assert kinds == {"Input", "Affine", "CubaLIF", "Output"}


def test_a_trained_network_goes_back(tmp_path):
    rng = np.random.default_rng(3)
    network = from_nir(load(recurrent("CubaLIF", rng), tmp_path))
    x = torch.tensor(spikes(rng, 20, 3, 4), dtype=torch.float32)
    before = network(x).detach()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    network(x).mean().backward()
    optimiser.step()
    after = network(x).detach().numpy()
    assert not np.allclose(after, before.numpy())
    got, _ = back(network, x.numpy().astype(np.float64), tmp_path)
    np.testing.assert_allclose(got, after, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "words"), [
    ("LIF", {"reset": "subtract-late"}),
    ("IF", {"reset": "subtract"}),
])  # fmt: skip
def test_what_does_not_go_back_is_refused(kind, words, tmp_path):
    rng = np.random.default_rng(4)
    network = from_nir(load(between(neuron(kind, (4,), rng), (4,)), tmp_path, **words))
    with pytest.raises(NeurodeployError, match="cannot be exported"):
        back(network, spikes(rng, 20, 3, 4), tmp_path)
    assert not (tmp_path / "back.nir").exists()
