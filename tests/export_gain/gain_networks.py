"""Small NIR graphs with DLIF nodes, made with nir's own types, and what they mean by a literal run."""

import h5py
import nir
import numpy as np
from oracles import literal_graph

from neurodeploy.graph import read

DT = 1e-3
PLAIN = {
    "dt": DT,
    "steps": 12,
    "reset": "value",
    "decay": "euler",
    "spikes": "single",
    "input_gain": "r",
}


def gain(rng, steps, low=0.3, high=2.5):
    return rng.uniform(low, high, steps)


def lif(shape, values=None, tau=5 * DT, r=1.0, v_reset=0.0):
    return nir.LIF(
        tau=np.full(shape, tau),
        r=np.full(shape, r),
        v_leak=np.zeros(shape),
        v_threshold=np.ones(shape),
        v_reset=np.full(shape, v_reset),
        metadata=dlif(values),
    )


def cuba(size, values=None):
    full = np.full
    return nir.CubaLIF(
        tau_syn=full(size, 3 * DT),
        tau_mem=full(size, 4 * DT),
        r=full(size, 2.0),
        v_leak=full(size, 0.1),
        v_threshold=np.ones(size),
        v_reset=full(size, -0.2),
        w_in=full(size, 1.5),
        metadata=dlif(values),
    )


def integrator(size, values=None):
    return nir.IF(
        r=np.full(size, 0.4 / DT),
        v_threshold=np.ones(size),
        v_reset=np.full(size, 0.2),
        metadata=dlif(values),
    )


def dlif(values):
    return {} if values is None else {"dlif_gain": {"values": np.array(values), "after": "last"}}


def affine(rng, n_out, n_in, bias=True):
    scale = 6.0 / np.sqrt(n_in)
    weight = rng.normal(0.15, 1, (n_out, n_in)) * scale
    return nir.Affine(weight, rng.normal(size=n_out) * bias)


def conv(rng, n_out, n_in, size, places, padding=0, stride=1):
    return nir.Conv2d(
        input_shape=places,
        weight=rng.normal(0.1, 1, (n_out, n_in, size, size)) * 2.5,
        stride=stride,
        padding=padding,
        dilation=1,
        groups=1,
        bias=rng.normal(size=n_out),
    )


def ends(n_in, n_out):
    return {
        "input": nir.Input({"input": np.atleast_1d(n_in)}),
        "output": nir.Output({"output": np.atleast_1d(n_out)}),
    }


def chain(*names):
    return list(zip(names, names[1:], strict=False))


def graph_of(path, nodes, edges, readout=("readout", "sum"), **words):
    """Write the graph with its contract and read it back."""
    contract = {k.replace("_", "-"): v for k, v in {**PLAIN, **words}.items() if v is not None}
    document = {"schema": 1, **contract, "readout": {"node": readout[0], "kind": readout[1]}}
    graph = nir.NIRGraph(nodes, edges, metadata={"neurodeploy": document}, type_check=False)
    nir.write(path, graph)
    return read(path).value


def dense(path, rng, gains, sizes=(6, 9, 8, 4), bias=True, neuron=lif, **words):
    """Return input -> affine1 -> lif1 -> affine2 -> lif2 -> readout; ``gains`` per LIF layer."""
    nodes, order = ends(sizes[0], sizes[-1]), ["input"]
    for k, values in enumerate(gains):
        nodes[f"affine{k + 1}"] = affine(rng, sizes[k + 1], sizes[k], bias)
        nodes[f"lif{k + 1}"] = neuron(sizes[k + 1], values)
        order += [f"affine{k + 1}", f"lif{k + 1}"]
    nodes["readout"] = affine(rng, sizes[-1], sizes[-2], bias)
    return graph_of(path, nodes, chain(*order, "readout", "output"), **words)


def stimulus(rng, shape, steps=12, samples=15):
    return rng.uniform(0, 1, (steps, samples, *np.atleast_1d(shape)))


def literal(path, x, gains=None, **words):
    """Run a file literally; ``gains`` replace those in its metadata."""
    graph = literal_graph.load(path)
    for name, values in (gains or {}).items():
        graph.nodes[name]["metadata"]["dlif_gain"]["values"] = values
    words = {**PLAIN, **words}
    words.pop("steps")
    return literal_graph.run(graph, x, words)


def neurons(path):
    graph = literal_graph.load(path)
    return [n for n, node in graph.nodes.items() if node["type"] in literal_graph.SPIKING]


def used_gains(path):
    """Return what a portable file says its gains are."""
    with h5py.File(path) as file:
        entries = file["node/metadata/neurodeploy_gain/nodes"]
        return {
            name: entry["mantissas"][()] * 2.0 ** -entry["exponent"][()]
            if "mantissas" in entry
            else entry["values"][()]
            for name, entry in entries.items()
        }
