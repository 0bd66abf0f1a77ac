"""Stored layers to layers of checked integers; what cannot be read is collected, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurodeploy.errors import RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.export.netx.neurons import Neuron, read_neuron, refusal_of_neuron
from neurodeploy.export.netx.stored import StoredLayer
from neurodeploy.export.netx.whole import pair, truncated, whole, whole_number
from neurodeploy.findings import Finding
from neurodeploy.network.arrays import IntArray
from neurodeploy.network.fixed_synapse import Pair

LayerKind = Literal["input", "dense", "dense_rec", "conv", "flatten"]

_SUPPORTED = ("input", "dense", "dense_rec", "conv", "flatten")
_REMEDY = "read the layers before it with num_layers, or export the network without it"
#: Most neurons of a layer; some hundred times PilotNet's largest, and a bound on memory.
_MAX_NEURONS = 2**25
#: lava-dl cuts longer delays to this.
_DELAY_MAX = 62


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer in the file's order of axes: shapes (C, H, W), kernels [o, c, h, w].

    ``delay`` is (), or of the weight's shape. ``stride``, ``padding``, ``dilation`` are
    (y, x). What a kind of layer does not have is None.
    """

    index: int
    where: str
    kind: LayerKind
    shape: tuple[int, ...] = ()
    weight: IntArray | None = None
    weight_rec: IntArray | None = None
    bias: IntArray | None = None
    delay: IntArray | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    neuron: Neuron | None = None

    @property
    def name(self) -> str:
        """Name of the layer's population."""
        return f"{self.kind}_{self.index}"

    @property
    def size(self) -> int:
        """Number of values that it puts out."""
        return int(np.prod(self.shape))


def read_layers(
    stored: Sequence[StoredLayer], where: str
) -> tuple[tuple[Layer, ...], tuple[Finding, ...]]:
    """Return the layers that will be built, and what was noticed; ``where`` is the file.

    Raises
    ------
    UnsupportedNodeError
        Listing every layer and neuron that has no place in a fixed-point network.
    FileFormatError, ShapeError, RangeError
        For a dataset that is missing, of a wrong shape, or out of range.
    """
    refused = [line for layer in stored for line in _refusals(layer, stored[0].index)]
    if refused:
        lines = "\n  ".join(refused)
        raise UnsupportedNodeError(
            f"{where}: {len(refused)} layers or neurons have no place here:\n  {lines}\n"
            f"  supported: {', '.join(_SUPPORTED)}, with LOIHI or CUBA neurons; {_REMEDY}"
        )
    findings: list[Finding] = []
    layers = tuple(_layer(layer, findings) for layer in stored)
    return layers, tuple(findings)


def shape_behind(skipped: Sequence[StoredLayer]) -> tuple[int, ...]:
    """Return the shape of what the last of the skipped layers puts out; () where none says it."""
    shape: tuple[int, ...] = ()
    for layer in skipped:
        if layer.kind != "flatten" and "shape" in layer.numbers:
            shape = _shape(layer)
            if layer.kind in ("dense", "dense_rec"):
                shape = (int(np.prod(shape)),)
    return shape


def _refusals(layer: StoredLayer, first: int) -> list[str]:
    found = []
    if layer.kind not in _SUPPORTED:
        found.append(f"type {layer.kind!r}")
    elif layer.kind == "input" and layer.index > first:
        # lava-dl makes such a neuron block and connects nothing to it.
        found.append(f"an input layer behind layer {layer.index - 1}")
    if "weight/imag" in layer.present or "weight/real" in layer.present:
        found.append("complex weights")
    if layer.kind == "dense_rec" and "delay" in layer.numbers:
        found.append("delays in a recurrent layer, which lava-dl cannot run either")
    return [f"layer {layer.index}: {line}" for line in (*found, *refusal_of_neuron(layer))]


