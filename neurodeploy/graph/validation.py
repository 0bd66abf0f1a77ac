"""All findings about a graph at once: numbers, shapes, edges. Errors stop; warnings are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from neurodeploy.findings import Finding
from neurodeploy.graph.nodes import LIF, Affine, Input, Linear, Node, Output

Edge = tuple[str, str]


def validate(nodes: Mapping[str, Node], edges: Sequence[Edge], dt: float | None) -> list[Finding]:
    """Return every finding about ``nodes`` and ``edges``; ``dt`` in seconds, if it is known."""
    findings: list[Finding] = []
    for name, node in nodes.items():
        findings += _check_node(name, node)
        if isinstance(node, LIF):
            findings += _check_tau(name, node, dt)
            findings += _check_gain(name, node)
    findings += _check_edges(nodes, edges)
    findings += _check_ends(nodes)
    if not any(f.severity == "error" for f in findings):
        findings += _check_shapes(nodes, edges)
        findings += _check_reachable(nodes, edges)
    return findings


def node_shapes(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the input and output shape of a node."""
    if isinstance(node, (Input, Output)):
        return node.shape, node.shape
    if isinstance(node, (Affine, Linear)):
        return (int(node.weight.shape[1]),), (int(node.weight.shape[0]),)
    return tuple(node.tau.shape), tuple(node.tau.shape)


def _error(name: str, what: str, remedy: str = "") -> Finding:
    return Finding("error", f"node {name!r}", what, remedy)


def _check_node(name: str, node: Node) -> list[Finding]:
    if isinstance(node, (Input, Output)):
        bad = not node.shape or min(node.shape) < 1
        return [_error(name, f"shape {node.shape} is empty")] if bad else []
    fields: tuple[str, ...] = ("weight", "bias") if isinstance(node, Affine) else ("weight",)
    if isinstance(node, LIF):
        fields = ("tau", "r", "v_leak", "v_threshold", "v_reset")
    arrays = {field: np.asarray(getattr(node, field)) for field in fields}
    found = [
        _error(name, f"{field} has no elements")
        for field, array in arrays.items()
        if not array.size
    ]
    for field, array in arrays.items():
        broken = int((~np.isfinite(array)).sum())
        # An infinite threshold is a neuron that never fires, which NIR allows.
        never_fires = field == "v_threshold" and (array[~np.isfinite(array)] == np.inf).all()
        if broken and not never_fires:
            found.append(
                _error(name, f"{field}: {broken} of {array.size} values are NaN or infinite")
            )
    return found + (_check_lengths(name, node, arrays) if not found else [])


def _check_lengths(
    name: str, node: Node, arrays: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
) -> list[Finding]:
    if isinstance(node, LIF):
        shapes = {field: array.shape for field, array in arrays.items()}
        if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
            return [_error(name, f"parameters need one shape [N], have {shapes}")]
        return []
    shape = arrays["weight"].shape
    if len(shape) != 2:
        return [_error(name, f"weight has shape {shape}, needs [out, in]")]
    if isinstance(node, Affine) and arrays["bias"].shape != (shape[0],):
        return [_error(name, f"bias has shape {arrays['bias'].shape}, weight needs ({shape[0]},)")]
    return []


def _check_tau(name: str, node: LIF, dt: float | None) -> list[Finding]:
    tau = np.asarray(node.tau, dtype=np.float64)
    if not np.isfinite(tau).all():
        return []
    if (tau <= 0).any():
        return [_error(name, f"tau is {tau.min():g} s; a time constant is positive")]
    if dt is None:
        return []
    share = dt / tau.min()
    if share > 2:
        text = f"dt {dt:g} s is {share:.3g} times tau {tau.min():g} s: Euler steps diverge beyond 2"
        return [_error(name, text, "give the dt the network was trained with (--dt)")]
    if share > 1 + 1e-9:
        text = f"dt {dt:g} s exceeds tau {tau.min():g} s: the membrane overshoots at every step"
        return [_error(name, text, "Loihi's decay cannot overshoot; give the right --dt")]
    return []


def _check_gain(name: str, node: LIF) -> list[Finding]:
    entry = node.metadata.get("dlif_gain")
    if entry is None:
        return []
    if not isinstance(entry, Mapping) or "values" not in entry:
        return [_error(name, "metadata dlif_gain has no values")]
    values = np.asarray(entry["values"])
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "fiu":
        return [_error(name, f"dlif_gain values need shape [T], have {values.shape}")]
    if not np.isfinite(values).all() or (values <= 0).any():
        text = f"dlif_gain is {values.min():g}..{values.max():g}; gains must be positive and finite"
        return [_error(name, text, "train with a non-negative gain")]
    if entry.get("after", "last") != "last":
        return [_error(name, f"dlif_gain after {entry['after']!r} is not supported; use 'last'")]
    return []


def _check_edges(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> list[Finding]:
    found = []
    for source, target in edges:
        for end in (source, target):
            if end not in nodes:
                text = f"the edge {source!r} -> {target!r} leads to a node that does not exist"
                found.append(_error(end, text))
    for (source, target), count in Counter(edges).items():
        if count > 1:
            found.append(_error(target, f"the edge from {source!r} appears {count} times"))
    return found


def _check_ends(nodes: Mapping[str, Node]) -> list[Finding]:
    found = []
    for kind in (Input, Output):
        names = [name for name, node in nodes.items() if isinstance(node, kind)]
        if len(names) != 1:
            text = f"{len(names)} {kind.__name__} nodes {names}; exactly one is supported"
            found.append(Finding("error", "graph", text))
    return found


def _check_shapes(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> list[Finding]:
    found = []
    for source, target in edges:
        left, right = node_shapes(nodes[source])[1], node_shapes(nodes[target])[0]
        if left != right and not (_size(left) == _size(right) and isinstance(nodes[source], Input)):
            text = f"{source!r} gives shape {left}, {target!r} takes {right}"
            found.append(Finding("error", f"edge {source!r} -> {target!r}", text))
    return found


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _check_reachable(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> list[Finding]:
    start = [name for name, node in nodes.items() if isinstance(node, Input)]
    end = [name for name, node in nodes.items() if isinstance(node, Output)]
    forward = _closure(start, edges)
    backward = _closure(end, [(target, source) for source, target in edges])
    found = []
    for name in nodes:
        if name not in forward or name not in backward:
            text = "lies on no path from the input to the output and would be ignored"
            found.append(_error(name, text, "connect it or remove it"))
    return found


def _closure(start: Sequence[str], edges: Sequence[Edge]) -> set[str]:
    seen, stack = set(start), list(start)
    while stack:
        node = stack.pop()
        new = [target for source, target in edges if source == node and target not in seen]
        seen.update(new)
        stack.extend(new)
    return seen
