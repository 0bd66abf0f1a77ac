"""Graphs written by sinabs' own exporter, with sinabs' own outputs.

sinabs counts tau in steps, so dt is 1; the file holds neither the decay rule, nor whether the
input is normalised, nor the reset, nor the number of spikes per step, nor the lower limit of v.
"""

import numpy as np
import sinabs.layers as sl
import torch
from peers.recording import Case, plain_arrays, stimulus
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.nir import to_nir
from torch import nn

PACKAGES = ("sinabs", "nir", "nirtorch", "torch", "numpy")
DEFAULT = {
    "dt": 1.0,
    "reset": "subtract",
    "decay": "exponential",
    "spikes": "multiple",
    "input_gain": "r",
    "if_unit": "step",
}
ZERO = {"spike_fn": SingleSpike, "reset_fn": MembraneReset()}
ZERO_WORDS = {"spikes": "single", "reset": "value"}
SINGLE = {"spike_fn": SingleSpike, "reset_fn": MembraneSubtract()}


def spread(rng, low, high, *shape):
    """Return per-neuron values: the exporter leaves a scalar tau as 0-d, which nir cannot write."""
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def scaled(rng, module, mean, sigma):
    with torch.no_grad():
        weight = rng.normal(mean, sigma, tuple(module.weight.shape))
        module.weight.copy_(torch.from_numpy(weight))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(rng.normal(0, 0.05, tuple(module.bias.shape))))
    return module


def lif(rng, n, batch, **options):
    return sl.LIFSqueeze(
        tau_mem=spread(rng, 3.0, 12.0, n),
        spike_threshold=spread(rng, 0.8, 1.3, n),
        batch_size=batch,
        **options,
    )


def iaf(rng, batch, *shape, **options):
    return sl.IAFSqueeze(spike_threshold=spread(rng, 0.8, 1.3, *shape), batch_size=batch, **options)


def run(net, x, names):
    """Run all steps at once; the Squeeze layers take [B*T, *shape]. Return [T, B, *shape]."""
    steps, batch = x.shape[:2]
    traces = {}
    hooks = [
        net.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: traces.__setitem__(name, out.detach().numpy())
        )
        for name in names
    ]
    for module in net.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    flat = np.ascontiguousarray(np.moveaxis(x, 0, 1)).reshape(batch * steps, *x.shape[2:])
    with torch.no_grad():
        net(torch.from_numpy(flat))
    for hook in hooks:
        hook.remove()
    return {
        n: np.moveaxis(v.reshape(batch, steps, *v.shape[1:]), 0, 1).copy()
        for n, v in traces.items()
    }


def case(name, net, x, layers, words, preset=True, extra=None, note=""):
    outputs = run(net, x, layers)  # before the export: it needs the layers' shapes
    graph = plain_arrays(to_nir(net, torch.from_numpy(x[0])))
    if any(isinstance(m, nn.Conv2d) for m in net):
        # The exporter leaves shapes open, and nir cannot write None: let nir fill them in.
        graph.infer_types()
    return Case(name, graph, x, outputs, {**DEFAULT, **words}, preset, extra or {}, note)


def dense(name, seed, words, layer=lif, mean=0.25, extra=None, note="", **options):
    rng = np.random.default_rng(seed)
    args = (lambda n: (rng, n, 6)) if layer is lif else (lambda n: (rng, 6, n))
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, 14), mean, 2 * mean),
        layer(*args(14), **options),
        scaled(rng, nn.Linear(14, 7, bias=False), mean, 2 * mean),
        layer(*args(7), **options),
    )
    x = stimulus(seed, 40, 6, 12)
    return case(name, net, x, ["1", "3"], words, True, extra, note)


def convolution(name, seed, words, groups=1, extra=None, **options):
    """Conv with stride and padding, sum pool, flatten, dense: 2x9x9, 4x5x5, 4x2x2, 5."""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=groups), 0.1, 0.4),
        iaf(rng, 4, 4, 5, 5, **options),
        sl.SumPool2d(2),
        nn.Flatten(),
        scaled(rng, nn.Linear(16, 5), 0.05, 0.2),
        iaf(rng, 4, 5, **options),
    )
    x = stimulus(seed, 30, 4, 2, 9, 9, rate=0.15)
    return case(name, net, x, ["1", "5"], words, True, extra)


def readout(name, seed, words, **options):
    """LIF, then a leaky integrator that puts out its membrane.

    By default sinabs normalises the input of LIF, but not of ExpLeak; one contract word cannot say
    both, so here both do or both do not.
    """
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        scaled(rng, nn.Linear(12, 10), 0.3, 0.6),
        lif(rng, 10, 6, **options),
        scaled(rng, nn.Linear(10, 4), 0.1, 0.5),
        sl.ExpLeakSqueeze(tau_mem=spread(rng, 5.0, 20.0, 4), batch_size=6, **options),
    )
    x = stimulus(seed, 40, 6, 12)
    return case(name, net, x, ["1", "3"], words, True, words)


def cases():
    yield dense("sinabs_lif", 1, {}, mean=0.9)
    one = {"input_gain": "one"}
    yield dense("sinabs_lif_plain_input", 2, one, mean=0.1, extra=one, norm_input=False)
    single = {"spikes": "single"}
    yield dense("sinabs_lif_single", 3, single, mean=0.9, extra=single, **SINGLE)
    yield dense("sinabs_lif_zero", 4, ZERO_WORDS, mean=0.8, extra=ZERO_WORDS, **ZERO)
    limit = {"v_min": -0.25}
    yield dense("sinabs_lif_v_min", 5, limit, mean=0.8, extra=limit, min_v_mem=-0.25)
    yield dense("sinabs_if", 6, {}, iaf, mean=0.06)
    yield dense("sinabs_if_zero", 7, ZERO_WORDS, iaf, mean=0.06, extra=ZERO_WORDS, **ZERO)
    limit = {"v_min": -0.5}
    yield dense("sinabs_if_v_min", 8, limit, iaf, mean=0.12, extra=limit, min_v_mem=-0.5)
    yield convolution("sinabs_conv", 9, {}, spike_fn=MultiSpike)
    yield convolution("sinabs_conv_grouped", 10, {}, groups=2)
    yield readout("sinabs_readout", 11, {}, norm_input=True)
    yield readout("sinabs_readout_plain_input", 12, one, norm_input=False)