def _layer(stored: StoredLayer, findings: list[Finding]) -> Layer:
    if stored.kind == "flatten":
        return Layer(stored.index, stored.where, "flatten")
    shape = _shape(stored)
    neuron = read_neuron(stored) if stored.kind != "input" or stored.neuron_kind else None
    bias = None
    if "bias" in stored.numbers:
        bias = truncated(f"{stored.where}: bias", stored.numbers["bias"], findings)
    if stored.kind == "input":
        weight = truncated(
            f"{stored.where}: weight",
            stored.numbers.get("weight", np.array(64, np.int32)),
            findings,
        )
        return Layer(
            stored.index, stored.where, "input", shape, weight=weight, bias=bias, neuron=neuron
        )
    weight = truncated(f"{stored.where}: weight", stored.need("weight"), findings)
    if stored.kind == "conv":
        return Layer(
            stored.index,
            stored.where,
            "conv",
            _three(stored.where, shape),
            weight=_kernel(stored.where, weight),
            bias=bias,
            stride=pair(f"{stored.where}: stride", stored.need("stride")),
            padding=pair(f"{stored.where}: padding", stored.need("padding")),
            dilation=pair(f"{stored.where}: dilation", stored.need("dilation")),
            groups=whole_number(f"{stored.where}: groups", stored.need("groups")),
            neuron=neuron,
        )
    outputs = int(np.prod(shape))
    weight = _matrix(f"{stored.where}: weight", weight, outputs)
    weight_rec = None
    if stored.kind == "dense_rec":
        weight_rec = truncated(f"{stored.where}: weight_rec", stored.need("weight_rec"), findings)
        weight_rec = _matrix(f"{stored.where}: weight_rec", weight_rec, outputs)
        if weight_rec.shape[1] != outputs:
            raise ShapeError(
                f"{stored.where}: weight_rec {weight_rec.shape} does not lead {outputs} neurons "
                "back to themselves"
            )
    return Layer(
        stored.index,
        stored.where,
        "dense" if weight_rec is None else "dense_rec",
        (outputs,),
        weight=weight,
        weight_rec=weight_rec,
        bias=bias,
        delay=_delay(stored, weight.shape, findings),
        neuron=neuron,
    )


def _shape(stored: StoredLayer) -> tuple[int, ...]:
    where = f"{stored.where}: shape"
    values = whole(where, stored.need("shape")).reshape(-1)
    shown = tuple(values.tolist()[:8])
    if values.size > 3 or values.min() < 1:
        raise ShapeError(f"{where} {shown}: needs 1 to 3 extents from 1 on")
    if float(np.prod(values.astype(float))) > _MAX_NEURONS:
        raise ShapeError(f"{where} {shown}: more than {_MAX_NEURONS} neurons in one layer")
    return tuple(int(extent) for extent in values)


def _three(where: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ShapeError(f"{where}: shape {shape} of a convolution; needs (C, H, W)")
    return shape


def _kernel(where: str, weight: IntArray) -> IntArray:
    """Return [o, c, h, w]; SLAYER leaves its time axis, of extent 1, at the end."""
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise ShapeError(f"{where}: kernel of shape {weight.shape}; needs [o, c, h, w]")
    return weight


def _matrix(where: str, weight: IntArray, outputs: int) -> IntArray:
    """Return [out, in]; flat weights are cut into rows, as lava-dl does."""
    if weight.ndim == 1 and weight.size % outputs == 0:
        weight = weight.reshape(outputs, -1)
    if weight.ndim != 2 or weight.shape[0] != outputs:
        raise ShapeError(f"{where} {weight.shape}: needs [{outputs}, inputs]")
    return weight


def _delay(stored: StoredLayer, shape: tuple[int, ...], findings: list[Finding]) -> IntArray | None:
    """Return delays per weight, or one for all; lava-dl's order: per output before per input."""
    if "delay" not in stored.numbers:
        return None
    where = f"{stored.where}: delay"
    delay = truncated(where, stored.numbers["delay"], findings)
    if delay.min() < 0:
        raise RangeError(f"{where}: lowest value {delay.min()}; a delay cannot be negative")
    if delay.max() > _DELAY_MAX:
        text = f"{int((delay > _DELAY_MAX).sum())} delays up to {delay.max()} cut to {_DELAY_MAX}"
        remedy = "train with max_delay=62"
        findings.append(Finding("warning", where, text, remedy, {"highest": int(delay.max())}))
        delay = np.asarray(np.minimum(delay, _DELAY_MAX))
    outputs, inputs = shape
    if delay.ndim == 0 or delay.shape == shape:
        return delay
    if delay.shape == (outputs,):
        if outputs == inputs:
            text = f"{outputs} delays could belong to inputs or outputs; outputs, as in lava-dl"
            findings.append(Finding("warning", where, text, "store them as [out, in]"))
        return np.repeat(delay[:, None], inputs, axis=1)
    if delay.shape == (inputs,):
        return np.repeat(delay[None, :], outputs, axis=0)
    raise ShapeError(f"{where} {delay.shape}: fits neither [{outputs}], [{inputs}] nor {shape}")
