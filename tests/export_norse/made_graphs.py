"""NIR graphs written out as dictionaries, read by neurodeploy and by the literal interpreter."""

import h5py
import numpy as np
from oracles import literal_graph
from oracles.random_graphs import write_tree

from neurodeploy.graph import Contract, read

DT = 1e-3


def tree(nodes, edges=None):
    """Return a graph with Input and Output in ``nodes``; by default all nodes in a row."""
    names = list(nodes)
    edges = list(zip(names, names[1:], strict=False)) if edges is None else edges
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}


def between(node, shape, shape_out=None, name="x"):
    """Return the graph input -> node -> output."""
    return tree({"input": door("Input", shape), name: node,
                 "output": door("Output", shape_out or shape)})  # fmt: skip


def door(kind, shape):
    return {"type": kind, "shape": np.array(shape)}


def load(made, folder, **words):
    """Write a tree to a file and read it."""
    path = folder / "graph.nir"
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.8"
        write_tree(file.create_group("node"), made)
    return read(path, Contract(**{"dt": DT, **words})).value


def literal(made, x, **words):
    """Return the literal interpreter's outputs of every node."""
    return literal_graph.run(literal_graph.from_tree(made), x, {"dt": DT, **words})


def neuron(kind, shape, rng, dt=DT, **fields):
    """Return a neuron with a different value everywhere, driven hard enough to fire."""

    def some(low, high):
        return rng.uniform(low, high, shape)

    node = {"type": kind}
    if kind in ("LI", "LIF"):
        node["tau"] = some(2, 12) * dt
        node["r"] = node["tau"] / dt * some(0.5, 1.5)
    elif kind in ("I", "IF"):
        node["r"] = some(0.5, 1.5) / dt
    else:
        node["tau_syn"], node["tau_mem"] = some(1.5, 6) * dt, some(2, 12) * dt
        node["w_in"] = node["tau_syn"] / dt * some(0.5, 1.5)
        node["r"] = node["tau_mem"] / dt * some(0.3, 1.0)
    if kind not in ("I", "IF"):
        node["v_leak"] = some(-0.3, 0.4)
    if kind in ("IF", "LIF", "CubaLIF"):
        node["v_threshold"] = some(0.6, 1.4)
        node["v_reset"] = some(-0.5, 0.3)
    return {**node, **fields}


def affine(n_in, n_out, rng, scale=1.2):
    weight = rng.uniform(-0.4, 1, (n_out, n_in)) * scale / np.sqrt(n_in)
    return {"type": "Affine", "weight": weight, "bias": rng.uniform(-0.1, 0.2, n_out)}


def spikes(rng, steps, batch, *shape, density=0.5):
    return (rng.random((steps, batch, *shape)) < density).astype(float)


def recurrent(kind, rng, n=5):
    """Return input -> affine -> neurons (with a matrix back to themselves) -> affine -> LI."""
    nodes = {
        "input": door("Input", (4,)),
        "fc": affine(4, n, rng),
        "hidden": neuron(kind, (n,), rng),
        "back": {**affine(n, n, rng, 0.8), "bias": rng.uniform(0.1, 0.5, n)},
        "read": affine(n, 3, rng),
        "out": neuron("LI", (3,), rng),
        "output": door("Output", (3,)),
    }
    edges = [("input", "fc"), ("fc", "hidden"), ("hidden", "back"), ("back", "hidden"),
             ("hidden", "read"), ("read", "out"), ("out", "output")]  # fmt: skip
    return tree(nodes, edges)


def differences(outputs, oracle, nodes):
    """Return the nodes whose spikes differ at all, or whose values differ by more than 1e-9."""
    wrong = []
    for name, output in outputs.items():
        got, want = output.detach().numpy(), oracle.outputs[name]
        if nodes[name]["type"] in (*literal_graph.SPIKING, "Threshold"):
            same = np.array_equal(got, want)
        else:
            same = np.allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max(initial=0))
        wrong += [] if same and got.shape == want.shape else [name]
    return wrong
