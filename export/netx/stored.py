"""What a NetX file holds: one group per layer, read without trusting the file.

Layout (lava-dl 0.6.0, ``netx/hdf5.py`` and ``slayer/block/base.py``): group ``layer`` with the
sub-groups ``0``, ``1``, ...; in each the datasets of one layer and a group ``neuron``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, NeurodeployError
from neurodeploy.file_kind import wrong_file
from neurodeploy.hdf5_scan import StoredArray, StoredGroup, scan_hdf5

#: Largest sum of declared array sizes that is read, in bytes.
MAX_BYTES = 2**31
#: Datasets of a layer that NetX reads; others describe the training and are left alone.
_NUMBERS = (
    "shape",
    "weight",
    "weight_rec",
    "bias",
    "delay",
    "stride",
    "padding",
    "dilation",
    "groups",
    "neuron/vThMant",
    "neuron/iDecay",
    "neuron/vDecay",
    "neuron/refDelay",
)
_MAX_TYPE_CHARACTERS = 64


@dataclass(frozen=True, slots=True, eq=False)
class StoredLayer:
    """The datasets of one layer, as the file holds them.

    Parameters
    ----------
    index : int
        Number of its group.
    where : str
        File and layer for messages.
    kind : str
        Text of ``type``.
    numbers : mapping
        Arrays by their path below the layer, e.g. ``weight`` or ``neuron/vThMant``; NaN and
        infinity are refused.
    neuron_kind : str or None
        Text of ``neuron/type``; None without a group ``neuron``.
    present : frozenset of str
        Every name below the layer, those that are not read included.
    """

    index: int
    where: str
    kind: str
    numbers: Mapping[str, NDArray[Any]]
    neuron_kind: str | None
    present: frozenset[str]

    def need(self, name: str) -> NDArray[Any]:
        """Return an array; FileFormatError where the layer has none of that name."""
        if name not in self.numbers:
            raise FileFormatError(
                f"{self.where}: a layer of type {self.kind!r} needs the dataset {name!r}; "
                f"there are: {', '.join(sorted(self.present))[:300]}"
            )
        return self.numbers[name]


@dataclass(frozen=True, slots=True, eq=False)
class StoredNetwork:
    """All layers of a file, and the steps per sample that it says (``simulation/tSample``)."""

    layers: tuple[StoredLayer, ...]
    sample_steps: int | None


def read_stored(path: str | Path) -> StoredNetwork:
    """Read a NetX file.

    Raises
    ------
    FileFormatError
        If the file is absent, damaged or of another kind, links elsewhere, declares more than
        ``MAX_BYTES``, lacks a layer, or holds another type where numbers or text belong.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            tree = scan_hdf5(file, str(path), MAX_BYTES)
            layers = [
                _layer(file, group, index, f"{path}: layer {index}")
                for index, group in enumerate(_groups(tree, str(path)))
            ]
            return StoredNetwork(tuple(layers), _sample_steps(file, tree, str(path)))
    except NeurodeployError:
        raise
    except OSError as error:
        raise wrong_file(path, "a NetX file", "give a .net file of lava-dl") from error
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise FileFormatError(f"{path}: cannot be read as a NetX file: {error}") from error


def _groups(tree: StoredGroup, where: str) -> list[StoredGroup]:
    """Return the layers' groups in order; they are numbered from 0 without a gap."""
    top = tree.members.get("layer")
    if not isinstance(top, StoredGroup) or not top.members:
        raise FileFormatError(f"{where}: has no group 'layer' with layers; not a NetX file")
    groups = []
    for index in range(len(top.members)):
        group = top.members.get(str(index))
        if not isinstance(group, StoredGroup):
            raise FileFormatError(
                f"{where}: layers must be groups 0 to {len(top.members) - 1}; group {index} is "
                f"missing among {', '.join(sorted(top.members))[:200]}"
            )
        groups.append(group)
    return groups


def _layer(file: h5py.File, group: StoredGroup, index: int, where: str) -> StoredLayer:
    members = dict(group.members)
    neuron = members.pop("neuron", None)
    if neuron is not None and not isinstance(neuron, StoredGroup):
        raise FileFormatError(f"{where}: 'neuron' is a dataset; it must be a group")
    if neuron is not None:
        members |= {f"neuron/{name}": item for name, item in neuron.members.items()}
    numbers = {
        name: _numbers(file, members[name], f"{where}: {name}")
        for name in _NUMBERS
        # A complex weight is a group; it is reported with the other unsupported things.
        if name in members and not (name == "weight" and isinstance(members[name], StoredGroup))
    }
    kind = _text(file, members.get("type"), f"{where}: type")
    neuron_kind = None
    if neuron is not None:
        neuron_kind = _text(file, neuron.members.get("type"), f"{where}: neuron/type")
    names = {
        f"{name}/{inner}"
        for name, item in members.items()
        if isinstance(item, StoredGroup)
        for inner in item.members
    }
    return StoredLayer(index, where, kind, numbers, neuron_kind, frozenset(members) | names)


def _numbers(file: h5py.File, item: StoredGroup | StoredArray, where: str) -> NDArray[Any]:
    array = _dataset(item, where)
    if array.kind not in ("number", "bool"):
        raise FileFormatError(f"{where}: holds {array.type_name} values, needs numbers")
    if 0 in (array.shape or ()):
        raise FileFormatError(f"{where}: has shape {array.shape}, so no value at all")
    if not array.is_written:
        raise FileFormatError(f"{where}: declares {array.shape} values but stores none")
    values = np.asarray(file[array.path][()])
    if not np.isfinite(values).all():
        raise FileFormatError(f"{where}: holds NaN or infinity")
    return values


def _dataset(item: StoredGroup | StoredArray | None, where: str) -> StoredArray:
    if not isinstance(item, StoredArray):
        found = "missing" if item is None else "a group"
        raise FileFormatError(f"{where}: is {found}; a dataset is needed")
    if item.shape is None:
        raise FileFormatError(f"{where}: has no dataspace, so no value at all")
    return item


def _text(file: h5py.File, item: StoredGroup | StoredArray | None, where: str) -> str:
    """Return a text of one element, whole or as the first of an array (SLAYER writes both)."""
    array = _dataset(item, where)
    if array.kind != "text" or array.shape not in ((), (1,)):
        raise FileFormatError(
            f"{where}: holds {array.type_name} of shape {array.shape}, needs one text"
        )
    value = np.asarray(file[array.path][()]).reshape(-1)[0]
    text = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_TYPE_CHARACTERS:
        raise FileFormatError(f"{where}: is a text of {len(text)} characters, no type's name")
    return text


def _sample_steps(file: h5py.File, tree: StoredGroup, where: str) -> int | None:
    simulation = tree.members.get("simulation")
    item = simulation.members.get("tSample") if isinstance(simulation, StoredGroup) else None
    if not isinstance(item, StoredArray):
        return None
    values = _numbers(file, item, f"{where}: simulation/tSample")
    steps = int(values.reshape(-1)[0])
    return steps if values.size == 1 and steps >= 1 else None
