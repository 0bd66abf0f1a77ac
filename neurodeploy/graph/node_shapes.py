"""What shape each node type takes and gives; shapes have neither batch nor time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurodeploy.errors import ShapeError
from neurodeploy.graph.nodes import (
    INTEGRATORS,
    SPIKING,
    Affine,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Delay,
    Flatten,
    Input,
    Junction,
    Linear,
    Node,
    Output,
    Padding,
    Scale,
    Shape,
    SumPool2d,
    array_fields,
)

#: Nodes that give the shape they take.
ELEMENTWISE = (Input, Output, Junction, Scale, Delay, *INTEGRATORS, *SPIKING)


def own_input_shape(node: Node) -> Shape | None:
    """Return the input shape that the node's own fields fix, or None if they leave it open.

    Parameters without axes leave it open: they hold for a layer of any shape.
    """
    if isinstance(node, (Input, Output, Junction)):
        return node.shape
    if isinstance(node, (Affine, Linear)):
        return (*node.weight.shape[:-2], node.weight.shape[-1])
    if isinstance(node, (Conv1d, Conv2d)):
        if node.input_shape is None:
            return None
        return (node.weight.shape[1] * node.groups, *node.input_shape)
    if isinstance(node, Flatten):
        return node.input_type
    if isinstance(node, (SumPool2d, AvgPool2d)):
        return None
    return next((p.shape for p in array_fields(node).values() if p.ndim), None)


def output_shape(node: Node, taken: Shape) -> Shape:
    """Return what ``node`` gives for an input of shape ``taken``.

    Spatial sizes are rounded down, as in PyTorch.

    Raises
    ------
    ShapeError
        If the node cannot take this shape; the message has the numbers.
    """
    if isinstance(node, (Affine, Linear)):
        return (*node.weight.shape[:-2], node.weight.shape[-2])
    if isinstance(node, (Conv1d, Conv2d)):
        return _convolved(node, taken)
    if isinstance(node, (SumPool2d, AvgPool2d)):
        if len(taken) != 3:
            raise ShapeError(f"takes [channels, height, width], not {taken}")
        spatial = _windows(taken[1:], node.kernel_size, node.stride, node.padding, (1, 1))
        return (taken[0], *spatial)
    if isinstance(node, Flatten):
        return flattened(taken, node.start_dim, node.end_dim)
    return taken


def flattened(taken: Shape, start_dim: int, end_dim: int) -> Shape:
    """Join the axes ``start_dim`` to ``end_dim``, counted without batch.

    Raises
    ------
    ShapeError
        If an axis does not exist, or they are in the wrong order.
    """
    rank = len(taken)
    # PyTorch's usual start_dim=1 counts the batch; on one axis there is then nothing to join.
    if rank == 1 and start_dim == 1 and end_dim in (-1, 0):
        return taken
    start = start_dim + rank if start_dim < 0 else start_dim
    end = end_dim + rank if end_dim < 0 else end_dim
    if not 0 <= start <= end < rank:
        raise ShapeError(
            f"start_dim {start_dim} and end_dim {end_dim} do not fit the shape {taken} (NIR counts "
            "axes without batch)"
        )
    return (*taken[:start], math.prod(taken[start : end + 1]), *taken[end + 1 :])


def _convolved(node: Conv1d | Conv2d, taken: Shape) -> Shape:
    axes = 1 if isinstance(node, Conv1d) else 2
    channels = node.weight.shape[1] * node.groups
    if len(taken) != axes + 1 or taken[0] != channels:
        per_group = f" ({node.groups} groups of {node.weight.shape[1]})" if node.groups > 1 else ""
        raise ShapeError(
            f"takes [channels, {'length' if axes == 1 else 'height, width'}] with {channels} "
            f"channels{per_group}, not {taken}"
        )
    kernel = node.weight.shape[2:]
    spatial = _windows(taken[1:], kernel, node.stride, node.padding, node.dilation)
    return (node.weight.shape[0], *spatial)


def _windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> Shape:
    """Return the number of windows along each axis."""
    if padding == "same":
        if any(step != 1 for step in stride):
            raise ShapeError(f"padding 'same' needs stride 1, has {tuple(stride)}")
        return tuple(sizes)
    zeros = (0,) * len(sizes) if isinstance(padding, str) else padding
    windows = []
    for size, width, step, zero, spread in zip(sizes, kernel, stride, zeros, dilation, strict=True):
        room = size + 2 * zero - spread * (width - 1) - 1
        if room < 0:
            raise ShapeError(
                f"a kernel of {width} (dilation {spread}) is larger than {size} values with "
                f"{zero} zeros on both sides"
            )
        windows.append(room // step + 1)
    return tuple(windows)
