"""Relays and delays, which only hand values on: in which order, and that none is read out."""

from __future__ import annotations

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.lowering.passes import PASSING
from neurodeploy.network import Network, Population
from neurodeploy.network.cycles import strong_components

#: What is wrong with a cycle of delays, and the remedy.
NO_NEURON = (
    "form a cycle of delays without a neuron, whose values never end; no target has such a filter: "
    "put a neuron on the cycle"
)


def require_neuron_readout(network: Network) -> None:
    """Raise UnsupportedNodeError where the read-out reads a relay or a delay.

    ``lower`` puts a neuron behind such a node; only networks made otherwise lack it.
    """
    read = network.population(network.readout.population)
    if read.kind in PASSING:
        raise UnsupportedNodeError(
            f"node {read.name!r}: is a {read.kind} and is read out; targets read neurons: put a LI "
            "node behind it, or read the node before it"
        )


def passing_order(network: Network) -> list[Population]:
    """Return relays and delays, each after those that lead to it.

    Raises
    ------
    UnsupportedNodeError
        If they form a cycle: values would run round it for ever without a neuron.
    """
    components, cycles = _components(network)
    if cycles:
        names = "; ".join(", ".join(found) for found in cycles)
        raise UnsupportedNodeError(f"nodes {names} {NO_NEURON}")
    passing = {p.name: p for p in network.populations}
    return [passing[names[0]] for names in reversed(components)]


def passing_cycles(network: Network) -> list[tuple[str, ...]]:
    """Return the cycles of delays without a neuron: the names of their delays."""
    return _components(network)[1]


def _components(network: Network) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return what is strongly connected among relays and delays, and the delays of cycles."""
    passing = {p.name: p for p in network.populations if p.kind in PASSING}
    targets: dict[str, list[str]] = {name: [] for name in passing}
    for s in network.synapses:
        if s.source in passing and s.target in passing:
            targets[s.source].append(s.target)
    components = strong_components(passing, targets)
    loops = [c for c in components if len(c) > 1 or c[0] in targets[c[0]]]
    cycles = []
    for names in loops:
        delays = tuple(sorted(n for n in names if passing[n].kind == "delay"))
        cycles.append((delays or tuple(sorted(names)))[:20])
    return components, cycles
