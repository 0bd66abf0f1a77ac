"""What each node of a graph holds: number, range and dead rows of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.graph.nodes import Node, array_fields


def node_rows(nodes: Mapping[str, Node], shapes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per node, JSON types only.

    ``parameters`` counts numbers; ``ranges`` gives [smallest, largest] of each array, leaving out
    what is not finite (``not_finite`` counts those); ``dead_rows`` counts outputs of a weight that
    no input reaches, ``dead_columns`` inputs that reach nothing.
    """
    return [_entry(name, node, shapes.get(name)) for name, node in nodes.items()]


def range_text(entry: Mapping[str, Any]) -> str:
    """Return the ranges of an entry as one line."""
    parts = []
    for name, (low, high) in entry["ranges"].items():
        parts.append(f"{name} {low:.4g}" if low == high else f"{name} {low:.4g}..{high:.4g}")
    return "; ".join(parts)


def dead_text(entry: Mapping[str, Any]) -> str:
    """Return dead rows and columns as one line, empty if there are none."""
    dead = entry["dead_rows"], entry["dead_columns"]
    words = [f"{n} {what}" for n, what in zip(dead, ("rows", "columns"), strict=True) if n]
    return ", ".join(words)


def _entry(name: str, node: Node, shapes: Any) -> dict[str, Any]:
    arrays = {k: a for k, a in array_fields(node).items() if a.dtype.kind in "biuf" and a.size}
    weight = arrays.get("weight")
    rows, columns = (0, 0) if weight is None or weight.ndim < 2 else _dead(weight)
    taken, given = shapes or (None, None)
    return {
        "name": name,
        "type": type(node).__name__,
        "input_shape": None if taken is None else list(taken),
        "output_shape": None if given is None else list(given),
        "parameters": sum(a.size for a in arrays.values()),
        "ranges": {k: _range(a) for k, a in arrays.items()},
        "not_finite": sum(int((~np.isfinite(a)).sum()) for a in arrays.values()),
        "dead_rows": rows,
        "dead_columns": columns,
    }


def _range(array: NDArray[Any]) -> list[float]:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return [float(finite.min()), float(finite.max())] if finite.size else [0.0, 0.0]


def _dead(weight: NDArray[Any]) -> tuple[int, int]:
    """Count outputs and inputs (of a convolution: channels) whose weights are all zero."""
    if weight.ndim == 2:
        used = weight != 0
        return int((~used.any(axis=1)).sum()), int((~used.any(axis=0)).sum())
    outputs = weight.reshape(weight.shape[0], -1) != 0
    return int((~outputs.any(axis=1)).sum()), 0
