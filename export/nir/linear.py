"""Torch's linear functions as NIR operations: what each call computes, or why NIR cannot.

A description is (operation, input signal, number of leading axes, way back): leading axes are
steps and samples in any order, the rest is one input of the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.errors import ShapeError, UnsupportedNodeError
from neurodeploy.export.nir.signal import Signal, moved

if TYPE_CHECKING:
    from neurodeploy.export.nir.sites import Operation
    from neurodeploy.export.nir.trace import Tracer

Way: TypeAlias = Callable[[Tensor], Tensor]
Description: TypeAlias = "tuple[Operation, Signal, int, tuple[Way, Way] | None] | None"


def linear(
    tracer: Tracer,
    signal: Signal,
    weight: Tensor,
    bias: Tensor | None = None,
) -> Description:
    """``x @ weight.T + bias`` on the last axis."""
    size = int(weight.shape[-1])
    if not signal.shape or signal.shape[-1] != size:
        given = signal.shape[-1] if signal.shape else 1
        raise ShapeError(f"{tracer.path}: takes {size} values, is given {given}")
    operation = tracer.operation("linear", {"weight": weight, "bias": bias}, _is_zero(bias))
    return operation, signal, len(signal.shape) - 1, None


def matmul(tracer: Tracer, signal: Signal, other: Tensor) -> Description:
    """``x @ W`` with a constant matrix."""
    if other.ndim != 2:
        return None
    return linear(tracer, signal, other.t())


def _conv(
    tracer: Tracer,
    signal: Signal,
    weight: Tensor,
    bias: Tensor | None,
    options: Mapping[str, Any],
) -> Description:
    axes = weight.ndim - 2
    if len(signal.shape) != axes + 2:
        raise UnsupportedNodeError(f"conv{axes}d of one sample without a batch axis")
    groups = int(options.get("groups", 1))
    if signal.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{tracer.path}: takes {weight.shape[1] * groups} channels, is given {signal.shape[1]}"
        )
    padding = options.get("padding", 0)
    parameters = {
        "weight": weight,
        "bias": bias,
        "stride": per_axis(options.get("stride", 1), axes),
        "padding": padding if isinstance(padding, str) else per_axis(padding, axes),
        "dilation": per_axis(options.get("dilation", 1), axes),
        "groups": groups,
    }
    return tracer.operation("conv", parameters, _is_zero(bias)), signal, 1, None


def conv1d(
    tracer: Tracer,
    signal: Signal,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Description:
    """Convolution over one axis."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _conv(tracer, signal, weight, bias, options)


