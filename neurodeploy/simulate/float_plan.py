"""In which order a float network can run: all steps of a population at once, or step by step.

A population that is on no cycle runs over all steps before the next one begins, so its synapses
are one matrix product (or convolution) over all steps and samples. Populations of a cycle, late
connections included, run together, one step at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from neurodeploy.errors import InputError
from neurodeploy.network.connections import INPUT
from neurodeploy.network.cycles import strong_components
from neurodeploy.network.floating import Network, Population, Synapse


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Populations that run together, in update order; ``cyclic`` ones step by step."""

    populations: tuple[Population, ...]
    cyclic: bool


def components(net: Network) -> tuple[Component, ...]:
    """Return the strongly connected components of ``net``, sources first.

    Late connections count like any other.
    """
    targets: dict[str, list[str]] = {p.name: [] for p in net.populations}
    for s in net.synapses:
        if s.source in targets:
            targets[s.source].append(s.target)
    place = {p.name: i for i, p in enumerate(net.populations)}
    found = []
    for names in strong_components(targets, targets):
        members = sorted(names, key=place.__getitem__)
        cyclic = len(members) > 1 or members[0] in targets[members[0]]
        found.append(Component(tuple(net.populations[place[n]] for n in members), cyclic))
    return tuple(reversed(found))


def last_use(net: Network, order: tuple[Component, ...]) -> dict[str, int]:
    """Return, for each source, the index of the last component that needs what it sends."""
    place = {p.name: i for i, c in enumerate(order) for p in c.populations}
    last = dict(place)
    for s in net.synapses:
        last[s.source] = max(last.get(s.source, 0), place[s.target])
    return last


def layer_latency(net: Network) -> dict[str, int]:
    """Return the hardware steps from the input to each population: its longest path.

    Shorter paths are taken as delayed to match.
    """
    latency: dict[str, int] = {}
    into = synapses_by_target(net)
    for p in net.populations:
        latency[p.name] = 1 + max((latency.get(s.source, 0) for s in into[p.name]), default=0)
    return latency


def synapses_by_target(net: Network) -> dict[str, tuple[Synapse, ...]]:
    """Return the synapses into each population, in the network's order."""
    into: dict[str, list[Synapse]] = {p.name: [] for p in net.populations}
    for s in net.synapses:
        into[s.target].append(s)
    return {name: tuple(found) for name, found in into.items()}


def require_layered(net: Network) -> None:
    """Raise InputError where a network has no hardware axis: feedback, or delays of its own."""
    for p in net.populations:
        if p.kind == "delay":
            raise InputError(
                f"timing: population {p.name} is a delay, so steps on hardware are not known "
                "before the network is quantised; use timing='aligned'"
            )
    for s in net.synapses:
        if s.late or s.silent_first:
            raise InputError(
                f"timing: synapse {s.name} ({s.source} -> {s.target}) is delayed or feedback, "
                "which hardware delays by other steps; use timing='aligned'"
            )


def values_per_step(
    net: Network, order: tuple[Component, ...], traces: int, *, keep_all: bool
) -> int:
    """Return how many numbers one sample needs per step at the worst moment of a run.

    Parameters
    ----------
    traces : int
        Recorded arrays per population.
    keep_all : bool
        Whether what populations send is kept to the end.
    """
    last = last_use(net, order)
    into = synapses_by_target(net)
    sizes = {INPUT: net.n_input, **{p.name: p.size for p in net.populations}}
    alive, worst = net.n_input, net.n_input
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        ending.setdefault(index, []).append(name)
    for index, component in enumerate(order):
        own = sum(p.size * (2 + traces) for p in component.populations)
        own += max((_widest(into[p.name]) for p in component.populations), default=0)
        worst = max(worst, alive + own)
        alive += sum(p.size for p in component.populations)
        if not keep_all:
            alive -= sum(sizes.get(name, 0) for name in ending.get(index, ()))
    return worst


def _widest(synapses: Collection[Synapse]) -> int:
    """Return the largest sum of what an operator takes and gives."""
    return max((o.size_in + o.size_out for s in synapses for o in s.operators), default=0)
