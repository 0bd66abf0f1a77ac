"""lava-dl's own spikes, with graphs by hand: lava-dl writes no NIR.

The graph follows the rules of the script beside the NIR paper (import_from_nir_to_lava_dl), read
backwards: tau_syn = dt/current_decay, tau_mem = dt/voltage_decay, w_in = tau_syn/dt,
r = tau_mem/dt. lava-dl rounds states to 1/4096, so only networks whose decisions survive that
rounding are kept; ``recording.check`` sees to it.
"""

import lava.lib.dl.slayer as slayer
import nir
import numpy as np
import torch
from peers.recording import Case, stimulus

PACKAGES = ("lava-dl", "nir", "torch", "numpy")
DT_S = 1e-4
WORDS = {"dt": DT_S, "reset": "value"}
GRID = 4096


def block(kind, inputs, outputs, current_decay, voltage_decay):
    """A layer as the script makes it: no delay shift, no weight scaling or rounding."""
    params = {
        "threshold": 1.0,
        "current_decay": current_decay / GRID,
        "voltage_decay": voltage_decay / GRID,
        "shared_param": True,
        "scale": 64,
    }
    options = {"weight_scale": 1, "weight_norm": False, "pre_hook_fx": None, "delay_shift": False}
    return kind(neuron_params=params, in_neurons=inputs, out_neurons=outputs, **options)


def node(n, current_decay, voltage_decay):
    tau_syn, tau_mem = DT_S * GRID / current_decay, DT_S * GRID / voltage_decay
    values = (tau_syn, tau_mem, tau_mem / DT_S, 0.0, 1.0, 0.0, tau_syn / DT_S)
    return nir.CubaLIF(*(np.full(n, v) for v in values))


def draw(rng, mean, sigma, outputs, inputs, grid=GRID):
    """Return weights on a grid that lava-dl keeps: the states', or 1/32 in recurrent blocks.

    cuba.Recurrent of 0.6.0 rounds its weights to 8 bit even with ``pre_hook_fx=None``.
    """
    return (np.round(rng.normal(mean, sigma, (outputs, inputs)) * grid) / grid).astype(np.float32)


def put(synapse, weight):
    synapse.weight.data = torch.from_numpy(weight.reshape(synapse.weight.shape))


def run(layers, x):
    """Return the spikes of each layer [T, B, n]; lava-dl takes [B, n, T]."""
    values, spikes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, 0, -1))), []
    with torch.no_grad():
        for layer in layers:
            values = layer(values)
            spikes.append(np.moveaxis(values.numpy(), -1, 0).copy())
    return spikes


def dense(name, seed):
    rng = np.random.default_rng(seed)
    decays = [(2048, 1024), (1843, 410)]
    sizes = [(12, 14), (14, 7)]
    weights = [draw(rng, 0.05, 0.2, 14, 12), draw(rng, 0.03, 0.15, 7, 14)]
    layers = [block(slayer.block.cuba.Dense, *s, *d) for s, d in zip(sizes, decays, strict=True)]
    for layer, weight in zip(layers, weights, strict=True):
        put(layer.synapse, weight)
    x = stimulus(seed, 40, 6, 12)
    first, last = run(layers, x)
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc1": nir.Linear(weights[0]),
        "lif1": node(14, *decays[0]),
        "fc2": nir.Linear(weights[1]),
        "lif2": node(7, *decays[1]),
        "output": nir.Output(np.array([7])),
    }
    order = list(nodes)
    graph = nir.NIRGraph(nodes, list(zip(order[:-1], order[1:], strict=True)))
    return Case(name, graph, x, {"lif1": first, "lif2": last}, WORDS)


def recurrent(name, seed):
    """A bias is put on the recurrent synapse, as the script does; lava-dl does not use it."""
    rng = np.random.default_rng(seed)
    n = 10
    layer = block(slayer.block.cuba.Recurrent, 12, n, 1843, 1024)
    w_in, w_rec = draw(rng, 0.03, 0.2, n, 12, 32), draw(rng, -0.05, 0.2, n, n, 32)
    put(layer.input_synapse, w_in)
    put(layer.recurrent_synapse, w_rec)
    layer.recurrent_synapse.bias = torch.nn.Parameter(torch.full((n,), -0.5))
    x = stimulus(seed, 40, 6, 12)
    (spikes,) = run([layer], x)
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc": nir.Linear(w_in),
        "lif": node(n, 1843, 1024),
        "rec": nir.Linear(w_rec),
        "output": nir.Output(np.array([n])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    note = "the recurrent bias of -0.5 that lava-dl ignores is not in the file"
    return Case(name, nir.NIRGraph(nodes, edges), x, {"lif": spikes}, WORDS, note=note)


def cases():
    yield dense("lava-dl_cuba", 3)
    yield recurrent("lava-dl_recurrent", 9)
