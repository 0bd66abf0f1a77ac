"""A graph in memory as the bytes of a NIR file, in the layout of NIR 1.0.8.

``nir.write`` fails on arrays without axes and on None; both have a place here: a scalar dataset,
and no dataset.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from neurodeploy.errors import InputError
from neurodeploy.graph.nodes import NODE_TYPES
from neurodeploy.graph.raw import BROKEN, RawGraph, RawNode

#: The file layout that is written.
LAYOUT_VERSION = "1.0.8"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectOrigin:
    """A graph that came from an object, or was repaired: its file is written on demand."""

    raw: RawGraph

    def content(self) -> bytes:
        """Return the graph as a NIR file."""
        return nir_bytes(self.raw)


def nir_bytes(raw: RawGraph) -> bytes:
    """Return ``raw`` as a NIR file; the same graph gives the same bytes.

    Raises
    ------
    InputError
        If a value has no place in HDF5.
    """
    buffer = io.BytesIO()
    text = h5py.string_dtype()
    with h5py.File(buffer, "w", track_order=False) as file:
        file.create_dataset("version", data=raw.version or LAYOUT_VERSION, dtype=text)
        groups = {"": file.create_group("node")}
        for name, scope in raw.scopes.items():
            group = groups[name]
            group.create_dataset("type", data="NIRGraph", dtype=text)
            nodes = group.create_group("nodes")
            for local, member in scope.members.items():
                inner = nodes.create_group(local)
                if isinstance(member, RawNode):
                    _write_node(inner, member)
                else:
                    groups[member] = inner
            edges = np.array(scope.edges, dtype=object).reshape(-1, 2)
            group.create_dataset("edges", data=edges, dtype=text)
            _write_metadata(group, scope.metadata, name)
    return buffer.getvalue()


def _write_node(group: h5py.Group, node: RawNode) -> None:
    group.create_dataset("type", data=node.kind, dtype=h5py.string_dtype())
    if node.kind not in NODE_TYPES:
        raise InputError(f"node {node.name!r}: {node.kind} cannot be written as NIR")
    for key, value in node.values.items():
        if value is not None and value is not BROKEN:
            _write_value(group, key, value, node.name)
    _write_metadata(group, node.metadata, node.name)


def _write_metadata(group: h5py.Group, metadata: Mapping[str, Any], name: str) -> None:
    if not metadata:
        return
    pending = [(group.create_group("metadata"), metadata)]
    while pending:
        here, values = pending.pop()
        for key, value in values.items():
            if isinstance(value, Mapping):
                pending.append((here.create_group(key), value))
            elif value is not None:
                _write_value(here, key, value, name)


def _write_value(group: h5py.Group, key: str, value: Any, name: str) -> None:
    try:
        if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "O"):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, np.ndarray) and value.ndim and value.size:
            group.create_dataset(key, data=value, compression="gzip")
        else:
            group.create_dataset(key, data=value)
    except (TypeError, ValueError) as error:
        raise InputError(f"node {name!r}: {key} cannot be written as NIR: {error}") from error
