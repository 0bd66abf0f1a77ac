"""NIR files written with h5py alone, so that a test can write what nir would refuse."""

import h5py
import numpy as np

VERSION = "1.0.8"


def lif(n=2, shape=None, **changes):
    """The fields of a LIF node; a change to None leaves the field out."""
    shape = (n,) if shape is None else shape
    fields = {
        "type": "LIF", "tau": np.full(shape, 0.01), "r": np.full(shape, 10.0),
        "v_leak": np.zeros(shape), "v_threshold": np.ones(shape), "v_reset": np.zeros(shape),
    }  # fmt: skip
    return {k: v for k, v in {**fields, **changes}.items() if v is not None}


def affine(n_out=2, n_in=3, **changes):
    fields = {"type": "Affine", "weight": np.ones((n_out, n_in)), "bias": np.zeros(n_out)}
    return {**fields, **changes}


def conv(weight, **changes):
    fields = {
        "type": "Conv2d", "weight": weight, "bias": np.zeros(weight.shape[0]), "stride": [1, 1],
        "padding": [0, 0], "dilation": [1, 1], "groups": 1,
    }  # fmt: skip
    return {**fields, **changes}


def end(kind, *shape):
    return {"type": kind, "shape": np.array(shape, dtype=np.int64)}


def chain(*layers, n_in=(3,), n_out=(2,)):
    """Nodes input, n0, n1, .., output one after the other."""
    nodes = {"input": end("Input", *n_in)}
    nodes |= {f"n{i}": layer for i, layer in enumerate(layers)}
    nodes["output"] = end("Output", *n_out)
    names = list(nodes)
    return nodes, list(zip(names, names[1:], strict=False))


def nested(nodes, edges):
    """The fields of a NIRGraph node."""
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}


def write_nir(path, nodes, edges, metadata=None, version=VERSION, **keywords):
    """Write a file; ``keywords`` go to every array's create_dataset."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file["version"] = version
        root = {**nested(nodes, edges), "metadata": metadata or {}}
        _write(file.create_group("node"), root, keywords)
    return path


def write_chain(path, *layers, n_in=(3,), n_out=(2,), **keywords):
    return write_nir(path, *chain(*layers, n_in=n_in, n_out=n_out), **keywords)


def _write(group, fields, keywords):
    # Not recursive: some tests nest deeper than Python's stack.
    pending = [(group, fields)]
    while pending:
        here, values = pending.pop()
        for key, value in values.items():
            if isinstance(value, dict):
                if value or key != "metadata":
                    pending.append((here.create_group(key), value))
            elif key == "edges":
                here["edges"] = np.array(value, dtype=object).reshape(-1, 2).astype("S")
            elif isinstance(value, np.ndarray) and value.ndim and value.size:
                here.create_dataset(key, data=value, **keywords)
            else:
                here[key] = value
