"""Reading NIR files without trusting them: structure and sizes are checked before any allocation.

``nir.read`` follows links out of the file and allocates whatever size is declared; this reader
does neither (see the pre-scan), and it reports the node and field of what it refuses.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurodeploy.errors import FileFormatError, InputError, UnsupportedNodeError
from neurodeploy.graph.nodes import NODE_TYPES, Node
from neurodeploy.hdf5_scan import scan_hdf5

#: Largest sum of declared array sizes that is read, in bytes.
MAX_BYTES = 2**31


def read_nir_file(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Node], list[tuple[str, str]], dict[str, Any], bytes]:
    """Return nodes, edges, graph metadata and the file's bytes.

    Raises
    ------
    InputError
        If the file does not exist.
    FileFormatError
        If it is not a NIR file, holds links, or declares more than ``max_bytes``.
    UnsupportedNodeError
        For node types this version cannot run; all of them are named.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = path.read_bytes()
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            scan_hdf5(file, str(path), max_bytes)
            root = _group(file, "node", str(path))
            nodes = _read_nodes(root, str(path))
            edges = _read_edges(root, str(path))
            metadata = _read_tree(root["metadata"]) if "metadata" in root else {}
    except (FileFormatError, UnsupportedNodeError):
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise FileFormatError(f"{path}: is not a readable NIR (HDF5) file: {error}") from error
    return nodes, edges, metadata, content


def _group(parent: h5py.Group, name: str, where: str) -> h5py.Group:
    item = parent.get(name)
    if not isinstance(item, h5py.Group):
        raise FileFormatError(f"{where}: has no group {name!r}; it is not a NIR file")
    return item


def _read_nodes(root: h5py.Group, where: str) -> dict[str, Node]:
    group = _group(root, "nodes", where)
    types = {name: _text(group[name]["type"][()]) for name in group}
    unknown = {name: kind for name, kind in types.items() if kind not in NODE_TYPES}
    if unknown:
        listed = ", ".join(f"{name!r} ({kind})" for name, kind in sorted(unknown.items()))
        raise UnsupportedNodeError(
            f"{where}: nodes not supported yet: {listed}; supported: {', '.join(NODE_TYPES)}"
        )
    return {name: _read_node(group[name], name, kind, where) for name, kind in types.items()}


def _read_node(group: h5py.Group, name: str, kind: str, where: str) -> Node:
    node_type, required, optional = NODE_TYPES[kind]
    missing = [key for key in required if key not in group]
    unknown = [key for key in group if key not in (*required, *optional, "type", "metadata")]
    if missing or unknown:
        raise FileFormatError(
            f"{where}: node {name!r} ({kind}): missing {missing or 'nothing'}, "
            f"unknown {unknown or 'nothing'}; {kind} has {', '.join((*required, *optional))}"
        )
    values: dict[str, Any] = {
        key: _numbers(group[key], f"{where}: node {name!r}: {key}")
        for key in (*required, *optional)
        if key in group
    }
    if "shape" in values:
        values["shape"] = tuple(int(extent) for extent in np.atleast_1d(values["shape"]))
    if kind == "LIF" and "v_reset" not in values:
        values["v_reset"] = np.zeros_like(values["v_threshold"])
    metadata = _read_tree(group["metadata"]) if "metadata" in group else {}
    node: Node = node_type(**values, metadata=metadata)
    return node


def _numbers(item: Any, where: str) -> np.ndarray[Any, Any]:
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        raise FileFormatError(f"{where}: must be a numeric array")
    return np.asarray(item[()])


def _read_edges(root: h5py.Group, where: str) -> list[tuple[str, str]]:
    item = root.get("edges")
    if not isinstance(item, h5py.Dataset) or (item.size and item.shape[1:] != (2,)):
        raise FileFormatError(f"{where}: edges must be an N x 2 array of node names")
    if not item.size:
        return []
    return [(_text(source), _text(target)) for source, target in item[()]]


def _read_tree(item: Any) -> Any:
    if isinstance(item, h5py.Group):
        return {key: _read_tree(item[key]) for key in item}
    value = item[()]
    if isinstance(value, (bytes, str)):
        return _text(value)
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def metadata_of(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the dictionary under ``key``, empty if there is none."""
    value = tree.get(key, {})
    if not isinstance(value, Mapping):
        raise FileFormatError(f"metadata {key!r} must be a dictionary, is {type(value).__name__}")
    return value
