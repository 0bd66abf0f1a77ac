"""Where a traced lag needs a Delay node, and where the contract's cycle rule gives it by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from neurodeploy.network.cycles import strong_components

#: (source, target, lag in steps)
LaggedEdge: TypeAlias = tuple[str, str, int]


def edges_without_delay(
    populations: Mapping[str, bool],
    edges: Sequence[LaggedEdge],
    start: str,
    delayed: Collection[str] = (),
) -> frozenset[LaggedEdge]:
    """Return the lagging edges that can be ordinary ones: the cycle rule makes them one step late.

    Parameters
    ----------
    populations : mapping of node name to bool
        Whether a node has a state or threshold.
    edges : sequence of (source, target, lag)
        All edges.
    start : str
        The input node.
    delayed : collection of str
        Nodes whose late edges need a Delay whatever the rule says.
    """
    plain = {edge for edge in edges if edge[2] == 1 and edge[0] not in delayed}
    while True:
        wrong = _contradicting(populations, edges, plain, start)
        if not wrong:
            return frozenset(plain)
        plain -= wrong


def _contradicting(
    populations: Mapping[str, bool],
    edges: Sequence[LaggedEdge],
    plain: set[LaggedEdge],
    start: str,
) -> set[LaggedEdge]:
    """Return the ordinary edges with a lag which the rule does not give, or which spoil others."""
    targets: dict[str, list[LaggedEdge]] = {name: [] for name in populations}
    for edge in edges:
        targets[edge[0]].append(edge)
    through = {name: [e for e in out if e[2] == 0 or e in plain] for name, out in targets.items()}
    component: dict[str, int] = {}
    looped: set[int] = set()
    names = {name: [e[1] for e in out] for name, out in through.items()}
    for number, members in enumerate(strong_components(list(populations), names)):
        component.update(dict.fromkeys(members, number))
        if len(members) > 1 or members[0] in names[members[0]]:
            looped.add(number)
    distance = _distances(populations, targets, plain, start)
    wrong: set[LaggedEdge] = set()
    for source in populations:
        if not populations[source]:
            continue
        for target, lag, used in _paths(populations, through, source):
            inside = component[source] == component[target] and component[source] in looped
            late = inside and distance[target] <= distance[source]
            if lag != int(late):
                # An edge that should not be late is spoilt by the cycle's ordinary edges.
                wrong |= used or {e for e in plain if component[e[0]] == component[source]}
    # Feedback that starts at no population (from the input) needs a delay.
    for edge in plain:
        if component[edge[0]] != component[edge[1]] or component[edge[0]] not in looped:
            wrong.add(edge)
    return wrong


def _paths(
    populations: Mapping[str, bool], through: Mapping[str, list[LaggedEdge]], source: str
) -> list[tuple[str, int, set[LaggedEdge]]]:
    """Return (population, total lag, lagging edges) of the paths through nodes without state."""
    found: list[tuple[str, int, set[LaggedEdge]]] = []
    seen: set[tuple[str, int]] = set()
    left: list[tuple[str, int, frozenset[LaggedEdge]]] = [(source, 0, frozenset())]
    while left:
        name, lag, used = left.pop()
        for edge in through[name]:
            total = lag + edge[2]
            lagging = used | ({edge} if edge[2] else frozenset())
            if populations[edge[1]]:
                found.append((edge[1], total, set(lagging)))
            elif (edge[1], total) not in seen and total <= 2:
                seen.add((edge[1], total))
                left.append((edge[1], total, lagging))
    return found


def _distances(
    populations: Mapping[str, bool],
    targets: Mapping[str, list[LaggedEdge]],
    plain: set[LaggedEdge],
    start: str,
) -> dict[str, int]:
    """Count populations on the shortest path from the input; a Delay node counts as one."""
    never = len(populations) + len(targets) * 2 + 1_000_000
    distance = dict.fromkeys(populations, never)
    distance[start] = 0
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for edge in targets[name]:
            step = int(populations[edge[1]]) + int(edge[2] > 0 and edge not in plain)
            if distance[name] + step < distance[edge[1]]:
                distance[edge[1]] = distance[name] + step
                # Not a strict shortest-first order: a node may be settled twice, never wrongly.
                queue.append(edge[1])
    return distance
