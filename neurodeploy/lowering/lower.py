"""Graph to Network: neurons become populations, the linear nodes between them become synapses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from neurodeploy.errors import InputError, UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import Contract, Graph
from neurodeploy.lowering.feedback import is_population, late_sources
from neurodeploy.lowering.linear_paths import LinearPaths
from neurodeploy.lowering.populations import population_of
from neurodeploy.lowering.readouts import readout_of
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    Encoder,
    Network,
    Population,
    Synapse,
    encoder_from,
)


def lower(graph: Graph) -> Result[Network]:
    """Turn a checked graph into float populations and synapses that mean exactly the same.

    No arithmetic is changed: every linear node stays an operator of its own, in the graph's
    order. ``compose`` brings them into the form that targets hold.

    Raises
    ------
    UnsupportedNodeError
        For a cycle that nothing cuts.
    ContractError
        For a read-out that cannot be run, or a delay that is no whole step.
    InputError
        For a neuron whose name is reserved.
    """
    _check_names(graph)
    late = late_sources(graph)
    readout, reader, read = readout_of(graph)
    neurons = [name for name in graph.nodes if is_population(graph, name)]
    targets: dict[str, tuple[str, ...]] = {name: graph.sources_of(name) for name in neurons}
    if reader is not None:
        targets[reader.name] = read
    paths = LinearPaths(graph, late, INPUT)
    paths.connect(targets)
    absorbed = {name: paths.absorbed.get(name, ()) for name in targets}
    populations = {name: population_of(graph, name, absorbed[name]) for name in neurons}
    if reader is not None:
        populations[reader.name] = dataclasses.replace(reader, nir_nodes=absorbed[reader.name])
    populations |= {relay.name: relay for relay in paths.relays.values()}
    order = update_order(populations, paths.synapses)
    rank = {name: i for i, name in enumerate(order)}
    network = Network(
        populations=tuple(populations[name] for name in order),
        synapses=tuple(sorted(paths.synapses, key=lambda s: rank[s.target])),
        n_input=int(np.prod(graph.shapes[graph.input_name][1], dtype=np.int64)),
        encoder=_encoder(graph.contract),
        readout=readout,
        steps=graph.contract.steps,
        contract=graph.contract.as_metadata(),
        nir_file=graph.nir_file,
        input_shape=tuple(graph.shapes[graph.input_name][1]),
    )
    return Result(network, tuple(_findings(graph, network, late)))


def update_order(populations: Mapping[str, Population], synapses: list[Synapse]) -> list[str]:
    """Order populations so that each comes after those whose same step it sees.

    Raises
    ------
    UnsupportedNodeError
        If there is no such order.
    """
    past = {
        name
        for name, p in populations.items()
        if p.delay_steps is not None and bool((p.delay_steps >= 1).all())
    }
    waiting = dict.fromkeys(populations, 0)
    leads_to: dict[str, list[str]] = {name: [] for name in populations}
    for s in synapses:
        if s.source in populations and not s.late and s.source not in past:
            waiting[s.target] += 1
            leads_to[s.source].append(s.target)
    ready = [name for name, count in waiting.items() if count == 0]
    order: list[str] = []
    for name in ready:  # grows while it is read
        order.append(name)
        for target in leads_to[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    if len(order) < len(populations):
        left = sorted(set(populations) - set(order))
        raise UnsupportedNodeError(
            f"nodes {', '.join(left[:20])} form a cycle without a neuron; such a graph has no "
            "step-by-step meaning: put a neuron or a Delay on the cycle"
        )
    return order


def _check_names(graph: Graph) -> None:
    reserved = [n for n in graph.nodes if n in (INPUT, ALWAYS_ON) and is_population(graph, n)]
    if reserved:
        raise InputError(
            f"node {reserved[0]!r}: a neuron cannot have this name, which the network uses for "
            "its stimulus; rename the node"
        )


def _encoder(contract: Contract) -> Encoder:
    """Return the encoder that the contract names; what it does not say has its default."""
    said = dict(contract.as_metadata().get("encoder", {}))
    kind = said.setdefault("kind", "constant")
    if kind == "events":
        said.setdefault("bits", 1)
    return encoder_from(said)


def _findings(graph: Graph, network: Network, late: Mapping[str, frozenset[str]]) -> list[Finding]:
    """Name the connections that were cut, so that nobody has to guess where the delay sits."""
    findings = []
    relays = {p.name for p in network.populations if p.kind == "relay"}
    behind: dict[str, set[str]] = {}
    for s in network.synapses:
        if s.late:
            behind.setdefault("" if s.target in relays else s.target, set()).add(s.source)
    for target, sources in late.items():
        feeding = sorted(sources & (behind.get(target, set()) | behind.get("", set())))
        if feeding:
            text = f"sees the step before of {', '.join(feeding)} (feedback)"
            if graph.contract.recurrent_cut == "affine":
                text += ", delayed after the linear nodes on the way"
            findings.append(Finding("info", f"node {target!r}", text))
    return findings
