"""Graphs written by snnTorch's own exporter, with snnTorch's own spikes."""

import numpy as np
import snntorch as snn
import torch
from peers.recording import Case, plain_arrays, stimulus
from snntorch.export_nir import export_to_nir
from torch import nn

PACKAGES = ("snntorch", "nir", "nirtorch", "torch", "numpy")
DT_S = 1e-4  # fixed in the exporter
LATE = {"dt": DT_S, "reset": "subtract-late"}
ONCE = {"dt": DT_S, "reset": "subtract-once"}
VALUE = {"dt": DT_S, "reset": "value"}


def spread(rng, low, high, *shape):
    """Return per-neuron values: a scalar beta makes 0-d arrays, which nir cannot write."""
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def leaky(rng, *shape, **options):
    options = {"beta": spread(rng, 0.6, 0.95, *shape), **options}
    return snn.Leaky(threshold=spread(rng, 0.8, 1.3, *shape), init_hidden=True, **options)


def synaptic(rng, n, **options):
    alpha, beta = spread(rng, 0.4, 0.8, n), spread(rng, 0.6, 0.9, n)
    threshold = spread(rng, 0.8, 1.3, n)
    return snn.Synaptic(alpha, beta, threshold=threshold, init_hidden=True, **options)


def scaled(rng, module, gain):
    """Draw weights with a positive mean, so that a net of chance weights fires."""
    with torch.no_grad():
        weight = rng.normal(0.15, 0.5, tuple(module.weight.shape)) * gain
        module.weight.copy_(torch.from_numpy(weight))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(rng.normal(0, 0.1, tuple(module.bias.shape))))
    return module


def record(net, x, names):
    """Run step by step; return ({child name: its output [T, B, *shape]})."""
    traces = {name: [] for name in names}
    hooks = [
        net.get_submodule(module).register_forward_hook(
            lambda _m, _i, out, name=name: traces[name].append(
                (out[0] if isinstance(out, tuple) else out).detach().numpy().copy()
            )
        )
        for name, module in names.items()
    ]
    with torch.no_grad():
        for values in torch.from_numpy(x):
            net(values)
    for hook in hooks:
        hook.remove()
    return {name: np.stack(v) for name, v in traces.items()}


def reset(net):
    for module in net.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()


def export(net, sample):
    graph = plain_arrays(export_to_nir(net, sample, ignore_dims=[0]))
    reset(net)
    return graph


def dense(name, seed, words, preset, extra=None, **options):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, 16), 0.6),
        leaky(rng, 16, **options),
        scaled(rng, nn.Linear(16, 8, bias=False), 0.6),
        leaky(rng, 8, **options),
    )
    x = stimulus(seed, 40, 6, 12)
    graph = export(net, torch.from_numpy(x[0]))
    return Case(name, graph, x, record(net, x, {"1": "1", "3": "3"}), words, preset, extra or {})


def cuba(name, seed, words, preset, extra=None, **options):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, 16), 0.3),
        synaptic(rng, 16, **options),
        scaled(rng, nn.Linear(16, 8), 0.3),
        synaptic(rng, 8, **options),
    )
    x = stimulus(seed, 40, 6, 12)
    graph = export(net, torch.from_numpy(x[0]))
    return Case(name, graph, x, record(net, x, {"1": "1", "3": "3"}), words, preset, extra or {})


def recurrent(name, seed, words, preset, extra=None, kind=snn.RLeaky, **options):
    rng = np.random.default_rng(seed)
    n = 10
    kept = {"beta": 0.8, "linear_features": n, "all_to_all": True, "init_hidden": True}
    if kind is snn.RSynaptic:
        kept["alpha"] = 0.6
    hidden = kind(**kept, **options)
    scaled(rng, hidden.recurrent, 0.3)
    with torch.no_grad():
        hidden.recurrent.weight.sub_(0.1)
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, n), 0.5),
        hidden,
        scaled(rng, nn.Linear(n, 6), 0.9),
        leaky(rng, 6, **options),
    )
    x = stimulus(seed, 40, 6, 12)
    graph = export(net, torch.from_numpy(x[0]))
    layers = record(net, x, {"1.lif": "1", "3": "3"})
    return Case(name, graph, x, layers, words, preset, extra or {})


def convolution(name, seed, words, preset, extra=None, groups=1, kernel=3, **options):
    """Conv with stride and padding, average pool, flatten, dense: 2x9x9, 4x5x5, 4x2x2, 5."""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Conv2d(2, 4, kernel, stride=2, padding=1, groups=groups), 0.8),
        leaky(rng, 4, 5, 5, **options),
        nn.AvgPool2d(2),
        nn.Flatten(),
        scaled(rng, nn.Linear(16, 5), 0.8),
        leaky(rng, 5, **options),
    )
    x = stimulus(seed, 30, 4, 2, 9, 9)
    graph = export(net, torch.from_numpy(x[0]))
    return Case(name, graph, x, record(net, x, {"1": "1", "5": "5"}), words, preset, extra or {})


def cases():
    value, once = {"reset": "value"}, {"reset": "subtract-once"}
    zero = {"reset_mechanism": "zero"}
    yield dense("snntorch_dense", 1, LATE, True)
    yield dense("snntorch_dense_zero", 2, VALUE, True, value, **zero)
    yield dense("snntorch_dense_once", 3, ONCE, True, once, reset_delay=False)
    yield cuba("snntorch_cuba", 4, LATE, True)
    yield cuba("snntorch_cuba_once", 5, ONCE, True, once, reset_delay=False)
    yield cuba("snntorch_cuba_zero", 15, VALUE, True, value, reset_delay=False, **zero)
    yield recurrent("snntorch_recurrent", 6, LATE, True)
    yield recurrent("snntorch_recurrent_once", 13, ONCE, True, once, reset_delay=False)
    yield recurrent("snntorch_recurrent_zero", 10, VALUE, True, value, reset_delay=False, **zero)
    yield recurrent("snntorch_recurrent_cuba", 7, LATE, True, kind=snn.RSynaptic)
    yield convolution("snntorch_conv", 8, LATE, True)
    yield convolution("snntorch_conv_zero", 9, VALUE, True, value, **zero)
    yield convolution("snntorch_conv_grouped", 11, LATE, True, groups=2)
