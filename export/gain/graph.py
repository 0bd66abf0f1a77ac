"""The graph that a portable form is made from: checked gains, plain names, signals classified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodeploy.errors import InputError, RangeError, UnsupportedNodeError
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.graph import Graph
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.nodes import (
    IF,
    LIF,
    LINEAR_NODES,
    CubaLIF,
    Delay,
    Flatten,
    Input,
    Junction,
    Linear,
    Node,
    Shape,
    Threshold,
)

#: Key of a node's metadata that makes it a DLIF.
GAIN_KEY = "dlif_gain"
#: Key of a portable graph's metadata.
PORTABLE_KEY = "neurodeploy_gain"


@dataclass(frozen=True, slots=True, eq=False)
class GainGraph:
    """A flat graph in names that a file can hold.

    ``names`` maps the caller's node names to those used here: a slash in an HDF5 name would be a
    nesting. ``gains`` holds the gain [T] of each DLIF node.
    """

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    shapes: Mapping[str, tuple[Shape, Shape]]
    contract: Contract
    metadata: Mapping[str, Any]
    names: Mapping[str, str]
    gains: Mapping[str, FloatArray]
    input_name: str

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge into ``name``."""
        return tuple(source for source, target in self.edges if target == name)

    def is_binary(self, name: str, *, binary_input: bool) -> bool:
        """Whether the node sends 0 or 1 per neuron, whatever it is given.

        What only moves one such signal (Delay, Flatten) sends such a signal, too.
        """
        node = self.nodes[name]
        if isinstance(node, Input):
            return binary_input
        if isinstance(node, (IF, LIF, CubaLIF)):
            return self.contract.spikes == "single"
        if isinstance(node, Threshold):
            return True
        sources = self.sources_of(name)
        moves = isinstance(node, (Delay, Flatten)) and len(sources) == 1
        return moves and self.is_binary(sources[0], binary_input=binary_input)

    def reachable(self, name: str) -> set[str]:
        """Return the nodes that a walk of one or more edges from ``name`` can end at."""
        found: set[str] = set()
        front = {name}
        while front:
            front = {t for s, t in self.edges if s in front} - found
            found |= front
        return found


def gain_graph(graph: Graph) -> GainGraph:
    """Return ``graph`` as it is needed here.

    Raises
    ------
    InputError
        If it has no gain, or is already in a portable form.
    UnsupportedNodeError
        For a gain that does not hold its last value.
    RangeError
        For a gain that is not positive and finite.
    """
    if PORTABLE_KEY in graph.metadata:
        raise InputError(f"graph: already in a portable form (its metadata has {PORTABLE_KEY!r})")
    nodes, edges = _without_junctions(graph)
    names = _plain_names(nodes)
    gains = {names[n]: _gain(n, node) for n, node in nodes.items() if GAIN_KEY in node.metadata}
    if not gains:
        raise InputError(f"graph: no node has {GAIN_KEY!r}; there is no gain to convert")
    contract = graph.contract
    readout = contract.readout_node
    if readout is not None:
        contract = dataclasses.replace(contract, readout_node=names.get(readout, readout))
    return GainGraph(
        nodes={names[name]: node for name, node in nodes.items()},
        edges=tuple((names[s], names[t]) for s, t in edges),
        shapes={names[n]: graph.shapes[n] for n in nodes if n in graph.shapes},
        contract=contract,
        metadata=graph.metadata,
        names=names,
        gains=gains,
        input_name=names[graph.input_name],
    )


def _gain(name: str, node: Node) -> FloatArray:
    entry = node.metadata[GAIN_KEY]
    after = entry.get("after", "last")
    if not isinstance(node, (IF, LIF, CubaLIF)) or after != "last":
        raise UnsupportedNodeError(
            f"node {name!r} ({type(node).__name__}): {GAIN_KEY} with after = {after!r}; a portable "
            "form knows IF, LIF and CubaLIF nodes whose last gain holds"
        )
    values = np.atleast_1d(np.asarray(entry["values"], dtype=np.float64))
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise RangeError(
            f"node {name!r}: gain {values.min():.4g}..{values.max():.4g}; a portable form needs "
            "positive, finite gains"
        )
    return values


def _without_junctions(graph: Graph) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Join the two sides of every Junction; NIR has no such node."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    for name, node in graph.nodes.items():
        if not isinstance(node, Junction):
            continue
        sources = [s for s, t in edges if t == name]
        targets = [t for s, t in edges if s == name]
        joined = [(s, t) for s in sources for t in targets]
        if set(joined) & set(edges):
            # Joining would make one edge of two, and halve the sum: the identity stays a node.
            nodes[name] = Linear(np.eye(node.shape[-1]))
            continue
        edges = [edge for edge in edges if name not in edge] + joined
        del nodes[name]
    return nodes, edges


def _plain_names(nodes: Mapping[str, Node]) -> dict[str, str]:
    names: dict[str, str] = {}
    taken = {name for name in nodes if "/" not in name}
    for name in nodes:
        plain = name if "/" not in name else fresh_name(name.replace("/", "."), taken)
        taken.add(plain)
        names[name] = plain
    return names


def fresh_name(base: str, taken: set[str]) -> str:
    """Return ``base``, or ``base_2``, ``base_3``, ... where it is taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def is_linear(node: Node) -> bool:
    """Whether the node is linear and without a state."""
    return isinstance(node, LINEAR_NODES)
