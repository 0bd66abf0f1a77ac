"""Which connections of a cyclic graph carry the step before: the execution contract's cycle rule.

A cycle has a step-by-step meaning only if some connection on it is late. Which one must not hang
on the order of nodes in a file, so distance from the input decides.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from neurodeploy.graph import Contract, Delay, Graph, Input, Output
from neurodeploy.graph.nodes import LINEAR_NODES
from neurodeploy.lowering.delays import delay_in_steps
from neurodeploy.network.cycles import strong_components

#: Farther than any node; two nodes that the input never reaches are equally far.
_NEVER = 1 << 60


def is_population(graph: Graph, name: str) -> bool:
    """Whether node ``name`` has a state, a threshold or a delay of its own."""
    return not isinstance(graph.nodes[name], (Input, Output, *LINEAR_NODES))


def late_sources(graph: Graph) -> dict[str, frozenset[str]]:
    """Return, per population, the populations whose step before it sees.

    Inside a strongly connected component of the graph (leaving out what comes from a delay of at
    least one step, which breaks a cycle by itself), population q sees the step before of
    population p where q is not farther from the input than p. A population's distance is the
    number of populations on the shortest path from the input, itself included.
    """
    past = {
        name
        for name, node in graph.nodes.items()
        if isinstance(node, Delay) and _always_late(node, graph.contract)
    }
    distance = distances(graph)
    late: dict[str, frozenset[str]] = {}
    for component in strong_components(
        graph.nodes, {n: () if n in past else graph.targets_of(n) for n in graph.nodes}
    ):
        members = [name for name in component if is_population(graph, name)]
        looped = len(component) > 1 or component[0] in graph.targets_of(component[0])
        if not looped:
            continue
        for target in members:
            # A delay of at least one step is no part of a cycle, so no member is one.
            late[target] = frozenset(s for s in members if distance[target] <= distance[s])
    return late


def _always_late(node: Delay, contract: Contract) -> bool:
    return bool(np.all(delay_in_steps(node.delay, contract) >= 1))


def distances(graph: Graph) -> dict[str, int]:
    """Return how many populations lie on the shortest path from the input to each node."""
    distance = dict.fromkeys(graph.nodes, _NEVER)
    distance[graph.input_name] = 0
    queue = deque([graph.input_name])
    while queue:
        name = queue.popleft()
        for target in graph.targets_of(name):
            step = int(is_population(graph, target))
            if distance[name] + step < distance[target]:
                distance[target] = distance[name] + step
                # Nodes at the same distance come first, so each is settled when it is taken.
                (queue.append if step else queue.appendleft)(target)
    return distance
