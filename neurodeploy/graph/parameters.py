"""A node's parameters on their own: finite numbers, and shapes that fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodeploy.errors import ShapeError
from neurodeploy.graph.finding_list import FindingList, node_at
from neurodeploy.graph.nodes import (
    INTEGRATORS,
    SPIKING,
    Affine,
    Array,
    Conv1d,
    Conv2d,
    Linear,
    Threshold,
)

#: Nodes with a membrane; all their parameters have one shape.
NEURONS = (*INTEGRATORS, *(kind for kind in SPIKING if kind is not Threshold))
#: Values checked at a time, so that a check needs little memory beside the array.
_BLOCK = 2**20
#: Integers beyond this are not exact in float64.
_EXACT = 2**53


def check_numbers(name: str, values: Mapping[str, Any], findings: FindingList) -> None:
    """Name every parameter with values that are not finite, or beyond float64's exact range.

    An infinite threshold is a neuron that never fires, which NIR allows.
    """
    for field, array in values.items():
        if not isinstance(array, np.ndarray) or not array.size:
            continue
        if array.dtype.kind != "f":
            if array.dtype.itemsize == 8 and (array.max() > _EXACT or array.min() < -_EXACT):
                text = f"{field}: integers beyond 2**53 are rounded to float64"
                findings.warning(node_at(name), text)
            continue
        allowed = field in ("v_threshold", "threshold")
        broken = sum(_count_bad(block, allowed) for block in _blocks(array.reshape(-1)))
        if broken:
            findings.error(
                node_at(name),
                f"{field}: {broken} of {array.size} values are NaN or infinite",
                "check the training run that wrote them",
                field=field,
                count=broken,
            )


def _blocks(flat: Array) -> list[Array]:
    return [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]


def _count_bad(block: Array, inf_allowed: bool) -> int:
    # NaN and infinity go through a sum, which is several times faster than looking at each value.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum()):
            return 0
    finite = np.isfinite(block)
    return int(np.count_nonzero(~(finite | (block == np.inf)) if inf_allowed else ~finite))


def parameters_fit(
    node_type: type[Any], values: Mapping[str, Any], name: str, findings: FindingList
) -> bool:
    """Whether the node's parameters have shapes that fit each other; if not, say why."""
    problem = _problem(node_type, values)
    if problem is None:
        return True
    findings.error(node_at(name), problem, raises=ShapeError)
    return False


def _problem(node_type: type[Any], values: Mapping[str, Any]) -> str | None:
    if node_type in NEURONS:
        shapes = {k: v.shape for k, v in values.items() if isinstance(v, np.ndarray)}
        if len(set(shapes.values())) > 1:
            return f"parameters need one shape, have {shapes}"
        return None
    if node_type in (Affine, Linear):
        return _matrix_problem(values)
    if node_type in (Conv1d, Conv2d):
        return _kernel_problem(values, 3 if node_type is Conv1d else 4)
    return None


def _matrix_problem(values: Mapping[str, Any]) -> str | None:
    shape = values["weight"].shape
    if len(shape) < 2:
        return f"weight has shape {shape}, needs [.., out, in]"
    bias = values.get("bias")
    if bias is not None and bias.shape != shape[:-1]:
        return f"bias has shape {bias.shape}, weight needs {shape[:-1]}"
    return None


def _kernel_problem(values: Mapping[str, Any], rank: int) -> str | None:
    shape, groups = values["weight"].shape, values["groups"]
    if len(shape) != rank:
        axes = "[out, in/groups, length]" if rank == 3 else "[out, in/groups, height, width]"
        return f"weight has shape {shape}, needs {axes}"
    if shape[0] % groups:
        return f"{shape[0]} output channels do not divide into {groups} groups"
    if values["bias"].shape != shape[:1]:
        return f"bias has shape {values['bias'].shape}, weight needs {shape[:1]}"
    return None
