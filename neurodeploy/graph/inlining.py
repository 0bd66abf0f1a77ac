"""Nested graphs become one flat graph; an inner Input or Output becomes a Junction.

The one repair on offer: an edge end that names no node, where exactly one node of the same graph
has no edge. Two graphs of the NIR paper's data are broken in this way.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from neurodeploy.errors import InputError
from neurodeploy.graph.building import build_node
from neurodeploy.graph.finding_list import FindingList, node_at, short
from neurodeploy.graph.nodes import Input, Junction, Node, Output
from neurodeploy.graph.raw import RawGraph, RawNode, RawScope, inner_name

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class FlatGraph:
    """Nodes and edges of all nested graphs under flat names.

    ``kinds`` holds the type word of every node, also of those that could not be built;
    ``is_whole`` is False where an edge leads nowhere.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    kinds: Mapping[str, str]
    is_whole: bool = True


def inline(raw: RawGraph, findings: FindingList) -> FlatGraph:
    """Build every node and resolve every edge; problems go to ``findings``."""
    nodes: dict[str, Node] = {}
    kinds: dict[str, str] = {}
    for member in raw.nodes():
        if member.name in kinds or (member.name in raw.scopes):
            text = "two nodes have this name once nested graphs are flat"
            findings.error(node_at(member.name), text, "rename one of them")
            continue
        kinds[member.name] = member.kind
        node = build_node(member, findings)
        if node is None:
            continue
        if isinstance(node, (Input, Output)) and member.name not in raw.top.members:
            node = Junction(shape=node.shape, metadata=node.metadata)
        nodes[member.name] = node
    edges: list[Edge] = []
    for scope in raw.scopes.values():
        edges += _edges_of(raw, scope, findings)
    is_whole = len(edges) == sum(len(scope.edges) for scope in raw.scopes.values())
    is_whole &= all(scope.is_whole for scope in raw.scopes.values())
    return FlatGraph(nodes, tuple(edges), kinds, is_whole)


def repaired(raw: RawGraph, findings: FindingList) -> tuple[RawGraph, bool]:
    """Return the graph with renamed edge ends put right, and whether anything was."""
    scopes: dict[str, RawScope] = {}
    changed = False
    for name, scope in raw.scopes.items():
        wrong, lonely = _strays(scope)
        if len(wrong) != 1 or len(lonely) != 1:
            scopes[name] = scope
            continue
        new = {wrong[0]: lonely[0]}
        edges = tuple((new.get(a, a), new.get(b, b)) for a, b in scope.edges)
        scopes[name] = dataclasses.replace(scope, edges=edges)
        changed = True
        text = f"repaired: edges that said {wrong[0]!r} now say {lonely[0]!r}"
        findings.warning(node_at(name) if name else "graph", text, "", was=wrong[0], now=lonely[0])
    return (dataclasses.replace(raw, scopes=scopes), True) if changed else (raw, False)


def _strays(scope: RawScope) -> tuple[list[str], list[str]]:
    """Return the edge ends that name no node, and the nodes that no edge names."""
    ends = {end for edge in scope.edges for end in edge}
    wrong = sorted(ends - set(scope.members))
    return wrong, [name for name in scope.members if name not in ends]


def _edges_of(raw: RawGraph, scope: RawScope, findings: FindingList) -> list[Edge]:
    flat: list[Edge] = []
    wrong, lonely = _strays(scope)
    for source, target in scope.edges:
        ends = []
        for end, door in ((source, "Output"), (target, "Input")):
            if end in scope.members:
                ends.append(_door(raw, scope, end, door, findings))
                continue
            ends.append(None)
            edge = f"{inner_name(scope.name, source)!r} -> {inner_name(scope.name, target)!r}"
            findings.error(
                f"edge {edge}", f"there is no node {end!r}{_place(scope)}",
                _nearest(end, scope, wrong, lonely),
            )  # fmt: skip
        if ends[0] is not None and ends[1] is not None:
            flat.append((ends[0], ends[1]))
    return flat


def _place(scope: RawScope) -> str:
    return f" in the nested graph {scope.name!r}" if scope.name else ""


def _nearest(end: str, scope: RawScope, wrong: list[str], lonely: list[str]) -> str:
    if len(wrong) == 1 and len(lonely) == 1:
        return (
            f"the node {lonely[0]!r} has no edge; if it was renamed, read with the repair "
            "option (repair=True, --repair)"
        )
    close = difflib.get_close_matches(end, list(scope.members)[:500], n=3)
    return f"nearest: {short(close)}" if close else f"nodes: {short(scope.members)}"


def _door(raw: RawGraph, scope: RawScope, end: str, door: str, findings: FindingList) -> str | None:
    """Return the flat node where an edge into (Input) or out of (Output) ``end`` arrives."""
    member = scope.members[end]
    while isinstance(member, str):
        nested = raw.scopes[member]
        doors = [m for m in nested.members.values() if isinstance(m, RawNode) and m.kind == door]
        if len(doors) != 1:
            text = f"the nested graph has {len(doors)} {door} nodes; an edge needs exactly one"
            names = short(node.name for node in doors)
            findings.error(
                node_at(nested.name), text, names and f"found: {names}", raises=InputError
            )
            return None
        member = doors[0]
    return member.name
