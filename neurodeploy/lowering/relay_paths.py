"""Relays into paths: every way from a neuron to a neuron becomes a synapse of its own.

Ways multiply where sums follow sums. Beyond a few of one source and delay they are added up to one
matrix at the relay where they meet, so that work stays in step with the graph.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from neurodeploy.findings import Result
from neurodeploy.lowering.conditions import BIASES_IN_NEURONS, NEVER_SILENT, NO_DELAYS, NO_RELAYS
from neurodeploy.lowering.passes import Pass
from neurodeploy.lowering.passing_order import passing_order, require_neuron_readout
from neurodeploy.lowering.products import Products
from neurodeploy.network import Network, Operator, Population, Synapse

#: Ways of one source and delay that a relay hands on separately.
_FEW = 4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Way:
    source: str
    delay_steps: int
    operators: tuple[Operator, ...]


class RelaysToPaths(Pass):
    """Relays disappear; ``products`` multiplies out where ways become many."""

    name = "relays into paths"
    needs = (BIASES_IN_NEURONS, NEVER_SILENT, NO_DELAYS)
    gives = (NO_RELAYS,)

    def __init__(self, products: Products) -> None:
        self._products = products

    def change(self, network: Network) -> Result[Network]:
        """Return the network without populations of kind ``relay``.

        Raises
        ------
        UnsupportedNodeError
            If the read-out reads a relay, or relays form a cycle.
        ResourceError
            If ways that were added up need more weights than the limit.
        """
        require_neuron_readout(network)
        relays = passing_order(network)
        ways: dict[str, list[_Way]] = {}
        nodes: dict[str, tuple[str, ...]] = {}
        for p in relays:
            ways[p.name] = self._few(p, _arriving(network, p, ways))
            nodes[p.name] = _absorbed(network, p, nodes)
        populations: list[Population] = []
        synapses: list[Synapse] = []
        for p in network.populations:
            if p.name in ways:
                continue
            populations.append(dataclasses.replace(p, nir_nodes=_absorbed(network, p, nodes)))
            synapses += _named(p, _arriving(network, p, ways))
        changed = dataclasses.replace(
            network, populations=tuple(populations), synapses=tuple(synapses)
        )
        return Result(changed)

    def _few(self, p: Population, ways: list[_Way]) -> list[_Way]:
        """Add up the ways of one source and delay where they are many."""
        many = Counter((w.source, w.delay_steps) for w in ways)
        kept = [w for w in ways if many[w.source, w.delay_steps] <= _FEW]
        for (source, delay), count in many.items():
            if count > _FEW:
                same = [w for w in ways if (w.source, w.delay_steps) == (source, delay)]
                total = self._products.added(
                    p.name,
                    [self._products.single(p.name, w.operators, p.size) for w in same],
                )
                kept.append(_Way(source, delay, (total,)))
        return kept


def _arriving(network: Network, p: Population, ways: dict[str, list[_Way]]) -> list[_Way]:
    found = []
    for s in network.synapses_into(p.name):
        for w in ways.get(s.source, [_Way(s.source, 0, ())]):
            found.append(
                _Way(w.source, w.delay_steps + s.delay_steps, (*w.operators, *s.operators))
            )
    return found


def _absorbed(
    network: Network, p: Population, nodes: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the NIR nodes of a population and of the relays before it."""
    before = [n for s in network.synapses_into(p.name) for n in nodes.get(s.source, ())]
    return tuple(dict.fromkeys((*before, *p.nir_nodes)))


def _named(p: Population, ways: list[_Way]) -> list[Synapse]:
    """Return ways as synapses, each with a name of its own."""
    pairs = Counter(w.source for w in ways)
    seen: Counter[tuple[str, int]] = Counter()
    found = []
    for w in ways:
        name = f"{w.source}->{p.name}"
        if pairs[w.source] > 1:
            seen[w.source, w.delay_steps] += 1
            name += f"@{w.delay_steps}"
            if (number := seen[w.source, w.delay_steps]) > 1:
                name += f"#{number}"
        found.append(Synapse(name, w.source, p.name, w.operators, delay_steps=w.delay_steps))
    return found
