"""Writes network files as SLAYER's ``export_hdf5`` does (lava-dl 0.6.0). numpy and h5py only."""

import h5py
import numpy as np

CUBA = {"iDecay": 1024, "vDecay": 512, "vThMant": 40, "refDelay": 1}


def neuron(kind="LOIHI", **fields):
    """Return the datasets of a neuron group, with what SLAYER writes beside the registers."""
    extra = {"wgtExp": 0, "theta": 1600, "scaleRho": 1.0, "tauRho": 0.5}
    return {"type": kind, **CUBA, **extra, **fields}


def input_layer(shape, cell=None, **fields):
    return {"type": "input", "shape": np.array(shape), "neuron": cell, **fields}


def flatten(size):
    return {"type": "flatten", "shape": np.array([1, 1, size]), "neuron": None}


def dense(weight, cell="default", **fields):
    outputs, inputs = np.shape(weight)
    return {
        "type": "dense",
        "shape": np.array([outputs, 1, 1]),
        "inFeatures": inputs,
        "outFeatures": outputs,
        "weight": np.asarray(weight, np.float32),
        "neuron": neuron() if cell == "default" else cell,
        **fields,
    }


def recurrent(weight, weight_rec, cell="default", **fields):
    layer = dense(weight, cell, weight_rec=np.asarray(weight_rec, np.float32), **fields)
    return {**layer, "type": "dense_rec", "shape": np.array([np.shape(weight)[0]])}


def conv(weight, shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, cell=None, **f):
    """``weight`` [o, c, h, w], ``shape`` (C, H, W) of the output; SLAYER adds a time axis."""
    return {
        "type": "conv",
        "shape": np.array(shape),
        "kernelSize": np.array(np.shape(weight)[2:]),
        "weight": np.asarray(weight, np.float32)[..., None],
        "stride": np.array(stride),
        "padding": np.array(padding),
        "dilation": np.array(dilation),
        "groups": groups,
        "neuron": cell or neuron(),
        **f,
    }


def write(path, layers, steps=None):
    """Write ``layers`` (dictionaries of datasets) to ``path``; keys with a slash are nested."""
    with h5py.File(path, "w") as file:
        top = file.create_group("layer")
        for index, layer in enumerate(layers):
            group = top.create_group(str(index))
            for name, value in layer.items():
                if name == "type":
                    group.create_dataset("type", (1,), "S10", [value.encode("ascii")])
                elif name == "neuron":
                    for key, entry in (value or {}).items():
                        data = entry.encode("ascii") if key == "type" else entry
                        group.create_dataset(f"neuron/{key}", data=data)
                else:
                    group.create_dataset(name, data=value)
        if steps is not None:
            file["simulation/Ts"], file["simulation/tSample"] = 1, steps
    return path
