"""From the fields of a file or object to typed nodes; every problem becomes a finding.

Whole numbers (strides, axes, shapes) become Python integers. Parameters stay arrays of the number
type they had. A parameter without axes stands for every neuron of its layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from neurodeploy.errors import FileFormatError, InputError, UnsupportedNodeError
from neurodeploy.graph.finding_list import FindingList, node_at
from neurodeploy.graph.nodes import (
    NODE_TYPES,
    OPTIONAL_FIELDS,
    Affine,
    Array,
    Conv1d,
    Conv2d,
    Node,
    Shape,
)
from neurodeploy.graph.parameters import NEURONS, check_numbers, parameters_fit
from neurodeploy.graph.raw import BROKEN, RawNode

#: Fields of whole numbers, and the least value of each.
_LEAST = {
    "shape": 1,
    "input_shape": 1,
    "input_type": 1,
    "kernel_size": 1,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "padding": 0,
}
#: Fields with one number per spatial axis; a single number stands for all.
_PER_AXIS = ("kernel_size", "stride", "dilation", "padding", "input_shape")
_SCALARS = ("groups", "start_dim", "end_dim")
_FLATTEN_DEFAULTS = {"start_dim": 1, "end_dim": -1}
#: Largest whole number of a file; more is no size of anything.
_LARGEST = 2**40
#: Axes of a layer: numpy 1 and HDF5 hold no more.
_MAX_AXES = 32


def build_node(raw: RawNode, findings: FindingList) -> Node | None:
    """Return the typed node; None, with findings, if it cannot be made."""
    node_type = NODE_TYPES.get(raw.kind)
    if not raw.kind:
        return None
    if node_type is None or raw.kind == "NIRGraph":
        findings.error(
            node_at(raw.name),
            f"is of type {raw.kind[:60]!r}, which is not supported",
            f"supported: {', '.join(NODE_TYPES)}",
            raises=UnsupportedNodeError,
        )
        return None
    known = {field.name for field in fields(node_type)} - {"metadata"}
    if not _fields_agree(raw, known, findings):
        return None
    builder = _Builder(raw, findings)
    values = {name: builder.field(name) for name in sorted(known)}
    check_numbers(raw.name, values, findings)
    if builder.failed:
        return None
    values = _completed(node_type, values, raw.name, findings)
    if not parameters_fit(node_type, values, raw.name, findings):
        return None
    node: Node = node_type(**values, metadata=raw.metadata)
    return node


def _fields_agree(raw: RawNode, known: set[str], findings: FindingList) -> bool:
    missing = sorted(known - set(raw.values) - OPTIONAL_FIELDS)
    unknown = sorted(set(raw.values) - known)
    where = node_at(raw.name)
    listed = f"{raw.kind} has {', '.join(sorted(known))}"
    if missing:
        findings.error(where, f"lacks {', '.join(missing)}", listed, raises=FileFormatError)
    if unknown:
        findings.error(
            where,
            f"has unknown fields {unknown}",
            f"{listed}; private values belong into metadata",
            raises=FileFormatError,
        )
    return not missing and not unknown


class _Builder:
    """Converts the fields of one node."""

    def __init__(self, raw: RawNode, findings: FindingList) -> None:
        self.raw, self.findings = raw, findings
        self.failed = False

    def field(self, name: str) -> Any:
        value = self.raw.values.get(name)
        if value is BROKEN:
            self.failed = True
            return None
        if name == "padding" and isinstance(value, str):
            if value in ("same", "valid") and self.raw.kind in ("Conv1d", "Conv2d"):
                return value
            return self.fail(
                f"padding is {value!r}; needs numbers, or for a convolution same or valid"
            )
        if value is None:
            return _FLATTEN_DEFAULTS.get(name)
        if isinstance(value, str) or value.dtype.kind not in "biuf":
            shown = repr(value)[:40]
            return self.fail(f"{name}: is text ({shown}); numbers are needed", FileFormatError)
        if name in _SCALARS or name in _LEAST:
            return self.whole(name, value)
        return self.parameter(name, value)

    def fail(self, what: str, raises: type[InputError] = InputError) -> Any:
        self.failed = True
        self.findings.error(node_at(self.raw.name), what, raises=raises)
        return None

    def whole(self, name: str, value: Array) -> Any:
        """Return a whole number, or a tuple of them."""
        numbers = np.asarray(value, dtype=np.float64).reshape(-1)
        finite = value.dtype.kind != "b" and bool(np.isfinite(numbers).all())
        if not finite or (numbers != np.rint(numbers)).any():
            return self.fail(f"{name} is {_listed(numbers)}; needs whole numbers")
        least = _LEAST.get(name, -_LARGEST)
        if numbers.size and (numbers.min() < least or numbers.max() > _LARGEST):
            return self.fail(f"{name} is {_listed(numbers)}; needs numbers from {least} on")
        whole = tuple(int(number) for number in numbers)
        if name in _SCALARS:
            if len(whole) != 1:
                return self.fail(f"{name} has {len(whole)} values; needs one")
            return whole[0]
        if name not in _PER_AXIS:
            if len(whole) > _MAX_AXES:
                return self.fail(f"{name} has {len(whole)} axes; a layer has at most {_MAX_AXES}")
            return whole if whole else self.fail(f"{name} is empty; a layer has at least one axis")
        axes = 1 if self.raw.kind == "Conv1d" else 2
        if len(whole) == 1 and name != "input_shape":
            whole *= axes
        if len(whole) != axes:
            return self.fail(f"{name} has {len(whole)} values; {self.raw.kind} needs {axes}")
        return whole

    def parameter(self, name: str, value: Array) -> Array | None:
        if not value.size:
            self.fail(f"{name} has no elements (shape {value.shape})")
            return None
        if value.dtype.kind == "b":
            text = f"{name} holds booleans, which are read as 0 and 1"
            self.findings.info(node_at(self.raw.name), text)
            return value.astype(np.uint8)
        return value


def _completed(
    node_type: type[Any], values: dict[str, Any], name: str, findings: FindingList
) -> dict[str, Any]:
    """Fill in optional parameters, and spread parameters without axes over their layer."""
    where = node_at(name)
    if "v_reset" in values and values["v_reset"] is None:
        values["v_reset"] = np.zeros_like(values["v_threshold"])
        text = "v_reset is not in the file; zeros are used"
        remedy = "if the tool subtracts the threshold, say --reset subtract"
        findings.info(where, text, remedy, v_reset=0.0)
    if "w_in" in values and values["w_in"] is None:
        values["w_in"] = np.ones_like(np.asarray(values["v_leak"], dtype=np.float64))
        findings.info(where, "w_in is not in the file; 1 is used", w_in=1.0)
    parameters = {key: v for key, v in values.items() if isinstance(v, np.ndarray)}
    if node_type in NEURONS:
        spread = _spread(parameters)
        if spread:
            text = f"{', '.join(sorted(spread))} has one value for the whole layer"
            findings.info(where, text)
            values |= spread
    elif node_type is Affine and values["weight"].ndim >= 2:
        values["bias"] = _as_bias(values["bias"], values["weight"].shape[:-1], where, findings)
    elif node_type in (Conv1d, Conv2d) and values["weight"].ndim >= 1:
        values["bias"] = _as_bias(values["bias"], values["weight"].shape[:1], where, findings)
    return values


def _spread(parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Return the scalar parameters in the shape that the others share."""
    shapes = {p.shape for key, p in parameters.items() if p.ndim and key != "w_in"}
    if len(shapes) != 1:
        return {}
    shape = shapes.pop()
    return {
        key: np.full(shape, p.reshape(-1)[0])
        for key, p in parameters.items()
        if p.shape != shape and (p.ndim == 0 or (key == "w_in" and p.size == 1))
    }


def _as_bias(bias: Array, shape: Shape, where: str, findings: FindingList) -> Array:
    if bias.ndim:
        return bias
    findings.info(where, "bias has one value for the whole layer")
    return np.full(shape, bias[()])


def _listed(numbers: Array) -> str:
    shown = ", ".join(f"{n:g}" for n in numbers[:6])
    return f"[{shown}{', ...' if numbers.size > 6 else ''}]"
