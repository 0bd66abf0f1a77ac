"""The nodes of NIR 1.0.8 as frozen types. Shapes have no batch and no time axis.

Fields are named as in NIR. Arrays keep the shape and number type of the file; lowering makes them
float64. Source: NIR 1.0.8, ``nir.ir``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
#: Zeros around each axis, or PyTorch's words.
Padding: TypeAlias = tuple[int, ...] | str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NodeBase:
    """What every node may carry; other tools ignore it."""

    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Input(NodeBase):
    """Where the stimulus enters; ``shape`` without batch and time."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Output(NodeBase):
    """Where the result leaves."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Junction(NodeBase):
    """The inner Input or Output of a nested graph after flattening: passes on the sum it gets."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Affine(NodeBase):
    """``y = weight @ x + bias``; weight [.., out, in], bias [.., out]; leading axes pair up."""

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class Linear(NodeBase):
    """``y = weight @ x``; weight [.., out, in]."""

    weight: Array


@dataclass(frozen=True, slots=True, eq=False)
class Scale(NodeBase):
    """``y = scale * x``, element by element."""

    scale: Array


@dataclass(frozen=True, slots=True, eq=False)
class Conv1d(NodeBase):
    """Cross-correlation as in PyTorch; weight [C_out, C_in/groups, K], bias [C_out].

    ``input_shape`` is (length,), or None where the file leaves it to inference.
    """

    input_shape: Shape | None
    weight: Array
    stride: Shape
    padding: Padding
    dilation: Shape
    groups: int
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class Conv2d(NodeBase):
    """Cross-correlation as in PyTorch; weight [C_out, C_in/groups, K_y, K_x], bias [C_out].

    ``input_shape`` is (height, width), or None where the file leaves it to inference.
    """

    input_shape: Shape | None
    weight: Array
    stride: Shape
    padding: Padding
    dilation: Shape
    groups: int
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class SumPool2d(NodeBase):
    """Sum over windows of the last two axes; ``padding`` zeros on both sides."""

    kernel_size: Shape
    stride: Shape
    padding: Shape


@dataclass(frozen=True, slots=True, eq=False)
class AvgPool2d(NodeBase):
    """Mean over windows of the last two axes; padding counts, as in PyTorch."""

    kernel_size: Shape
    stride: Shape
    padding: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Flatten(NodeBase):
    """Join the axes ``start_dim`` to ``end_dim`` (included), counted without batch."""

    input_type: Shape | None
    start_dim: int
    end_dim: int


@dataclass(frozen=True, slots=True, eq=False)
class Threshold(NodeBase):
    """``z = 1 if x > threshold``; no state."""

    threshold: Array


@dataclass(frozen=True, slots=True, eq=False)
class Delay(NodeBase):
    """``y(t) = x(t - delay)``; seconds, one value per element."""

    delay: Array


@dataclass(frozen=True, slots=True, eq=False)
class I(NodeBase):  # noqa: E742, the node's name in NIR
    """Integrator ``dv/dt = r x``; puts out v."""

    r: Array


@dataclass(frozen=True, slots=True, eq=False)
class LI(NodeBase):
    """Leaky integrator ``tau dv/dt = v_leak - v + r x``; tau in seconds; puts out v."""

    tau: Array
    r: Array
    v_leak: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Gained(NodeBase):
    """A neuron whose input DLIF's gain may multiply."""

    @property
    def dlif_gain(self) -> NDArray[np.float64] | None:
        """Gain per step [T] from ``metadata["dlif_gain"]``, or None; the last value holds."""
        entry = self.metadata.get("dlif_gain")
        return None if entry is None else np.asarray(entry["values"], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class IF(_Gained):
    """``dv/dt = r x``; spike and reset at ``v > v_threshold``."""

    r: Array
    v_threshold: Array
    v_reset: Array


@dataclass(frozen=True, slots=True, eq=False)
class LIF(_Gained):
    """``tau dv/dt = v_leak - v + r x``; spike and reset to v_reset at ``v > v_threshold``.

    ``tau`` in seconds. ``metadata["dlif_gain"]`` makes it a DLIF: ``values`` [T] multiply x, and
    after the last step the last value holds.
    """

    tau: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array


@dataclass(frozen=True, slots=True, eq=False)
class CubaLI(NodeBase):
    """``tau_syn di/dt = w_in x - i``, then LI driven by i; puts out v."""

    tau_syn: Array
    tau_mem: Array
    r: Array
    v_leak: Array
    w_in: Array


@dataclass(frozen=True, slots=True, eq=False)
class CubaLIF(_Gained):
    """CubaLI with spike and reset."""

    tau_syn: Array
    tau_mem: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array
    w_in: Array


@dataclass(frozen=True, slots=True, eq=False)
class Subgraph(NodeBase):
    """A nested NIRGraph; after flattening none is left."""

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]


Linears: TypeAlias = (
    Junction | Affine | Linear | Scale | Conv1d | Conv2d | SumPool2d | AvgPool2d | Flatten
)
Integrators: TypeAlias = I | LI | CubaLI
Spiking: TypeAlias = IF | LIF | CubaLIF | Threshold
Node: TypeAlias = Input | Output | Linears | Integrators | Spiking | Delay | Subgraph

LINEAR_NODES = (Junction, Affine, Linear, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten)
INTEGRATORS = (I, LI, CubaLI)
SPIKING = (IF, LIF, CubaLIF, Threshold)

#: Types a NIR file may name, and the fields that may be absent there.
NODE_TYPES: Mapping[str, type[Any]] = {
    **{t.__name__: t for t in (Input, Output, *LINEAR_NODES[1:], *INTEGRATORS, *SPIKING, Delay)},
    "NIRGraph": Subgraph,
}
OPTIONAL_FIELDS = frozenset(
    {"v_reset", "w_in", "input_shape", "input_type", "start_dim", "end_dim", "metadata"}
)


def array_fields(node: Node) -> dict[str, Array]:
    """Return the node's parameters that are arrays, by name."""
    values = {f.name: getattr(node, f.name) for f in fields(node)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
