"""What a chip can hold of a graph, node by node: exactly, rounded, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neurodeploy.errors import NeurodeployError
from neurodeploy.findings import Finding
from neurodeploy.graph import Graph, Input, Output
from neurodeploy.lowering import is_population, obstacles
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.pipeline.model import Model, model_from_graph, quantized
from neurodeploy.quantization import describe_synapses, register_errors

Status = Literal["exact", "approximate", "not"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """``nodes``: name, status, detail (JSON types). ``model`` is quantised where that worked."""

    nodes: tuple[dict[str, str], ...]
    findings: tuple[Finding, ...]
    model: Model | None


def coverage_of(graph: Graph, name: str, profile: str) -> Coverage:
    """Quantise ``graph`` for ``profile`` without data and say what became of each node.

    ``exact``: the integers mean the same numbers. ``approximate``: something was rounded, with the
    largest error. ``not``: it cannot be held, with the reason. A node whose fate hangs on others
    that cannot be held is ``approximate`` with the reason.
    """
    try:
        model = model_from_graph(graph, name)
        network = model.require_network()
    except NeurodeployError as error:
        finding = Finding("error", f"profile {profile}", str(error))
        return Coverage((), (finding,), None)
    try:
        model = quantized(model, profile)
    except NeurodeployError as error:
        finding = Finding("error", f"profile {profile}", str(error))
        return Coverage(_blocked(graph, network, str(error)), (finding,), None)
    rows = _held(graph, model.require_network(), model.require_fixed())
    return Coverage(rows, model.findings, model)


def _blocked(graph: Graph, network: Network, message: str) -> tuple[dict[str, str], ...]:
    """Say which nodes stand in the way."""
    reasons = obstacles(network)
    rows = []
    for name, node in graph.nodes.items():
        if name in reasons:
            rows.append(_row(name, "not", "; ".join(reasons[name])))
        elif isinstance(node, (Input, Output)):
            rows.append(_row(name, "exact", ""))
        elif reasons:
            rows.append(_row(name, "approximate", "rounded, once the other nodes can be held"))
        else:
            rows.append(_row(name, "not", message.splitlines()[0]))
    return tuple(rows)


def _held(graph: Graph, network: Network, net: FixedPointNetwork) -> tuple[dict[str, str], ...]:
    weight_errors = {
        s["synapse"]: float(s.get("error_rms", 0.0)) for s in describe_synapses(network, net)
    }
    registers = register_errors(network, net)
    known: dict[str, dict[str, str]] = {}
    for p in network.populations:
        worst = max((weight_errors[s.name] for s in network.synapses_into(p.name)), default=0.0)
        for node in p.nir_nodes:
            errors = {} if node == p.name else {"weight": worst, "bias": registers[p.name]["bias"]}
            known.setdefault(node, _rounded(node, errors))
        if p.name in graph.nodes:
            # A read-out of a linear node goes by that node's name: its weights are the node's.
            weights = {} if is_population(graph, p.name) else {"weight": worst}
            gain = {} if p.gain is None else {"gain": 1.0}
            known[p.name] = _rounded(p.name, {**weights, **registers[p.name], **gain})
    return tuple(
        known.get(name) or _row(name, "exact", _passed(graph, name)) for name in graph.nodes
    )


def _passed(graph: Graph, name: str) -> str:
    ends = isinstance(graph.nodes[name], (Input, Output))
    return "" if ends else "multiplied into the next connection"


_WORDS = {
    "weight": "weights (rms {:.2%} of the largest)",
    "decay": "decay (by up to {:.2g})",
    "v_threshold": "threshold (by up to {:.2%})",
    "bias": "bias (by up to {:.2%} of the threshold)",
    "gain": "gain to mantissas",
}


def _rounded(node: str, errors: Mapping[str, float]) -> dict[str, str]:
    parts = [_WORDS[what].format(error) for what, error in errors.items() if error]
    return (
        _row(node, "approximate", "rounded: " + ", ".join(parts))
        if parts
        else _row(node, "exact", "")
    )


def _row(node: str, status: Status, detail: str) -> dict[str, str]:
    return {"node": node, "status": status, "detail": detail}


def by_status(rows: tuple[Mapping[str, Any], ...]) -> dict[str, int]:
    """Count nodes per status."""
    return {s: sum(r["status"] == s for r in rows) for s in ("exact", "approximate", "not")}
