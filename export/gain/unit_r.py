"""Moving r of LIF nodes into the weights before them, for readers that drop r (Norse 1.1.0)."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.gain.graph import GainGraph
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.graph.nodes import LIF, Affine, Conv1d, Conv2d, Linear, Node


def with_unit_r(graph: GainGraph) -> GainGraph:
    """Return the graph with r = 1 in every LIF node; the membranes are the same.

    Raises
    ------
    UnsupportedNodeError
        For a LIF node whose r is not 1 and has no weights of its own to go into.
    """
    if graph.contract.input_gain == "one":
        return graph
    nodes = dict(graph.nodes)
    for name, node in graph.nodes.items():
        if not isinstance(node, LIF) or bool((np.asarray(node.r) == 1).all()):
            continue
        r = np.asarray(node.r, dtype=np.float64)
        for source in graph.sources_of(name):
            before = nodes[source]
            scaled = _scaled(before, r) if _feeds_only(graph, source, name) else None
            if scaled is None:
                raise UnsupportedNodeError(
                    f"node {name!r}: r is {r.min():g}..{r.max():g}, and {source!r} "
                    f"({type(before).__name__}) before it has no weights for this node alone that "
                    "could take it; export without unit_r"
                )
            nodes[source] = scaled
        nodes[name] = dataclasses.replace(node, r=np.ones_like(r))
    return dataclasses.replace(graph, nodes=nodes)


def _feeds_only(graph: GainGraph, source: str, name: str) -> bool:
    targets = [target for s, target in graph.edges if s == source]
    return targets == [name] and source != graph.contract.readout_node


def _scaled(node: Node, r: FloatArray) -> Node | None:
    """Return the node with its output times ``r``, or None where its weights cannot do that."""
    if not isinstance(node, (Affine, Linear, Conv1d, Conv2d)):
        return None
    weight = np.asarray(node.weight, dtype=np.float64)
    if isinstance(node, (Affine, Linear)):
        factors = r
    else:
        # A convolution has one set of weights per channel for all places.
        flat = r.reshape(len(r), -1)
        if bool((flat != flat[:, :1]).any()):
            return None
        factors = flat[:, 0]
    if factors.ndim != weight.ndim - 1 and isinstance(node, (Affine, Linear)):
        return None
    spread = factors[(..., *(None for _ in range(weight.ndim - factors.ndim)))]
    if isinstance(node, Linear):
        return dataclasses.replace(node, weight=weight * spread)
    bias = np.asarray(node.bias, dtype=np.float64) * factors
    return dataclasses.replace(node, weight=weight * spread, bias=bias)
