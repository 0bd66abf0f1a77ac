"""Where the decision is read: an existing population, or one that holds a linear node's output."""

from __future__ import annotations

from typing import cast

import numpy as np

from neurodeploy.errors import ContractError
from neurodeploy.graph import Graph, Output, Threshold
from neurodeploy.graph.nodes import INTEGRATORS, SPIKING
from neurodeploy.lowering.feedback import is_population
from neurodeploy.network import ALWAYS_ON, INPUT, Population, Readout, ReadoutKind


def readout_of(graph: Graph) -> tuple[Readout, Population | None, tuple[str, ...]]:
    """Return the read-out, the population to add for it, and the nodes which that one sums.

    ``count`` and the membrane's mean, last and maximum are read where they are. ``sum`` of values
    that are no spikes needs a perfect integrator; mean, last and maximum of them a membrane that
    keeps nothing. Neither ever fires.

    Raises
    ------
    ContractError
        If the read-out node cannot be read that way.
    """
    contract = graph.contract
    node_name, kind = str(contract.readout_node), str(contract.readout_kind)
    node = graph.nodes[node_name]
    window = contract.readout_window
    spiking = isinstance(node, SPIKING)
    if kind == "count" and not spiking:
        raise ContractError(
            f"node {node_name!r}: {type(node).__name__} does not spike, so its spikes cannot be "
            "counted; give --readout-kind sum, mean_v, last_v or max_v"
        )
    if spiking and kind in ("count", "sum"):
        return Readout(node_name, "count", window), None, ()
    if isinstance(node, Threshold):
        raise ContractError(
            f"node {node_name!r}: Threshold has no membrane; give --readout-kind count"
        )
    if (spiking or isinstance(node, INTEGRATORS)) and kind != "sum":
        return Readout(node_name, cast(ReadoutKind, kind), window), None, ()
    # The network itself has other uses for the names of neurons, and of its stimulus.
    taken = is_population(graph, node_name) or node_name in (INPUT, ALWAYS_ON)
    name = f"{node_name}:{kind}" if taken else node_name
    while name != node_name and name in graph.nodes:
        name += "+"
    sources = graph.sources_of(node_name) if isinstance(node, Output) else (node_name,)
    shape = graph.shapes[node_name][1]
    zeros = np.zeros(int(np.prod(shape, dtype=np.int64)))
    population = Population(
        name=name,
        nir_nodes=(),
        kind="li",
        decay_v=zeros if kind == "sum" else zeros + 1,
        input_gain=zeros + 1,
        v_leak=zeros,
        v_threshold=zeros + np.inf,
        v_reset=zeros,
        v_init=zeros,
        bias=zeros,
        shape=shape,
    )
    return Readout(name, cast(ReadoutKind, kind), window), population, sources
