"""Linear NIR nodes as operators of the network: float64, shapes known, padding in numbers."""

from __future__ import annotations

import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.graph import (
    Affine,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Flatten,
    Graph,
    Input,
    Junction,
    Linear,
    Output,
    Scale,
    SumPool2d,
)
from neurodeploy.network import Convolution, Dense, Operator, Pool
from neurodeploy.network import Scale as ScaleOperator


def operator_of(graph: Graph, name: str) -> Operator | None:
    """Return the operator of linear node ``name``; None where values pass unchanged.

    Values are flat in C order, so Flatten changes nothing.

    Raises
    ------
    UnsupportedNodeError
        If the node is not linear.
    """
    node = graph.nodes[name]
    given, taken = graph.shapes[name][1], graph.shapes[name][0]
    if isinstance(node, (Flatten, Junction, Input, Output)):
        return None
    if isinstance(node, Affine):
        return Dense(name, node.weight, np.asarray(node.bias, dtype=np.float64).reshape(-1))
    if isinstance(node, Linear):
        return Dense(name, node.weight)
    if isinstance(node, Scale):
        return ScaleOperator(name, np.broadcast_to(node.scale, taken))
    if isinstance(node, (Conv1d, Conv2d)):
        return Convolution(
            name,
            np.asarray(node.weight, dtype=np.float64),
            node.bias,
            stride=node.stride,
            padding=_padding(node),
            dilation=node.dilation,
            groups=node.groups,
            input_shape=taken,
            output_shape=given,
        )
    if isinstance(node, (SumPool2d, AvgPool2d)):
        kind = "sum" if isinstance(node, SumPool2d) else "average"
        return Pool(name, kind, node.kernel_size, node.stride, node.padding, taken, given)  # type: ignore[arg-type]
    raise UnsupportedNodeError(f"node {name!r}: {type(node).__name__} is not linear")


def _padding(node: Conv1d | Conv2d) -> tuple[tuple[int, int], ...]:
    """Return zeros before and after each axis; 'same' puts the odd one after, as PyTorch does."""
    kernel = node.weight.shape[2:]
    if node.padding == "valid":
        return tuple((0, 0) for _ in kernel)
    if isinstance(node.padding, str):
        totals = [d * (k - 1) for d, k in zip(node.dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((int(p), int(p)) for p in node.padding)
