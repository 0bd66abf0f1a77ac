"""Reading a torch or Norse model into plain float64 layers, for the NIR exporter.

Norse's own exporter multiplies time constants by dt, drops v_reset and fails on scalar
parameters; none of its code is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.errors import ContractError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.neurons import DLIFCell, LIFCell, SpikingSequence
from neurodeploy.neurons.norse_parts import LIFBoxCell, SequentialState, reset_value

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LinearLayer:
    """``y = weight @ x + bias``; float64 [out, in] and [out]. ``path``: where in the model."""

    path: str
    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SpikingLayer:
    """NIR's LIF, float64 [N], with ``tau`` in seconds, and DLIF's gain [T] or None.

    ``origin`` [N] was subtracted from all membrane parameters: NIR's states start at zero, and a
    Norse cell starts at its v_leak.
    """

    path: str
    tau: FloatArray
    r: FloatArray
    v_threshold: FloatArray
    v_reset: FloatArray
    origin: FloatArray
    gain: FloatArray | None = None


Layer: TypeAlias = LinearLayer | SpikingLayer
_Reader: TypeAlias = Callable[[str, Any, int, float], Layer]
_CONTAINERS = (SpikingSequence, SequentialState, torch.nn.Sequential)
_READERS: dict[type[torch.nn.Module], _Reader] = {}


def leaf_modules(model: torch.nn.Module, path: str = "model") -> list[tuple[str, torch.nn.Module]]:
    """Return the modules of a sequential model in order, with their paths.

    Raises
    ------
    UnsupportedNodeError
        For a module that cannot be exported; the message lists what can.
    """
    # Exact types, not subclasses: a subclass may compute something else. A SpikingSequence inside
    # another model gives means over time, so it can only be the whole model.
    nested = type(model) is SpikingSequence and path != "model"
    if type(model) in _READERS:
        return [(path, model)]
    if type(model) not in _CONTAINERS or nested:
        raise UnsupportedNodeError(
            f"{path}: {type(model).__module__}.{type(model).__qualname__} cannot be exported to "
            f"NIR; supported: {', '.join(t.__name__ for t in _READERS)} in "
            f"{', '.join(t.__name__ for t in _CONTAINERS)}"
        )
    leaves = []
    # Not named_children, which leaves out a module that is used twice.
    for name, child in model._modules.items():
        if child is not None:
            leaves += leaf_modules(child, f"{path}.{name}")
    return leaves


def step_length(model: torch.nn.Module, dt: float | None) -> float:
    """Return the step length in seconds that the modules and ``dt`` agree on.

    Raises
    ------
    ContractError
        If nothing says it, or two say different things.
    """
    said = {
        path: float(module.dt)
        for path, module in leaf_modules(model)
        if isinstance(module, LIFBoxCell)
    }
    if dt is not None:
        said["dt="] = dt
    if not said:
        raise ContractError(
            "dt: the model's cells do not say how long a step is; give dt in seconds (--dt)"
        )
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{path} {value:g} s" for path, value in said.items())
        raise ContractError(f"dt: the step length is contradictory: {listed}; give the one used")
    value = next(iter(said.values()))
    if not 0 < value < float("inf"):
        raise ContractError(f"dt: {value} s; a step length is positive and finite")
    return value


def read_layers(model: torch.nn.Module, n_input: int, dt: float) -> list[Layer]:
    """Read every module into a layer; parameters given once are broadcast to the layer's size.

    Raises
    ------
    UnsupportedNodeError, ShapeError, RangeError
        Each names the module's path.
    """
    layers: list[Layer] = []
    size = n_input
    for path, module in leaf_modules(model):
        layer = _READERS[type(module)](path, module, size, dt)
        size = layer.bias.size if isinstance(layer, LinearLayer) else layer.tau.size
        layers.append(layer)
    if not any(isinstance(layer, SpikingLayer) for layer in layers):
        raise UnsupportedNodeError("model: has no spiking cell; there is nothing to deploy")
    return layers


def _reads(kind: type[torch.nn.Module]) -> Callable[[_Reader], _Reader]:
    def register(reader: _Reader) -> _Reader:
        _READERS[kind] = reader
        return reader

    return register


@_reads(torch.nn.Linear)
def _linear(path: str, module: torch.nn.Linear, size: int, dt: float) -> LinearLayer:
    del dt
    weight = _array(module.weight)
    bias = np.zeros(weight.shape[0]) if module.bias is None else _array(module.bias)
    if weight.shape[1] != size:
        raise ShapeError(f"{path}: takes {weight.shape[1]} values, is given {size}")
    _require_finite(path, weight=weight, bias=bias)
    return LinearLayer(path, weight, bias)


@_reads(LIFCell)
@_reads(DLIFCell)
def _own_cell(path: str, module: LIFCell, size: int, dt: float) -> SpikingLayer:
    lost = 1 - _per_neuron(path, "retention", module.retention, size)
    tau = dt / lost
    # r = tau / dt makes the factor on the input, r * dt / tau, one.
    return SpikingLayer(
        path,
        tau=tau,
        r=tau / dt,
        v_threshold=_per_neuron(path, "v_threshold", module.v_threshold, size),
        v_reset=_per_neuron(path, "v_reset", module.v_reset, size),
        origin=np.zeros(size),
        gain=_gain(path, module) if isinstance(module, DLIFCell) else None,
    )


@_reads(LIFBoxCell)
def _lif_box(path: str, module: Any, size: int, dt: float) -> SpikingLayer:
    del dt
    p = module.p
    if p.reset_method is not reset_value:
        name = getattr(p.reset_method, "__name__", str(p.reset_method))
        raise UnsupportedNodeError(
            f"{path}: reset method {name} cannot be exported yet; supported: reset_value "
            "(to v_reset)"
        )
    tau_inverse = _per_neuron(path, "tau_mem_inv", p.tau_mem_inv, size)
    if (tau_inverse <= 0).any():
        raise RangeError(f"{path}: tau_mem_inv is {tau_inverse.min():g}/s; it must be positive")
    v_leak = _per_neuron(path, "v_leak", p.v_leak, size)
    return SpikingLayer(
        path,
        tau=1 / tau_inverse,
        r=np.ones(size),
        v_threshold=_per_neuron(path, "v_th", p.v_th, size) - v_leak,
        v_reset=_per_neuron(path, "v_reset", p.v_reset, size) - v_leak,
        origin=v_leak,
    )


def _gain(path: str, module: DLIFCell) -> FloatArray:
    gain = _array(module.gain)
    _require_finite(path, gain=gain)
    if (gain <= 0).any():
        raise RangeError(
            f"{path}: the gain is {gain.min():g} at step {int(gain.argmin())}; gains must be "
            "positive (train with DLIFCell.project_ after every optimiser step)"
        )
    return gain


def _per_neuron(path: str, name: str, value: Any, size: int) -> FloatArray:
    array = _array(value)
    if array.size not in (1, size) or array.squeeze().ndim > 1:
        raise ShapeError(
            f"{path}: {name} has shape {array.shape}; needs one number or one per neuron ({size},)"
        )
    _require_finite(path, **{name: array})
    return np.array(np.broadcast_to(array.reshape(-1), (size,)))


def _array(value: Any) -> FloatArray:
    tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
    return np.array(tensor.cpu().numpy(), dtype=np.float64)


def _require_finite(path: str, **arrays: FloatArray) -> None:
    for name, array in arrays.items():
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise RangeError(f"{path}: {name}: {bad} of {array.size} values are NaN or infinite")
