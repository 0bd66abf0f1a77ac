"""NIR in: safe reading, validation, and the execution contract a NIR file lacks."""

from neurodeploy.graph.contract import (
    PLAIN_NIR_EULER,
    Contract,
    contract_from_metadata,
    option_name,
)
from neurodeploy.graph.graph import Graph, read
from neurodeploy.graph.nodes import LIF, NODE_TYPES, Affine, Input, Linear, Node, Output
from neurodeploy.graph.validation import node_shapes, validate

__all__ = [
    "LIF",
    "NODE_TYPES",
    "PLAIN_NIR_EULER",
    "Affine",
    "Contract",
    "Graph",
    "Input",
    "Linear",
    "Node",
    "Output",
    "contract_from_metadata",
    "node_shapes",
    "option_name",
    "read",
    "validate",
]
