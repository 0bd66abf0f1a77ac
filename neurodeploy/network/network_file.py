"""NET.h5: a fixed-point network in one HDF5 file with a schema number and a content hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, NeurodeployError
from neurodeploy.files import content_hash, replacing
from neurodeploy.hdf5_scan import scan_hdf5
from neurodeploy.network.encoding import ConstantEncoder, Readout
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation, FixedSynapse
from neurodeploy.network.network_header import checked_header

NETWORK_SCHEMA = 1
#: Largest sum of declared array sizes that is read, in bytes.
MAX_BYTES = 2**31
_KIND = "neurodeploy fixed-point network"
_TEXTS = ("header", "profile", "nir_file")
_POPULATION_ARRAYS = ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init")


def network_hash(net: FixedPointNetwork) -> str:
    """Return the content hash (SHA-256, hexadecimal) of everything NET.h5 stores."""
    return content_hash(_arrays(net))


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
                raise FileFormatError(f"{path}: is not a NET.h5 of neurodeploy")
            if int(file.attrs["schema"]) != NETWORK_SCHEMA:
                raise FileFormatError(
                    f"{path}: network schema {file.attrs['schema']}; "
                    f"this version reads {NETWORK_SCHEMA}"
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
    except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:
        raise FileFormatError(f"{path}: cannot be read as a NET.h5: {error}") from error


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
        "encoder": net.encoder.as_dict(),
        "readout": net.readout.as_dict(),
        "steps": net.steps,
        "contract": dict(net.contract),
        "calibration": list(net.calibration),
        "populations": [
            {
                "name": p.name,
                "nir_nodes": list(p.nir_nodes),
                "kind": p.kind,
                "bias_exp": p.bias_exp,
                "latency": p.latency,
                "scale": p.scale,
                "origin": p.origin,
                "gain_shift": p.gain_shift,
            }
            for p in net.populations
        ],
        "synapses": [
            {
                "name": s.name,
                "source": s.source,
                "target": s.target,
                "weight_exp": s.weight_exp,
                "sign_mode": s.sign_mode,
                "weight_bits": s.weight_bits,
                "message_bits": s.message_bits,
            }
            for s in net.synapses
        ],
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
    for index, synapse in enumerate(net.synapses):
        arrays[f"synapses/{index}/weight"] = synapse.weight
    return arrays


def _network(arrays: dict[str, NDArray[Any]]) -> FixedPointNetwork:
    for name, array in arrays.items():
        stored_text = name in _TEXTS
        if array.dtype.kind not in "iu" or (stored_text and array.dtype != np.uint8):
            raise ValueError(
                f"{name} holds {array.dtype}, needs {'bytes' if stored_text else 'int32'}"
            )
    header = checked_header(json.loads(arrays["header"].tobytes()))
    populations = []
    for index, entry in enumerate(header["populations"]):
        fields: dict[str, Any] = {
            name: arrays[f"populations/{index}/{name}"] for name in _POPULATION_ARRAYS
        }
        gain = arrays.get(f"populations/{index}/gain")
        entry["nir_nodes"] = tuple(entry["nir_nodes"])
        populations.append(FixedPopulation(**entry, **fields, gain=gain))
    synapses = [
        FixedSynapse(**entry, weight=arrays[f"synapses/{index}/weight"])
        for index, entry in enumerate(header["synapses"])
    ]
    encoder = {key: value for key, value in header["encoder"].items() if key != "kind"}
    return FixedPointNetwork(
        populations=tuple(populations),
        synapses=tuple(synapses),
        n_input=header["n_input"],
        encoder=ConstantEncoder(**encoder),
        readout=Readout(**header["readout"]),
        steps=header["steps"],
        contract=header["contract"],
        profile=arrays["profile"].tobytes().decode(),
        nir_file=arrays["nir_file"].tobytes(),
        calibration=tuple(header["calibration"]),
    )
