"""NET.h5: a fixed-point network in one HDF5 file with a schema number and a content hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, NeurodeployError
from neurodeploy.file_kind import wrong_file
from neurodeploy.files import content_hash, replacing
from neurodeploy.hdf5_scan import scan_hdf5
from neurodeploy.network.encoding import Readout
from neurodeploy.network.fixed import (
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    SparseLayout,
)
from neurodeploy.network.network_header import checked_header
from neurodeploy.network.spike_encoders import encoder_from

NETWORK_SCHEMA = 2
#: Largest sum of declared array sizes that is read, in bytes.
MAX_BYTES = 2**31
_KIND = "neurodeploy fixed-point network"
_TEXTS = ("header", "profile", "nir_file")
_POPULATION_ARRAYS = ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init", "origin")
_POPULATION_VALUES = (
    "name",
    "kind",
    "bias_exp",
    "latency",
    "scale",
    "gain_shift",
    "reset",
    "refractory_steps",
    "reset_interval",
    "reset_offset",
)
_SYNAPSE_VALUES = (
    "name",
    "source",
    "target",
    "weight_exp",
    "sign_mode",
    "weight_bits",
    "message_bits",
)
#: What the header holds beside integers, of the network and of each population.
_BESIDE = ("contract", "calibration")
_BESIDE_POPULATIONS = ("scale", "nir_nodes")
_FLOATS = ("/origin", "/scale")
_CONV_TUPLES = ("stride", "padding", "dilation", "input_shape", "output_shape")

_WANTED = "a NET.h5 of neurodeploy"
_REMEDY = "neurodeploy quantize makes one from a .nir file"


def network_hash(net: FixedPointNetwork) -> str:
    """Return the content hash (SHA-256, hexadecimal) of everything NET.h5 stores."""
    return content_hash(_arrays(net))


def integers_hash(net: FixedPointNetwork) -> str:
    """Return a hash (SHA-256, hexadecimal) of what decides every integer of a run, and no more.

    That is populations, synapses, encoder, read-out and steps. Two networks with one hash compute
    the same integers from the same codes, whatever profile, NIR file, calibration samples or
    membrane units stand beside them; origins count where the read-out adds them (see
    ``FixedPointNetwork.score_offset``).
    """
    arrays = _arrays(net)
    header = json.loads(arrays.pop("header").tobytes())
    for name in _BESIDE:
        header.pop(name)
    for entry in header["populations"]:
        for name in _BESIDE_POPULATIONS:
            entry.pop(name)
    kept = {
        name: array
        for name, array in arrays.items()
        if name not in _TEXTS and not name.endswith(_FLOATS)
    }
    return content_hash({**kept, "header": _text(header), "score_offset": net.score_offset})


def save_network(net: FixedPointNetwork, path: str | Path) -> str:
    """Write ``net`` to ``path``, whole or not at all, and return its content hash."""
    arrays = _arrays(net)
    digest = content_hash(arrays)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"] = _KIND
        file.attrs["schema"] = NETWORK_SCHEMA
        file.attrs["content_hash"] = digest
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return digest


def load_network(path: str | Path) -> FixedPointNetwork:
    """Read a network and check its content hash.

    Raises
    ------
    FileFormatError
        If the file is of another kind or schema, damaged, or changed after it was written.
    """
    try:
        with h5py.File(path, "r") as file:
            scan_hdf5(file, str(path), MAX_BYTES)
            if file.attrs.get("kind") != _KIND:
                raise wrong_file(path, _WANTED, _REMEDY)
            if int(file.attrs["schema"]) != NETWORK_SCHEMA:
                raise FileFormatError(
                    f"{path}: network schema {file.attrs['schema']}; "
                    f"this version reads {NETWORK_SCHEMA}; quantise the model again"
                )
            arrays = {name: np.asarray(file[name][()]) for name in _dataset_names(file)}
            digest = content_hash(arrays)
            if digest != file.attrs["content_hash"]:
                raise FileFormatError(
                    f"{path}: content hash {digest[:12]}... differs from the stored "
                    f"{str(file.attrs['content_hash'])[:12]}...: the file was changed or damaged"
                )
        return _network(arrays)
    except NeurodeployError:
        raise
    except OSError as error:
        # What HDF5 says is no help to anybody.
        raise wrong_file(path, _WANTED, _REMEDY) from error
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise FileFormatError(f"{path}: cannot be read as a NET.h5: {error}; {_REMEDY}") from error


def _dataset_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return names


def _text(document: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(document, sort_keys=True).encode(), dtype=np.uint8)


def _arrays(net: FixedPointNetwork) -> dict[str, NDArray[Any]]:
    header = {
        "n_input": net.n_input,
        "input_shape": list(net.input_shape),
        "encoder": net.encoder.as_dict(),
        "readout": net.readout.as_dict(),
        "steps": net.steps,
        "contract": dict(net.contract),
        "calibration": list(net.calibration),
        "populations": [_population_header(p) for p in net.populations],
        "synapses": [_synapse_header(s) for s in net.synapses],
    }
    arrays: dict[str, NDArray[Any]] = {
        "header": _text(header),
        "profile": np.frombuffer(net.profile.encode(), dtype=np.uint8),
        "nir_file": np.frombuffer(net.nir_file, dtype=np.uint8),
    }
    for index, population in enumerate(net.populations):
        for field in _POPULATION_ARRAYS:
            arrays[f"populations/{index}/{field}"] = getattr(population, field)
        if population.gain is not None:
            arrays[f"populations/{index}/gain"] = population.gain
        if not isinstance(population.scale, float):
            arrays[f"populations/{index}/scale"] = population.scale
    for index, synapse in enumerate(net.synapses):
        where = f"synapses/{index}"
        arrays[f"{where}/weight"] = synapse.weight
        if not isinstance(synapse.delay, int):
            arrays[f"{where}/delay"] = synapse.delay
        if isinstance(synapse.layout, SparseLayout):
            arrays[f"{where}/indptr"] = synapse.layout.indptr
            arrays[f"{where}/indices"] = synapse.layout.indices
    return arrays


def _population_header(p: FixedPopulation) -> dict[str, Any]:
    entry = {name: getattr(p, name) for name in _POPULATION_VALUES}
    # One per neuron is an array of its own.
    entry["scale"] = p.scale if isinstance(p.scale, float) else None
    # Left out where it says nothing, as in files that are older than it.
    form = {"gain_form": p.gain_form} if p.is_graded else {}
    return {**entry, **form, "nir_nodes": list(p.nir_nodes), "shape": list(p.shape)}


def _synapse_header(s: FixedSynapse) -> dict[str, Any]:
    layout: dict[str, Any] | None = None
    if isinstance(s.layout, SparseLayout):
        layout = {"kind": "sparse", "n_source": s.layout.n_source}
    elif isinstance(s.layout, ConvLayout):
        layout = {"kind": "conv", "groups": s.layout.groups}
        layout |= {name: list(getattr(s.layout, name)) for name in _CONV_TUPLES}
    delay = s.delay if isinstance(s.delay, int) else None
    entry = {name: getattr(s, name) for name in _SYNAPSE_VALUES}
    return {**entry, "delay": delay, "layout": layout}


def _network(arrays: dict[str, NDArray[Any]]) -> FixedPointNetwork:
    for name, array in arrays.items():
        kinds = "f" if name.endswith(_FLOATS) else "iu"
        stored_text = name in _TEXTS
        if array.dtype.kind not in kinds or (stored_text and array.dtype != np.uint8):
            needed = "bytes" if stored_text else "float64" if kinds == "f" else "int32"
            raise ValueError(f"{name} holds {array.dtype}, needs {needed}")
    header = checked_header(json.loads(arrays["header"].tobytes()))
    populations = []
    for index, entry in enumerate(header["populations"]):
        fields: dict[str, Any] = {
            name: arrays[f"populations/{index}/{name}"] for name in _POPULATION_ARRAYS
        }
        gain = arrays.get(f"populations/{index}/gain")
        if entry["scale"] is None:
            entry["scale"] = arrays[f"populations/{index}/scale"]
        entry["nir_nodes"], entry["shape"] = tuple(entry["nir_nodes"]), tuple(entry["shape"])
        populations.append(FixedPopulation(**entry, **fields, gain=gain))
    readout = dict(header["readout"])
    if "window" in readout:
        readout["window"] = tuple(readout["window"])
    return FixedPointNetwork(
        populations=tuple(populations),
        synapses=tuple(_synapse(arrays, i, e) for i, e in enumerate(header["synapses"])),
        n_input=header["n_input"],
        input_shape=tuple(header["input_shape"]),
        encoder=encoder_from(header["encoder"]),
        readout=Readout(**readout),
        steps=header["steps"],
        contract=header["contract"],
        profile=arrays["profile"].tobytes().decode(),
        nir_file=arrays["nir_file"].tobytes(),
        calibration=tuple(header["calibration"]),
    )


def _synapse(arrays: dict[str, NDArray[Any]], index: int, entry: dict[str, Any]) -> FixedSynapse:
    where = f"synapses/{index}"
    stored = entry["layout"]
    layout: SparseLayout | ConvLayout | None = None
    if stored is not None and stored["kind"] == "sparse":
        rows = arrays[f"{where}/indptr"], arrays[f"{where}/indices"]
        layout = SparseLayout(*rows, n_source=stored["n_source"])
    elif stored is not None:
        shapes = {name: tuple(stored[name]) for name in _CONV_TUPLES}
        layout = ConvLayout(**shapes, groups=stored["groups"])
    delay = arrays[f"{where}/delay"] if entry["delay"] is None else entry["delay"]
    values = {name: entry[name] for name in _SYNAPSE_VALUES}
    return FixedSynapse(**values, weight=arrays[f"{where}/weight"], delay=delay, layout=layout)