def conv2d(
    tracer: Tracer,
    signal: Signal,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Description:
    """Convolution over two axes."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _conv(tracer, signal, weight, bias, options)


def conv3d(
    tracer: Tracer,
    signal: Signal,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Description:
    """Do a 2-d convolution written as a 3-d one that leaves its last axis, time, alone."""
    last = [per_axis(option, 3)[2] for option in (stride, padding, dilation)]
    if weight.shape[-1] != 1 or last[:2] != [1, 0] or isinstance(padding, str):
        raise UnsupportedNodeError("a convolution over time or three axes of space")
    options = {
        "stride": per_axis(stride, 3)[:2],
        "padding": per_axis(padding, 3)[:2],
        "dilation": per_axis(dilation, 3)[:2],
        "groups": groups,
    }
    # [B, C, H, W, T] to [T * B, C, H, W] and back.
    steps = signal.shape[-1]
    flat = moved(signal, lambda x: x.permute(4, 0, 1, 2, 3).flatten(0, 1))
    described = _conv(tracer, flat, weight[..., 0], bias, options)
    if described is None:
        return None
    there = lambda y: y.permute(4, 0, 1, 2, 3).flatten(0, 1)  # noqa: E731
    back = lambda x: x.unflatten(0, (steps, -1)).permute(1, 2, 3, 4, 0)  # noqa: E731
    return described[0], described[1], 1, (there, back)


def avg_pool2d(
    tracer: Tracer,
    signal: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Description:
    """Average pool; NIR's counts the padding and has whole windows only."""
    kernel, step, pad = _window(kernel_size, stride, padding, 2)
    _require_whole_windows("avg_pool2d", signal, kernel, step, pad, ceil_mode)
    if not count_include_pad and any(pad):
        raise UnsupportedNodeError("avg_pool2d with padding and count_include_pad=False")
    kind = "average"
    weight = None
    if divisor_override is not None:
        kind, weight = "sum", 1 / divisor_override
    return _pool(tracer, signal, kind, (kernel, step, pad), weight)


def avg_pool1d(
    tracer: Tracer,
    signal: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Description:
    """Average pool over one axis, written as a convolution of each channel with itself."""
    kernel, step, pad = _window(kernel_size, stride, padding, 1)
    _require_whole_windows("avg_pool1d", signal, kernel, step, pad, ceil_mode)
    if not count_include_pad and any(pad):
        raise UnsupportedNodeError("avg_pool1d with padding and count_include_pad=False")
    return _pool(tracer, signal, "sum", (kernel, step, pad), 1 / kernel[0])


def adaptive_avg_pool2d(
    tracer: Tracer,
    signal: Signal,
    output_size: Any,
) -> Description:
    """Average pool to a given size, where that divides the input's."""
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    given = signal.shape[-2:]
    wanted = [g if s is None else int(s) for s, g in zip(sizes, given, strict=True)]
    if any(g % w for g, w in zip(given, wanted, strict=True)):
        raise UnsupportedNodeError(
            f"adaptive_avg_pool2d from {tuple(given)} to {tuple(wanted)}, which does not divide it,"
        )
    kernel = tuple(g // w for g, w in zip(given, wanted, strict=True))
    return avg_pool2d(tracer, signal, kernel)


def lp_pool2d(
    tracer: Tracer,
    signal: Signal,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Description:
    """Power pool; with power 1 a sum pool."""
    if norm_type != 1:
        raise UnsupportedNodeError(f"lp_pool2d with power {norm_type:g} (power 1 is a sum pool)")
    kernel, step, pad = _window(kernel_size, stride, 0, 2)
    _require_whole_windows("lp_pool2d", signal, kernel, step, pad, ceil_mode)
    return _pool(tracer, signal, "sum", (kernel, step, pad), None)


def max_pool2d(
    tracer: Tracer,
    signal: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Description:
    """Largest value of a window of spikes: 1 where their sum is above a half."""
    if not is_binary(tracer, signal):
        raise UnsupportedNodeError("max_pool2d of anything but one cell's spikes")
    if set(per_axis(dilation, 2)) != {1}:
        raise UnsupportedNodeError("max_pool2d with dilation")
    kernel, step, pad = _window(kernel_size, stride, padding, 2)
    _require_whole_windows("max_pool2d", signal, kernel, step, pad, ceil_mode)
    return _pool(tracer, signal, "max", (kernel, step, pad), None)


def is_binary(tracer: Tracer, signal: Signal) -> bool:
    """Whether every value is 0 or 1: a spike, or the largest of several."""
    sites = [tracer.recorder.sites[term.node] for term in signal.terms]
    plain = all(not isinstance(t.factor, Tensor) and t.factor == 1 for t in signal.terms)
    return len(sites) < 2 and plain and signal.constant is None and all(s.is_binary for s in sites)


def batch_norm(
    tracer: Tracer,
    signal: Signal,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Description:
    """Batch norm with stored statistics: one factor and one shift per channel."""
    del momentum
    if training or running_mean is None or running_var is None:
        raise UnsupportedNodeError("batch norm in training mode (call model.eval() first)")
    scale = 1 / torch.sqrt(running_var.detach().double() + eps)
    scale = scale if weight is None else scale * weight.detach().double()
    shift = -running_mean.detach().double() * scale
    shift = shift if bias is None else shift + bias.detach().double()
    parameters = {"scale": scale, "shift": shift}
    operation = tracer.operation("norm", parameters, not bool(shift.any()))
    return operation, signal, 1, None


def _pool(
    tracer: Tracer,
    signal: Signal,
    kind: str,
    window: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    weight: float | None,
) -> Description:
    kernel, stride, padding = window
    if len(signal.shape) != len(kernel) + 2:
        raise UnsupportedNodeError("a pool of one sample without a batch axis")
    if weight is None:
        parameters: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
        return tracer.operation(f"{kind} pool", parameters, True), signal, 1, None
    channels = signal.shape[1]
    parameters = {
        "weight": torch.full((channels, 1, *kernel), weight, dtype=torch.float64),
        "bias": None,
        "stride": stride,
        "padding": padding,
        "dilation": (1,) * len(kernel),
        "groups": channels,
    }
    return tracer.operation("conv", parameters, True), signal, 1, None


def _window(
    kernel: Any, stride: Any, padding: Any, axes: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    size = per_axis(kernel, axes)
    empty = stride is None or (isinstance(stride, (list, tuple)) and not stride)
    return size, size if empty else per_axis(stride, axes), per_axis(padding, axes)


def _require_whole_windows(
    name: str,
    signal: Signal,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
) -> None:
    if not ceil_mode:
        return
    for size, k, s, p in zip(signal.shape[-len(kernel) :], kernel, stride, padding, strict=True):
        if (size + 2 * p - k) % s:
            raise UnsupportedNodeError(
                f"{name} with ceil_mode, whose last window of {size} by {k} is a partial one,"
            )


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """Return one whole number per axis."""
    values = list(value) if isinstance(value, (tuple, list, torch.Size)) else [value]
    return tuple(int(v) for v in (values * axes if len(values) == 1 else values))


def _is_zero(bias: Tensor | None) -> bool:
    return bias is None or not bool(bias.any())


def array(value: Any) -> NDArray[np.float64]:
    """Return a parameter as float64."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
    return np.array(tensor.cpu().numpy(), dtype=np.float64)


DESCRIPTIONS: Mapping[str, Callable[..., Description]] = {
    "linear": linear,
    "matmul": matmul,
    "__matmul__": matmul,
    "mm": matmul,
    "conv1d": conv1d,
    "conv2d": conv2d,
    "conv3d": conv3d,
    "avg_pool2d": avg_pool2d,
    "avg_pool1d": avg_pool1d,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "lp_pool2d": lp_pool2d,
    "max_pool2d": max_pool2d,
    "batch_norm": batch_norm,
}
