"""What hangs together in a network: Lava runs only what is connected with what it starts."""

from __future__ import annotations

from neurodeploy.network.connections import ALWAYS_ON
from neurodeploy.network.fixed import FixedPointNetwork


def connected_parts(net: FixedPointNetwork) -> list[list[str]]:
    """Return the names of populations that hang together, in the order of the network.

    Synapses connect; so do the input, and the line that is always on, among layers of one latency.
    """
    neighbours: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for p in net.populations:
        neighbours[p.name, 0] = []
    for s in net.synapses:
        # Layers of one latency share a line.
        latency = net.population(s.target).latency if s.source == ALWAYS_ON else 0
        source, target = (s.source, latency), (s.target, 0)
        neighbours.setdefault(source, []).append(target)
        neighbours[target].append(source)
    seen: set[tuple[str, int]] = set()
    parts = []
    for p in net.populations:
        if (p.name, 0) in seen:
            continue
        reached, open_ends = {(p.name, 0)}, [(p.name, 0)]
        while open_ends:
            new = set(neighbours[open_ends.pop()]) - reached
            reached |= new
            open_ends += new
        seen |= reached
        parts.append([q.name for q in net.populations if (q.name, 0) in reached])
    return parts
