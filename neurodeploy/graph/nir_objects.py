"""Graphs that are already in memory as ``nir.NIRGraph``; torch tensors count as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from neurodeploy.errors import FileFormatError, InputError, UnsupportedNodeError
from neurodeploy.graph.finding_list import FindingList, node_at
from neurodeploy.graph.limits import ReadLimits
from neurodeploy.graph.nodes import NODE_TYPES
from neurodeploy.graph.raw import BROKEN, MAX_NAME, RawGraph, RawNode, RawScope, inner_name

#: Where nir keeps what a file calls ``shape`` and ``input_type``.
_TYPE_FIELDS = {("Input", "shape"): "input", ("Output", "shape"): "output"}
#: Deepest nesting of metadata dictionaries.
_METADATA_DEPTH = 16


def is_nir_graph(value: Any) -> bool:
    """Whether ``value`` is a graph of the ``nir`` package, without importing it."""
    return any(
        base.__name__ == "NIRGraph" and base.__module__.split(".")[0] == "nir"
        for base in type(value).__mro__
    )


def read_nir_object(graph: Any, limits: ReadLimits, findings: FindingList) -> RawGraph:
    """Return what a ``nir.NIRGraph`` holds; its arrays are copied.

    Raises
    ------
    InputError
        If it holds more nodes, or nests deeper, than ``limits``.
    """
    scopes: dict[str, RawScope] = {}
    pending = [("", graph, 0)]
    names: set[str] = set()
    count = 0
    while pending:
        name, scope, depth = pending.pop()
        if depth > limits.max_depth:
            raise InputError(
                f"graph: graphs nest deeper than {limits.max_depth}; "
                f"{limits.how_to_raise('max_depth')}"
            )
        members: dict[str, RawNode | str] = {}
        inner: list[tuple[str, Any, int]] = []
        for key, node in scope.nodes.items():
            count += 1
            if count > limits.max_nodes:
                raise InputError(
                    f"graph: more than {limits.max_nodes} nodes; {limits.how_to_raise('max_nodes')}"
                )
            local = str(key)
            flat = inner_name(name, local)
            _check_name(flat, local, findings)
            if not is_nir_graph(node):
                members[local] = _node(flat, node, findings)
                continue
            if flat in names:
                raise InputError(
                    f"graph: two nested graphs are called {flat!r} once they are flat; rename one"
                )
            names.add(flat)
            members[local] = flat
            inner.append((flat, node, depth + 1))
        edges = _edges(scope, name, findings)
        metadata = _metadata(scope, name, findings)
        scopes[name] = RawScope(name, members, edges or (), metadata, edges is not None)
        pending += reversed(inner)
    return RawGraph(scopes)


def _check_name(flat: str, local: str, findings: FindingList) -> None:
    """Name what no file could hold, by the rules of the file reader."""
    where = node_at(flat[:MAX_NAME])
    if len(local) > MAX_NAME or not local.isprintable():
        text = f"its name has {len(local)} characters or unprintable ones"
        findings.error(where, text, f"use at most {MAX_NAME} printable characters")
    elif not all(local.split("/")):
        text = "its name is empty, or begins or ends with a slash"
        findings.error(where, text, "give the node a name")
    elif "." in local.split("/"):
        text = "its name is a lone dot, which HDF5 takes for the group itself"
        findings.error(where, text, "give the node a name")
    elif "/" in local:
        text = "its name holds a slash, which a file stores as nesting; nir.read fails on it"
        findings.warning(where, text, "use a dot in its place")


def _node(name: str, node: Any, findings: FindingList) -> RawNode:
    kind = next((c.__name__ for c in type(node).__mro__ if c.__name__ in NODE_TYPES), "")
    if not kind:
        return RawNode(name, type(node).__name__, {})
    values: dict[str, Any] = {}
    for field in fields(NODE_TYPES[kind]):
        if field.name == "metadata":
            continue
        value = _attribute(node, kind, field.name)
        if value is not None:
            values[field.name] = _plain(value, node_at(name), field.name, findings)
    if kind in ("Conv1d", "Conv2d") and "bias" not in values:
        values["bias"] = _no_bias(values, name, findings)
    return RawNode(name, kind, values, _metadata(node, name, findings))


def _no_bias(values: Mapping[str, Any], name: str, findings: FindingList) -> Any:
    """Return zeros for a convolution whose bias is None."""
    weight = values.get("weight")
    if not isinstance(weight, np.ndarray) or not weight.ndim:
        return BROKEN
    findings.info(node_at(name), "its bias is None and is read as zeros")
    return np.zeros(weight.shape[0], weight.dtype if weight.dtype.kind == "f" else np.float64)


def _attribute(node: Any, kind: str, field: str) -> Any:
    side = _TYPE_FIELDS.get((kind, field))
    if side is not None:
        return (getattr(node, f"{side}_type", None) or {}).get(side)
    if field == "input_type":
        return (getattr(node, "input_type", None) or {}).get("input")
    return getattr(node, field, None)


def _plain(value: Any, where: str, field: str, findings: FindingList) -> Any:
    """Return a copy of ``value`` as numpy array in native byte order, or as string."""
    if isinstance(value, (str, bytes)):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            # numpy has no bfloat16; float32 holds every one of its values.
            value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
        array = np.array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        findings.error(where, f"{field}: cannot be made an array: {error}")
        return BROKEN
    if array.dtype.kind not in "biuf":
        findings.error(where, f"{field}: has the type {array.dtype}; numbers are needed")
        return BROKEN
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _edges(graph: Any, name: str, findings: FindingList) -> tuple[tuple[str, str], ...] | None:
    try:
        return tuple((str(source), str(target)) for source, target in graph.edges)
    except (TypeError, ValueError) as error:
        where = node_at(name) if name else "graph"
        findings.error(where, f"edges must be pairs of node names: {error}", raises=FileFormatError)
        return None


def _metadata(node: Any, name: str, findings: FindingList) -> Mapping[str, Any]:
    value = getattr(node, "metadata", None)
    if not isinstance(value, Mapping):
        return {}
    try:
        return _copied(value, _METADATA_DEPTH)
    except UnsupportedNodeError as error:
        findings.error(node_at(name) if name else "graph", str(error), raises=FileFormatError)
        return {}


def _copied(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if depth == 0:
        raise UnsupportedNodeError(f"metadata nests deeper than {_METADATA_DEPTH}")
    copy: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            copy[str(key)] = _copied(item, depth - 1)
        elif hasattr(item, "detach"):
            copy[str(key)] = item.detach().cpu().numpy().copy()
        else:
            copy[str(key)] = np.array(item) if isinstance(item, np.ndarray) else item
    return copy
