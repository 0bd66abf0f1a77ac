"""Graphs written by SpikingJelly's own exporter, with SpikingJelly's own outputs.

It refuses what NIR cannot say (soft reset, groups). Its v_leak is its v_reset, its parameters are
the same for a whole layer. Recurrence is not exported; a graph with a loop is written here by hand
and run by SpikingJelly's importer.
"""

import nir
import numpy as np
import torch
from peers.recording import Case, plain_arrays, stimulus
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir, import_from_nir
from torch import nn

PACKAGES = ("spikingjelly", "nir", "nirtorch", "torch", "numpy")
DT_S = 1e-3
WORDS = {"dt": DT_S, "reset": "value"}
DEFAULT_DT = {"dt": 1e-4}


def scaled(rng, module, mean, sigma):
    with torch.no_grad():
        weight = rng.normal(mean, sigma, tuple(module.weight.shape))
        module.weight.copy_(torch.from_numpy(weight))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(rng.normal(0, 0.05, tuple(module.bias.shape))))
    return module


def record(net, x, names):
    """Run step by step; return ({node name: its output [T, B, *shape]})."""
    traces = {name: [] for name in names}
    hooks = [
        net.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: traces[name].append(out.detach().numpy().copy())
        )
        for name in names
    ]
    functional.reset_net(net)
    for module in net.modules():
        if isinstance(module, neuron.BaseNode):
            module.v = 0.0  # SpikingJelly starts at v_reset, the contract's states at zero
    with torch.no_grad():
        for values in torch.from_numpy(x):
            net(values)
    functional.reset_net(net)
    for hook in hooks:
        hook.remove()
    return {name: np.stack(v) for name, v in traces.items()}


def case(name, net, x, names, dt=DT_S):
    functional.reset_net(net)
    graph = plain_arrays(export_to_nir(net, torch.from_numpy(x[0]), dt=dt))
    # The exporter names the child "1" of a Sequential "_1".
    outputs = record(net, x, names)
    layers = {n if n in graph.nodes else f"_{n}": v for n, v in outputs.items()}
    words = {**WORDS, "dt": dt}
    return Case(name, graph, x, layers, words, True, {} if dt == 1e-4 else {"dt": dt})


def dense(name, seed, make, mean=0.2, dt=DT_S):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, 14), mean, 2 * mean),
        make(),
        scaled(rng, nn.Linear(14, 7, bias=False), mean, 2 * mean),
        make(),
    )
    return case(name, net, stimulus(seed, 40, 6, 12), ["1", "3"], dt)


def convolution(name, seed):
    """Conv with stride and padding, average pool, flatten, dense: 2x9x9, 4x5x5, 4x2x2, 5."""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Conv2d(2, 4, 3, stride=2, padding=1), 0.1, 0.4),
        neuron.IFNode(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        scaled(rng, nn.Linear(16, 5), 0.1, 0.4),
        neuron.LIFNode(tau=3.0, decay_input=False),
    )
    return case(name, net, stimulus(seed, 30, 4, 2, 9, 9, rate=0.15), ["1", "5"])


def convolution_1d(name, seed):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Conv1d(3, 4, 3, stride=2, dilation=2), 0.2, 0.5),
        neuron.LIFNode(tau=4.0, decay_input=False),
        nn.Flatten(),
        scaled(rng, nn.Linear(16, 5), 0.2, 0.5),
        neuron.IFNode(),
    )
    return case(name, net, stimulus(seed, 40, 6, 3, 11), ["1", "4"])


class Residual(nn.Module):
    """z = first(x); out = last(second(z) + z)."""

    def __init__(self, rng):
        super().__init__()
        self.linear1 = scaled(rng, nn.Linear(12, 12), 0.1, 0.3)
        self.first = neuron.LIFNode(tau=3.0, decay_input=False)
        self.linear2 = scaled(rng, nn.Linear(12, 12), -0.05, 0.3)
        self.last = neuron.LIFNode(tau=2.0, decay_input=False, v_threshold=1.2)

    def forward(self, x):
        z = self.first(self.linear1(x))
        return self.last(self.linear2(z) + z)


def recurrent(name, seed):
    """A loop with biases, run by the importer: it delays after the affine, so no bias at t=0."""
    rng = np.random.default_rng(seed)
    n, full = 10, lambda value: np.full(10, value)
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc": nir.Affine(rng.normal(0.1, 0.3, (n, 12)).astype("f4"), np.zeros(n, "f4")),
        "lif": nir.LIF(full(3 * DT_S), full(3.0), full(0.0), full(1.0), full(0.0)),
        "rec": nir.Affine(
            rng.normal(0.0, 0.3, (n, n)).astype("f4"), rng.normal(0.2, 0.3, n).astype("f4")
        ),
        "output": nir.Output(np.array([n])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    graph = nir.NIRGraph(nodes, edges)
    x = stimulus(seed, 40, 6, 12)
    net, state, outputs = import_from_nir(graph, dt=DT_S), None, []
    with torch.no_grad():
        for values in torch.from_numpy(x):
            out, state = net(values, state)
            outputs.append(out.numpy().copy())
    words = {**WORDS, "recurrent_cut": "affine"}
    return Case(name, graph, x, {"lif": np.stack(outputs)}, words, True, {"dt": DT_S})


def cases():
    yield dense("spikingjelly_lif", 1, lambda: neuron.LIFNode(tau=2.5), 0.5, 1e-4)
    yield dense("spikingjelly_lif_plain_input", 2, lambda: neuron.LIFNode(4.0, decay_input=False))
    options = {"tau": 3.0, "v_reset": -0.2, "v_threshold": 0.8}
    yield dense("spikingjelly_lif_reset", 3, lambda: neuron.LIFNode(**options), 0.5)
    yield dense("spikingjelly_if", 4, neuron.IFNode, 0.06, 1e-4)
    yield dense("spikingjelly_if_reset", 5, lambda: neuron.IFNode(0.9, v_reset=0.15), 0.05)
    plif = neuron.ParametricLIFNode
    yield dense("spikingjelly_plif", 6, lambda: plif(init_tau=3.0, decay_input=False))
    cuba = neuron.CUBALIFNode
    yield dense("spikingjelly_cuba", 7, lambda: cuba(0.5, 0.75), 0.05)
    yield dense("spikingjelly_cuba_reset", 8, lambda: cuba(0.6, 0.7, v_reset=-0.3), 0.04)
    yield convolution("spikingjelly_conv", 9)
    yield convolution_1d("spikingjelly_conv1d", 10)
    rng = np.random.default_rng(11)
    net, x = Residual(rng), stimulus(11, 40, 6, 12)
    yield case("spikingjelly_residual", net, x, ["first", "last"])
    yield recurrent("spikingjelly_recurrent", 12)
