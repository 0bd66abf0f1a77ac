"""Small NIR graphs of every kind that repair has to do with, and samples for them."""

import nir
import numpy as np

from neurodeploy.graph import PLAIN_NIR_EULER
from neurodeploy.network import Samples

STEPS, DT_S = 6, 1e-3
KINDS = ("dlif", "conv", "recurrent", "cuba", "conv1d", "delayed", "pooled", "subtract")


def neuron(rng, shape, kind="lif", steps=STEPS):
    ones = np.ones(shape)
    threshold = rng.uniform(0.6, 1.4, shape)
    if kind == "cuba":
        return nir.CubaLIF(
            tau_syn=2e-3 * ones, tau_mem=4e-3 * ones, r=3 * ones, v_leak=0 * ones,
            v_threshold=threshold, v_reset=0 * ones, w_in=ones,
        )  # fmt: skip
    made = nir.LIF(
        tau=3e-3 * ones, r=3 * ones, v_leak=rng.normal(0, 0.05, shape), v_threshold=threshold,
        v_reset=0 * ones,
    )  # fmt: skip
    if kind == "dlif":
        made.v_leak = 0 * ones
        made.metadata = {"dlif_gain": {"values": rng.uniform(0.5, 2, steps), "after": "last"}}
    return made


def affine(rng, n_out, n_in):
    return nir.Affine(rng.normal(0, 1.2 / np.sqrt(n_in), (n_out, n_in)), rng.normal(0, 0.1, n_out))


def convolution(rng, c_out, c_in, size):
    return nir.Conv2d(
        input_shape=(size, size), weight=rng.normal(0, 0.5, (c_out, c_in, 3, 3)), stride=1,
        padding=1, dilation=1, groups=1, bias=rng.normal(0, 0.1, c_out),
    )  # fmt: skip


def write_graph(path, kind, seed=0):
    """Write a network of 16 inputs (or an image of them) and 3 classes; return the input's shape."""
    rng = np.random.default_rng(seed)
    shape = {"conv": (1, 4, 4), "pooled": (1, 4, 4), "conv1d": (2, 8)}.get(kind, (16,))
    nodes = {"input": nir.Input({"input": np.array(shape)})}
    edges, hidden = [], 12
    first = kind if kind in ("dlif", "cuba") else "lif"
    if kind in ("conv", "pooled"):
        size, hidden = 4, 32
        nodes["conv"] = convolution(rng, 2, 1, size)
        nodes["a"] = neuron(rng, (2, 4, 4))
        if kind == "pooled":
            nodes["pool"] = nir.SumPool2d((2, 2), (2, 2), (0, 0))
            nodes["conv2"] = convolution(rng, 2, 2, 2)
            nodes["b"] = neuron(rng, (2, 2, 2))
            hidden = 8
        nodes["flatten"] = nir.Flatten({"input": np.array((2, size, size))}, 0, -1)
        if kind == "pooled":
            nodes["flatten"] = nir.Flatten({"input": np.array((2, 2, 2))}, 0, -1)
    elif kind == "conv1d":
        nodes["conv"] = nir.Conv1d(
            8, rng.normal(0, 0.5, (3, 2, 3)), 1, 1, 1, 1, rng.normal(0, 0.1, 3)
        )
        nodes["a"], hidden = neuron(rng, (3, 8)), 24
        nodes["flatten"] = nir.Flatten({"input": np.array((3, 8))}, 0, -1)
    else:
        nodes["affine"] = affine(rng, hidden, 16)
        nodes["a"] = neuron(rng, (hidden,), first)
    names = list(nodes)
    nodes["out"], nodes["read"] = affine(rng, 3, hidden), neuron(rng, (3,), first)
    nodes["output"] = nir.Output({"output": np.array([3])})
    names += ["out", "read", "output"]
    edges = list(zip(names, names[1:], strict=False))
    if kind in ("recurrent", "cuba"):
        nodes["back"] = nir.Linear(rng.normal(0, 0.2, (hidden, hidden)))
        edges += [("a", "back"), ("back", "a")]
    if kind == "delayed":
        nodes["late"] = nir.Delay(np.full(16, 2 * DT_S))
        nodes["skip"] = nir.Linear(rng.normal(0, 0.3, (3, 16)))
        edges += [("input", "late"), ("late", "skip"), ("skip", "read")]
    contract = PLAIN_NIR_EULER.as_metadata()
    contract |= {"dt": DT_S, "steps": STEPS, "readout": {"node": "read", "kind": "count"}}
    contract |= {"encoder": {"kind": "constant", "low": 0.0, "high": 1.0, "bits": 8}}
    if kind == "subtract":
        contract["reset"] = "subtract"
    nir.write(
        path, nir.NIRGraph(nodes, edges, metadata={"neurodeploy": contract}, type_check=False)
    )
    return shape


def samples_of(shape, seed=1, count=60):
    rng = np.random.default_rng(seed)
    return Samples(rng.random((count, *shape)), rng.integers(0, 3, count))
