"""The NIR nodes this version can run, as frozen types. Shapes have no batch and no time axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """Where the stimulus enters; ``shape`` without batch and time."""

    shape: tuple[int, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Where the result leaves."""

    shape: tuple[int, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``y = weight @ x + bias``; weight [out, in], bias [out]."""

    weight: Array
    bias: Array
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """``y = weight @ x``; weight [out, in]."""

    weight: Array
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LIF:
    """``tau dv/dt = v_leak - v + r x``; spike and reset to v_reset at ``v > v_threshold``.

    ``tau`` in seconds; all parameters [N]. ``metadata["dlif_gain"]`` makes it a DLIF: ``values``
    [T] multiply x, and after the last step the last value holds.
    """

    tau: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dlif_gain(self) -> NDArray[np.float64] | None:
        """Gain per step, or None for a plain LIF."""
        entry = self.metadata.get("dlif_gain")
        return None if entry is None else np.asarray(entry["values"], dtype=np.float64)


Node: TypeAlias = Input | Output | Affine | Linear | LIF

#: Parameters of each node type in a NIR file; those with a default may be absent.
NODE_TYPES: Mapping[str, tuple[type[Any], tuple[str, ...], tuple[str, ...]]] = {
    "Input": (Input, ("shape",), ()),
    "Output": (Output, ("shape",), ()),
    "Affine": (Affine, ("weight", "bias"), ()),
    "Linear": (Linear, ("weight",), ()),
    "LIF": (LIF, ("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
}
