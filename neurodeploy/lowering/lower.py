"""Graph to Network: every LIF becomes a population, the linear nodes between become synapses."""

from __future__ import annotations

import numpy as np

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import LIF, Contract, Graph, Input, node_shapes
from neurodeploy.lowering.linear_paths import LinearInput, linear_input, linear_output
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
)


def lower(graph: Graph) -> Result[Network]:
    """Turn a checked graph into float populations and synapses (plain NIR-Euler).

    The read-out ``sum`` of a linear node becomes a population that integrates without leak and
    never fires; ``count`` reads the spikes of the last LIF.

    Raises
    ------
    UnsupportedNodeError
        For recurrent graphs.
    """
    contract = graph.contract
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, Input)]
    source_names = {inputs[0]: INPUT}
    targets = {
        name: linear_input(graph, name) for name, n in graph.nodes.items() if isinstance(n, LIF)
    }
    readout_node = str(contract.readout_node)
    if readout_node not in targets:
        targets[readout_node] = linear_output(graph, readout_node)
    order = _update_order(targets, source_names)
    populations = tuple(_population(graph, name, targets[name]) for name in order)
    synapses = tuple(
        Synapse(
            f"{source_names.get(source, source)}->{name}", source_names.get(source, source), name, w
        )
        for name in order
        for source, w in targets[name].weights.items()
    )
    network = Network(
        populations=populations,
        synapses=synapses,
        n_input=int(np.prod(node_shapes(graph.nodes[inputs[0]])[1], dtype=np.int64)),
        encoder=_encoder(contract),
        readout=Readout(readout_node, contract.readout_kind),  # type: ignore[arg-type]
        steps=int(contract.steps or 0),
        contract=contract.as_metadata(),
        nir_file=graph.nir_file,
    )
    return Result(network, tuple(_composition_findings(graph, network)))


def _update_order(targets: dict[str, LinearInput], inputs: dict[str, str]) -> list[str]:
    """Order populations so that each comes after its sources."""
    order: list[str] = []
    while len(order) < len(targets):
        ready = [
            name
            for name, part in targets.items()
            if name not in order and all(s in inputs or s in order for s in part.weights)
        ]
        if not ready:
            left = sorted(set(targets) - set(order))
            raise UnsupportedNodeError(
                f"nodes {left} form a cycle; recurrent networks are not supported yet "
                "(supported: feed-forward networks of Affine, Linear and LIF nodes)"
            )
        order += ready
    return order


def _population(graph: Graph, name: str, part: LinearInput) -> Population:
    node, contract = graph.nodes[name], graph.contract
    size = part.bias.size
    if not isinstance(node, LIF):
        return Population(
            name=name,
            nir_nodes=part.absorbed,
            kind="readout",
            decay_v=np.zeros(size),
            input_gain=np.ones(size),
            v_leak=np.zeros(size),
            v_threshold=np.full(size, np.inf),
            v_reset=np.zeros(size),
            v_init=np.zeros(size),
            bias=part.bias,
        )
    if contract.dt is None:
        raise ContractError(f"node {name!r}: needs dt in seconds; give --dt")
    decay_v = contract.dt / np.asarray(node.tau, dtype=np.float64)
    r = np.asarray(node.r, dtype=np.float64)
    return Population(
        name=name,
        nir_nodes=(*part.absorbed, name),
        kind="lif",
        decay_v=decay_v,
        input_gain=r * decay_v if contract.input_gain == "r" else np.ones(size),
        v_leak=node.v_leak,
        v_threshold=node.v_threshold,
        v_reset=node.v_reset,
        v_init=np.zeros(size),
        bias=part.bias,
        gain=node.dlif_gain,
    )


def _encoder(contract: Contract) -> ConstantEncoder:
    low, high, bits = contract.encoder_low, contract.encoder_high, contract.encoder_bits
    return ConstantEncoder(
        0.0 if low is None else low, 1.0 if high is None else high, 8 if bits is None else bits
    )


def _composition_findings(graph: Graph, network: Network) -> list[Finding]:
    """Name the linear nodes that were merged, so that nobody looks for them on the chip."""
    findings = []
    for population in network.populations:
        direct = [
            s for s in graph.sources_of(population.name) if isinstance(graph.nodes[s], (LIF, Input))
        ]
        if direct and isinstance(graph.nodes[population.name], LIF):
            text = f"fed directly by {direct}; an identity matrix stands in as its synapse"
            findings.append(Finding("info", f"node {population.name!r}", text))
    return findings
