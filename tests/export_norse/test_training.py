"""An imported graph is an ordinary torch module: it trains, moves, and keeps its state."""

import numpy as np
import pytest
import torch
from export_norse.made_graphs import affine, door, literal, load, neuron, recurrent, spikes, tree

from neurodeploy.export.norse import from_nir


@pytest.fixture
def made():
    return recurrent("CubaLIF", np.random.default_rng(0))


def batch(rng, n=24, steps=25):
    """Return sequences whose first or second half of the channels is busy, and their class."""
    y = rng.integers(0, 2, n)
    rate = np.where(np.arange(4)[None, :] // 2 == y[:, None], 0.8, 0.1)
    x = (rng.random((steps, n, 4)) < rate).astype(np.float32)
    return torch.tensor(x), torch.tensor(y)


@pytest.mark.parametrize("surrogate", ["super", "triangle", "tanh", "circ", "heavi_erfc"])
def test_training_lowers_the_loss_and_reaches_every_weight(made, surrogate, tmp_path):
    torch.manual_seed(0)
    alpha = 100.0 if surrogate == "super" else 1.0
    network = from_nir(load(made, tmp_path), surrogate=surrogate, alpha=alpha)
    x, y = batch(np.random.default_rng(1))
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(network(x).mean(0), y)
        optimiser.zero_grad()
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_gradient_through_a_recurrent_connection_is_the_derivative(tmp_path):
    # Without spikes the literal interpreter's numbers have derivatives to compare with.
    rng = np.random.default_rng(2)
    nodes = {
        "input": door("Input", (3,)), "fc": affine(3, 3, rng), "li": neuron("CubaLI", (3,), rng),
        "back": affine(3, 3, rng, 0.3), "out": affine(3, 2, rng), "output": door("Output", (2,)),
    }  # fmt: skip
    edges = [("input", "fc"), ("fc", "li"), ("li", "back"), ("back", "li"), ("li", "out"),
             ("out", "output")]  # fmt: skip
    made = tree(nodes, edges)
    x = rng.normal(0, 1, (9, 2, 3))
    network = from_nir(load(made, tmp_path), dtype=torch.float64)
    (network(torch.tensor(x)) ** 2).sum().backward()

    def loss():
        return (literal(made, x).outputs["output"] ** 2).sum()

    for name in ("fc", "back", "out"):
        for which in ("weight", "bias"):
            gradient = getattr(network.node(name), which).grad.numpy()
            array = nodes[name][which]
            for at in np.ndindex(array.shape):
                kept, step = array[at], 1e-6
                array[at] = kept + step
                up = loss()
                array[at] = kept - step
                slope = (up - loss()) / (2 * step)
                array[at] = kept
                np.testing.assert_allclose(gradient[at], slope, rtol=1e-5, atol=1e-6)


def test_the_gain_trains(tmp_path):
    rng = np.random.default_rng(3)
    metadata = {"dlif_gain": {"values": np.linspace(0.5, 1.5, 6), "after": "last"}}
    for leak in (0.0, 0.1):
        tau = np.full(4, 5e-3)
        lif = neuron("LIF", (4,), rng, tau=tau, r=tau * 1e3, v_leak=np.full(4, leak),
                     metadata=metadata)  # fmt: skip
        made = tree({"input": door("Input", (4,)), "w": affine(4, 4, rng), "dlif": lif,
                     "output": door("Output", (4,))})  # fmt: skip
        network = from_nir(load(made, tmp_path))
        network(torch.tensor(spikes(rng, 10, 2, 4), dtype=torch.float32)).sum().backward()
        gain = network.node("dlif")[0].gain
        assert gain.shape == (6,)
        assert (gain.grad != 0).any()


def test_constants_are_buffers_and_move_with_the_module(made, tmp_path):
    network = from_nir(load(made, tmp_path), dtype=torch.float64)
    parameters = {name for name, _ in network.named_parameters()}
    assert parameters == {
        f"nodes.{node}.{which}" for node in ("fc", "back", "read") for which in ("weight", "bias")
    }
    buffers = dict(network.named_buffers())
    assert any(name.endswith("tau_mem_inv") for name in buffers)
    assert all(b.dtype == torch.float64 for b in buffers.values())
    network = network.to(torch.float32)
    assert all(b.dtype == torch.float32 for b in network.buffers())
    y = network(torch.zeros(3, 2, 4))
    assert y.dtype == torch.float32
    assert from_nir(load(made, tmp_path))(torch.zeros(3, 2, 4)).dtype == torch.float32


def test_not_trainable(made, tmp_path):
    network = from_nir(load(made, tmp_path), trainable=False)
    assert not any(p.requires_grad for p in network.parameters())
    assert not network(torch.ones(3, 1, 4)).requires_grad


def test_state_dict_brings_a_trained_network_back(made, tmp_path):
    rng = np.random.default_rng(4)
    graph = load(made, tmp_path)
    trained, fresh = from_nir(graph, verify=False), from_nir(graph, verify=False)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.manual_seed(5)))
        trained.node("hidden")[-1].p.v_th.mul_(0.9)
    x = torch.tensor(spikes(rng, 30, 3, 4), dtype=torch.float32)
    assert not torch.equal(trained(x), fresh(x))
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(trained(x), fresh(x))
