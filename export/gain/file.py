"""Writing flat node types to a NIR file, laid out as nir 1.0.8 lays it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from neurodeploy.export.gain.portable import PortableGain
from neurodeploy.graph.nodes import Conv1d, Node


def write_graph(path: str | Path, portable: PortableGain) -> None:
    """Write the graph. Use ``write_portable_gain``, which proves it first.

    Source of the layout: ``nir.serialization`` of nir 1.0.8 (its writer fails on 0-d arrays, its
    node types on convolutions whose kernel is not square).
    """
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data=nir.version, dtype=h5py.string_dtype())
        root = file.create_group("node")
        _put(root, "type", "NIRGraph")
        nodes = root.create_group("nodes")
        for name, node in portable.nodes.items():
            _put_node(nodes.create_group(name), node)
        edges = np.array(portable.edges, dtype=h5py.string_dtype())
        root.create_dataset("edges", data=edges.reshape(-1, 2))
        _put(root, "metadata", portable.metadata)


def _put_node(group: h5py.Group, node: Node) -> None:
    _put(group, "type", type(node).__name__)
    for field in fields(node):
        value: Any = getattr(node, field.name)
        if isinstance(node, Conv1d) and isinstance(value, tuple):
            value = value[0]  # One number, not a pair of axes.
        if value is not None and not (field.name == "metadata" and not value):
            _put(group, field.name, value)


def _put(group: h5py.Group, key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        inner = group.create_group(key)
        for name, entry in value.items():
            _put(inner, name, entry)
    elif isinstance(value, str):
        group.create_dataset(key, data=value, dtype=h5py.string_dtype())
    else:
        array = np.asarray(value)
        packed = {"compression": "gzip"} if array.ndim and array.size else {}
        group.create_dataset(key, data=array, **packed)
