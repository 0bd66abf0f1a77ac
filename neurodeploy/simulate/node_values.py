"""What the linear nodes of a float network put out: ``<node>/y``, on their own time.

A linear node's value at step t is made of what its sources send at step t, also where a synapse
carries it a step late; so relays, which stand for sums of linear nodes, are evaluated anew where
late values reach them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from neurodeploy.simulate.float_network import Connection, ReadyNetwork

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class NodeValues:
    """Finds the linear nodes and evaluates them, once a block has run.

    ``places`` gives for each node a connection and the place of its operator; empty where nobody
    asked. Where a node is evaluated several times, late or not, its own value is the same.
    """

    ready: ReadyNetwork
    places: Mapping[str, tuple[Connection, int]]

    @staticmethod
    def of(ready: ReadyNetwork, *, asked: bool) -> NodeValues:
        """Return the linear nodes of a network; none if nobody asked."""
        places: dict[str, tuple[Connection, int]] = {}
        for p in ready.net.populations if asked else ():
            for c in ready.into[p.name]:
                for place, operator in enumerate(c.synapse.operators):
                    places.setdefault(operator.node, (c, place))
        return NodeValues(ready, places)

    def sizes(self) -> dict[str, int]:
        """Return the number of values of each node."""
        return {n: c.synapse.operators[i].size_out for n, (c, i) in self.places.items()}

    def of_block(
        self, sources: Mapping[str, Tensor], latency: Mapping[str, int]
    ) -> Iterator[tuple[str, int, Tensor]]:
        """Yield each node, the latency of its target, and its values [steps or 1, B, N]."""
        if not self.places:
            return
        own = dict(sources)
        late_fed = _late_fed(self.ready)
        for p in self.ready.net.populations:
            if p.name in late_fed:
                own[p.name] = self._relay(p.name, own)
        wanted: dict[int, dict[int, str]] = {}
        connections = {}
        for node, (c, place) in self.places.items():
            wanted.setdefault(c.index, {})[place] = node
            connections[c.index] = c
        for index, nodes in wanted.items():
            c = connections[index]
            values = own[c.synapse.source]
            y = values.reshape(-1, values.shape[-1])
            for place, linear in enumerate(c.maps[: max(nodes) + 1]):
                y = linear(y)
                if place in nodes:
                    rows = y.reshape(*values.shape[:-1], -1)
                    yield nodes[place], latency[c.synapse.target], rows

    def _relay(self, name: str, own: Mapping[str, Tensor]) -> Tensor:
        """Return what a relay would send without late values."""
        population = self.ready.neurons[name].population
        total = torch.tensor(population.bias, dtype=self.ready.dtype, device=self.ready.device)
        x: Tensor | None = None
        for c in self.ready.into[name]:
            part = c.apply(own[c.synapse.source])
            x = part if x is None else x + part
        return total[None, None] if x is None else x + total


def _late_fed(ready: ReadyNetwork) -> frozenset[str]:
    """Return the relays that late values reach through linear nodes alone."""
    found: set[str] = set()
    for p in ready.net.populations:
        into = ready.into[p.name]
        if p.kind == "relay" and any(c.synapse.late or c.synapse.source in found for c in into):
            found.add(p.name)
    return frozenset(found)
