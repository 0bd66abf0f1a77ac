"""Edges, ends, reachability and cycles of a flat graph, without recursion and in linear time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from neurodeploy.graph.contract import Contract
from neurodeploy.graph.finding_list import FindingList, node_at, short
from neurodeploy.graph.nodes import INTEGRATORS, SPIKING, Delay, Node

Edge = tuple[str, str]


def check_edges(edges: Sequence[Edge], findings: FindingList) -> None:
    """Name edges that appear more than once."""
    for (source, target), count in Counter(edges).items():
        if count > 1:
            text = f"the edge from {source!r} appears {count} times"
            remedy = "keep one; to add a signal twice, scale its weights"
            findings.error(node_at(target), text, remedy, count=count)


def check_ends(kinds: Mapping[str, str], edges: Sequence[Edge], findings: FindingList) -> None:
    """Require exactly one outer Input without incoming and one Output without outgoing edges.

    Parameters
    ----------
    kinds : mapping
        Type words of the outermost graph's nodes by name.
    """
    if not kinds:
        findings.error("graph", "has no nodes")
        return
    for kind, side in (("Input", 1), ("Output", 0)):
        names = [name for name, word in kinds.items() if word == kind]
        if len(names) != 1:
            found = f" ({short(names)})" if names else ""
            text = f"has {len(names)} {kind} nodes{found}; exactly one is supported"
            findings.error("graph", text, f"join them, or add one {kind}", count=len(names))
            continue
        wrong = [edge[1 - side] for edge in edges if edge[side] == names[0]]
        if wrong:
            verb = "receives an edge from" if kind == "Input" else "has an edge to"
            text = f"the graph's {kind} {verb} {short(wrong)}"
            findings.error(node_at(names[0]), text, "connect its neighbour instead")


def useful_nodes(
    nodes: Iterable[str],
    edges: Sequence[Edge],
    start: str,
    ends: Sequence[str],
    findings: FindingList,
) -> set[str]:
    """Return the nodes that influence one of ``ends``; say what is left out or runs on bias alone.

    A graph whose end the input ``start`` never reaches is an error.
    """  # fmt: skip
    forward = _closure([start], edges)
    backward = _closure(ends, [(target, source) for source, target in edges])
    if start not in backward:
        text = f"no path leads from the input {start!r} to the output"
        findings.error("graph", text, "check the edges")
    for name in nodes:
        if name not in backward and name != start:
            text = "lies on no path to the output; it is left out"
            findings.warning(node_at(name), text, "connect it or remove it")
        elif name not in forward:
            text = "is never reached from the input; it runs on its bias alone"
            findings.warning(node_at(name), text, "connect it or remove it")
    return backward | {start}


def check_cycles(
    nodes: Mapping[str, Node], edges: Sequence[Edge], contract: Contract, findings: FindingList
) -> None:
    """Name every cycle that holds neither a neuron, a Threshold nor a delay of a step or more.

    While ``contract.dt`` is unknown, a delay counts where it is positive.
    """
    through = {name for name, node in nodes.items() if not _breaks(node, contract)}
    waiting = dict.fromkeys(through, 0)
    targets: dict[str, list[str]] = {name: [] for name in through}
    sources: dict[str, list[str]] = {name: [] for name in through}
    for source, target in edges:
        if source in through and target in through:
            targets[source].append(target)
            sources[target].append(source)
            waiting[target] += 1
    _peel(waiting, targets)
    # What is left lies on a cycle or behind one; from the other side only cycles stay.
    left = {name for name, count in waiting.items() if count > 0}
    behind = {name: sum(t in left for t in targets[name]) for name in left}
    _peel(behind, {name: [s for s in sources[name] if s in left] for name in left})
    stuck = [name for name in nodes if behind.get(name, 0) > 0]
    if stuck:
        findings.error(
            f"nodes {short(stuck)}",
            "form a cycle without a neuron, so a step has no first value",
            "put a neuron, or a Delay of one step, into the cycle",
        )


def _breaks(node: Node, contract: Contract) -> bool:
    """Whether a cycle through ``node`` has a meaning step by step."""
    if not isinstance(node, Delay):
        return isinstance(node, (*INTEGRATORS, *SPIKING))
    delay = np.asarray(node.delay, dtype=np.float64)
    if contract.dt is None:
        return bool((delay > 0).all())
    least = 0.5 if contract.delay_rounding == "nearest" else 1 - 1e-6
    with np.errstate(over="ignore"):  # infinitely many steps are a finding of their own
        return bool((delay / contract.dt > least).all())


def _peel(waiting: dict[str, int], targets: Mapping[str, Sequence[str]]) -> None:
    """Take away nodes that wait for nothing, one after the other; ``waiting`` keeps the rest."""
    ready = [name for name, count in waiting.items() if count == 0]
    while ready:
        for target in targets[ready.pop()]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)


def _closure(start: Sequence[str], edges: Sequence[Edge]) -> set[str]:
    """Return ``start`` and everything that edges lead to from there."""
    targets: dict[str, list[str]] = {}
    for source, target in edges:
        targets.setdefault(source, []).append(target)
    seen, pending = set(start), list(start)
    while pending:
        new = [t for t in targets.get(pending.pop(), ()) if t not in seen]
        seen.update(new)
        pending += new
    return seen
