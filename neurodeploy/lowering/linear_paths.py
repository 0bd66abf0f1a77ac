"""Composing the affine and linear nodes between two populations into one matrix and one bias.

A composition of linear maps is exact as a linear map; in float64 it may differ from the chain in
the last bit, which the verification of every export counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.graph import LIF, Affine, Graph, Input, Linear, node_shapes

FloatMatrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LinearInput:
    """What reaches a node: one weight [size, source size] per source, and a bias [size].

    ``absorbed`` names the linear nodes on the way, in the order in which they were met.
    """

    weights: dict[str, FloatMatrix]
    bias: NDArray[np.float64]
    absorbed: tuple[str, ...] = ()


def linear_input(graph: Graph, name: str, pending: tuple[str, ...] = ()) -> LinearInput:
    """Return the composed linear map from inputs and neurons into node ``name``.

    Several edges into one node are summed, as NIR says.

    Raises
    ------
    UnsupportedNodeError
        For a cycle of linear nodes.
    """
    if name in pending:
        raise UnsupportedNodeError(
            f"node {name!r}: lies on a cycle without a neuron ({' -> '.join((*pending, name))}); "
            "such a graph has no step-by-step meaning"
        )
    size = int(np.prod(node_shapes(graph.nodes[name])[0], dtype=np.int64))
    weights: dict[str, FloatMatrix] = {}
    bias = np.zeros(size)
    absorbed: tuple[str, ...] = ()
    for source in graph.sources_of(name):
        part = linear_output(graph, source, (*pending, name))
        bias = bias + part.bias
        absorbed += part.absorbed
        for origin, matrix in part.weights.items():
            weights[origin] = weights[origin] + matrix if origin in weights else matrix
    return LinearInput(weights, bias, absorbed)


def linear_output(graph: Graph, name: str, pending: tuple[str, ...] = ()) -> LinearInput:
    """Return what node ``name`` emits, as a linear map of inputs and neurons."""
    node = graph.nodes[name]
    size = int(np.prod(node_shapes(node)[1], dtype=np.int64))
    if isinstance(node, (Input, LIF)):
        return LinearInput({name: np.eye(size)}, np.zeros(size))
    below = linear_input(graph, name, pending)
    if not isinstance(node, (Affine, Linear)):
        return below
    matrix = np.asarray(node.weight, dtype=np.float64)
    own = np.asarray(node.bias, dtype=np.float64) if isinstance(node, Affine) else np.zeros(size)
    # A lone identity (the usual case) must leave the trained weight as it is, to the last bit.
    weights = {
        source: matrix if _is_identity(w) else matrix @ w for source, w in below.weights.items()
    }
    bias = matrix @ below.bias + own if below.bias.any() else own
    return LinearInput(weights, bias, (*below.absorbed, name))


def _is_identity(matrix: FloatMatrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool((matrix == np.eye(len(matrix))).all())
