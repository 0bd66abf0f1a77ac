"""Stateless NIR nodes, thresholds and delays as torch modules, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.norse.cells import Surrogate, neuron_stages
from neurodeploy.export.norse.modules import (
    DelayLine,
    FloatArray,
    PairedLinear,
    Scale,
    SpikeThreshold,
    Stages,
)
from neurodeploy.graph import Graph
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
    Output,
    SumPool2d,
    Threshold,
)
from neurodeploy.graph.nodes import Scale as ScaleNode
from neurodeploy.lowering.delays import delay_in_steps

#: Longest delay in steps: every step of it keeps a tensor.
LONGEST_DELAY = 10_000


def module_of(graph: Graph, name: str, surrogate: Surrogate) -> torch.nn.Module | None:
    """Return the module of node ``name``; None where values pass unchanged.

    Raises
    ------
    UnsupportedNodeError
        If neither torch nor Norse can say what the node does; the message says what is lacking.
    ContractError
        If a delay is no whole number of steps.
    """
    node = graph.nodes[name]
    shape = graph.shapes[name][0]
    if isinstance(node, (Input, Output, Junction)):
        return None
    if isinstance(node, (Affine, Linear)):
        bias = node.bias if isinstance(node, Affine) else None
        return _linear(node.weight, bias)
    if isinstance(node, ScaleNode):
        return Scale(np.broadcast_to(_float(node.scale), shape))
    if isinstance(node, (Conv1d, Conv2d)):
        return _convolution(node)
    if isinstance(node, (SumPool2d, AvgPool2d)):
        return _pool(node, len(shape))
    if isinstance(node, Flatten):
        start, end = node.start_dim % len(shape), node.end_dim % len(shape)
        return torch.nn.Flatten(start + 1, end + 1)
    if isinstance(node, Threshold):
        value = np.broadcast_to(_float(node.threshold), shape)
        return SpikeThreshold(value, surrogate.method, surrogate.alpha)
    if isinstance(node, Delay):
        steps = np.broadcast_to(delay_in_steps(node.delay, graph.contract), shape)
        if steps.max(initial=0) > LONGEST_DELAY:
            raise UnsupportedNodeError(
                f"a delay of {steps.max()} steps would keep as many tensors; at most "
                f"{LONGEST_DELAY} are built"
            )
        return DelayLine(steps)
    if isinstance(node, (*INTEGRATORS, *SPIKING)):
        return Stages(neuron_stages(graph, name, surrogate))
    raise UnsupportedNodeError("this type has no module; flatten nested graphs by reading them")


def _linear(weight: Any, bias: Any) -> torch.nn.Module:
    weight = _float(weight)
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        return PairedLinear(weight, None if bias is None else _float(bias))
    n_out, n_in = weight.shape
    layer = torch.nn.Linear(n_in, n_out, bias=bias is not None, dtype=torch.float64)
    _fill(layer, weight, bias)
    return layer


def _convolution(node: Conv1d | Conv2d) -> torch.nn.Module:
    kind: Any = torch.nn.Conv1d if isinstance(node, Conv1d) else torch.nn.Conv2d
    n_out, per_group, *kernel = node.weight.shape
    layer: torch.nn.Module = kind(
        per_group * node.groups,
        n_out,
        tuple(kernel),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        dtype=torch.float64,
    )
    _fill(layer, _float(node.weight), node.bias)
    return layer


def _pool(node: SumPool2d | AvgPool2d, axes: int) -> torch.nn.Module:
    if axes not in (2, 3):
        raise UnsupportedNodeError(f"torch pools 2 or 3 axes, this node takes {axes}")
    # Divided by 1, the average is the sum, and nothing is rounded twice.
    divisor = 1 if isinstance(node, SumPool2d) else None
    kernel, stride = _pair(node.kernel_size), _pair(node.stride)
    top, left = _pair(node.padding)
    if 2 * top <= kernel[0] and 2 * left <= kernel[1]:
        return torch.nn.AvgPool2d(kernel, stride, (top, left), divisor_override=divisor)
    # torch's pools refuse more padding than half a kernel.
    return torch.nn.Sequential(
        torch.nn.ZeroPad2d((left, left, top, top)),
        torch.nn.AvgPool2d(kernel, stride, divisor_override=divisor),
    )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal


def _fill(layer: Any, weight: FloatArray, bias: Any) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(_float(bias).reshape(-1)))


def _float(array: Any) -> FloatArray:
    """Return a native, writable float64 copy."""
    return np.array(array, dtype=np.float64)
