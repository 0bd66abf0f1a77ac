"""Norse to NIR: our own exporter, which proves every file against its origin or writes none.

The file says what NIR can say (time constants in seconds, v_reset, one value per neuron, no batch
axis) and carries the execution contract in its metadata. DLIF's gain p[t] has no NIR node: its
mean is multiplied into the affine before the cell, and ``dlif_gain`` in the node's metadata holds
``p / mean``. A tool that ignores it runs the mean gain; how many spikes that costs is measured and
stored beside it as ``mean_gain_error``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

import neurodeploy
from neurodeploy.errors import ContractError, RangeError, ShapeError
from neurodeploy.export.nir_check import ExportCheck, check_export
from neurodeploy.export.nir_layers import (
    FloatArray,
    Layer,
    LinearLayer,
    SpikingLayer,
    read_layers,
    step_length,
)
from neurodeploy.files import replacing
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import PLAIN_NIR_EULER, Contract
from neurodeploy.network import ConstantEncoder
from neurodeploy.neurons import SpikingSequence

__all__ = ["ExportCheck", "check_export", "to_nir"]


def to_nir(
    model: torch.nn.Module,
    sample: Any,
    path: str | Path,
    *,
    dt: float | None = None,
    steps: int | None = None,
    encoder: ConstantEncoder | None = None,
    readout: str | None = None,
) -> Result[ExportCheck]:
    """Write ``model`` to a NIR file that reproduces it spike for spike, or write nothing.

    Parameters
    ----------
    model : torch.nn.Module
        ``SpikingSequence``, Norse's ``SequentialState`` or ``torch.nn.Sequential`` of ``Linear``,
        ``LIFCell``, ``DLIFCell`` and Norse's ``LIFBoxCell``, with parameters as one number or one
        per neuron.
    sample : array or tensor [B, n] or [T, B, n]
        Inputs on which the file is proven: integer codes, or values in input units (which are
        rounded to codes). Images are held for ``steps`` steps.
    path : path
        File to write; an existing one is replaced only when the check holds.
    dt : float
        Length of a step in seconds; needed where no module says it.
    steps : int
        Steps per sample; needed where neither the model nor the sample says it.
    encoder : ConstantEncoder
        Input range and width; by default 0 to 1 in 8 bits.
    readout : {"sum", "count"}
        ``sum``: the last linear layer summed over the steps; ``count``: spikes of the last cell.
        By default what the last module allows.

    Returns
    -------
    Result of ExportCheck
        What was compared. ``findings`` name what a reader of the file should know.

    Raises
    ------
    ExportRefusedError
        If the written file does not reproduce the model.
    UnsupportedNodeError, ShapeError, RangeError, ContractError
        If the model cannot be written; each names the module's path.
    """
    encoder = ConstantEncoder() if encoder is None else encoder
    codes = encode_sample(sample, encoder)
    dt = step_length(model, dt)
    steps = _steps(model, codes, steps)
    layers = read_layers(model, codes.shape[-1], dt)
    contract = dataclasses.replace(
        PLAIN_NIR_EULER,
        dt=dt,
        steps=steps,
        readout_node=_names(layers)[-1],
        readout_kind=_readout_kind(layers, readout),
        encoder="constant",
        encoder_low=encoder.low,
        encoder_high=encoder.high,
        encoder_bits=encoder.bits,
        source_tool=f"neurodeploy {neurodeploy.__version__}",
    )
    wanted: dict[str, Any] = {"steps": steps, "encoder": encoder, "name": str(path)}
    with replacing(path) as temporary:
        _write(temporary, layers, contract, {})
        check = check_export(model, codes, temporary, **wanted)
        if check.mean_gain_error:
            # The cost of ignoring the gain is known only now; the file with it is proven again.
            _write(temporary, layers, contract, check.mean_gain_error)
            check = check_export(model, codes, temporary, **wanted)
    return Result(check, tuple(_findings(layers, check)))


def encode_sample(sample: Any, encoder: ConstantEncoder) -> NDArray[np.int32]:
    """Return ``sample`` as codes: integers are codes already, floats are values to be rounded.

    Raises
    ------
    ShapeError
        If it is neither [B, n] nor [T, B, n], or empty.
    RangeError
        If a code does not fit the encoder.
    """
    array = sample.detach().cpu().numpy() if isinstance(sample, torch.Tensor) else sample
    array = np.asarray(array)
    if array.ndim not in (2, 3) or not array.size:
        raise ShapeError(f"sample: shape {array.shape}; needs images [B, n] or sequences [T, B, n]")
    if array.dtype.kind == "f":
        return encoder.encode(array)
    codes = array.astype(np.int64)
    if codes.min() < 0 or codes.max() > encoder.max_code:
        raise RangeError(
            f"sample: codes {codes.min()}..{codes.max()} leave 0..{encoder.max_code}; give codes "
            "of the encoder's width, or float values"
        )
    return codes.astype(np.int32)


def _steps(model: torch.nn.Module, codes: NDArray[np.int32], steps: int | None) -> int:
    said = {"steps=": steps}
    if isinstance(model, SpikingSequence):
        said["the model"] = model.steps
    if codes.ndim == 3:
        said["the sample"] = codes.shape[0]
    known = {who: value for who, value in said.items() if value is not None}
    if not known:
        raise ContractError(
            "steps: neither the model nor the sample says how many steps an image is held; "
            "give steps"
        )
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{who} {value}" for who, value in known.items())
        raise ContractError(f"steps: contradictory: {listed}; give a sample of the model's length")
    return next(iter(known.values()))


def _readout_kind(layers: list[Layer], readout: str | None) -> str:
    kind = "sum" if isinstance(layers[-1], LinearLayer) else "count"
    if readout not in (None, kind):
        last = "a linear layer" if kind == "sum" else "a spiking cell"
        raise ContractError(
            f"readout {readout!r}: the last module is {last} ({layers[-1].path}), whose read-out "
            f"is {kind!r}"
        )
    return kind


def _names(layers: list[Layer]) -> list[str]:
    """Name the nodes: affine1, lif1, affine2, lif2, ...; a linear layer at the end is readout."""
    names = []
    counts = {LinearLayer: 0, SpikingLayer: 0}
    for layer in layers:
        counts[type(layer)] += 1
        prefix = "affine" if isinstance(layer, LinearLayer) else "lif"
        names.append(f"{prefix}{counts[type(layer)]}")
    if isinstance(layers[-1], LinearLayer):
        names[-1] = "readout"
    return names


def _write(
    path: Path, layers: list[Layer], contract: Contract, gain_errors: Mapping[str, float]
) -> None:
    """Write the graph as it is understood by ``nir`` 1.0.8: float64 arrays, no None, no 0-d."""
    names = _names(layers)
    n_input, n_output = _width(layers[0], -1), _width(layers[-1], 0)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([n_input])})}
    for index, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if isinstance(layer, SpikingLayer):
            nodes |= _lif_nodes(name, layer, layers[index - 1] if index else None, gain_errors)
        else:
            mean = _gain_after(layers, index)
            nodes[name] = nir.Affine(weight=layer.weight * mean, bias=layer.bias * mean)
    nodes["output"] = nir.Output({"output": np.array([n_output])})
    order = list(nodes)
    edges = list(itertools.pairwise(order))
    graph = nir.NIRGraph(nodes, edges, metadata={"neurodeploy": contract.as_metadata()})
    nir.write(path, graph)


def _lif_nodes(
    name: str, layer: SpikingLayer, before: Layer | None, gain_errors: Mapping[str, float]
) -> dict[str, nir.NIRNode]:
    metadata: dict[str, Any] = {}
    nodes: dict[str, nir.NIRNode] = {}
    if layer.gain is not None:
        mean = float(layer.gain.mean())
        entry: dict[str, Any] = {"values": layer.gain / mean, "after": "last"}
        if name in gain_errors:
            entry["mean_gain_error"] = gain_errors[name]
        metadata["dlif_gain"] = entry
        if not isinstance(before, LinearLayer):
            # No affine to carry the mean: a diagonal one is put in front.
            size = layer.tau.size
            nodes[f"{name}_gain"] = nir.Affine(weight=np.eye(size) * mean, bias=np.zeros(size))
    nodes[name] = nir.LIF(
        tau=layer.tau,
        r=layer.r,
        v_leak=np.zeros_like(layer.tau),
        v_threshold=layer.v_threshold,
        v_reset=layer.v_reset,
        metadata=metadata,
    )
    return nodes


def _gain_after(layers: list[Layer], index: int) -> float:
    """Return the mean gain of the cell that layer ``index`` feeds, 1 where it has none."""
    after = layers[index + 1] if index + 1 < len(layers) else None
    if isinstance(after, SpikingLayer) and after.gain is not None:
        return float(after.gain.mean())
    return 1.0


def _width(layer: Layer, axis: int) -> int:
    array: FloatArray = layer.weight if isinstance(layer, LinearLayer) else layer.tau
    return int(array.shape[axis])


def _findings(layers: list[Layer], check: ExportCheck) -> list[Finding]:
    found = []
    for name, layer in zip(_names(layers), layers, strict=True):
        if isinstance(layer, SpikingLayer) and layer.origin.any():
            text = (
                f"membrane shifted by v_leak ({layer.origin.min():g}..{layer.origin.max():g}): "
                "Norse starts there, NIR at zero; the spikes are the same"
            )
            found.append(Finding("info", f"node {name!r}", text))
    for name, share in check.mean_gain_error.items():
        text = f"a tool that ignores dlif_gain gets {100 * share:.2f} % of the spikes wrong"
        remedy = "run the file with a tool that knows dlif_gain, such as neurodeploy"
        numbers = {"mean_gain_error": share}
        found.append(Finding("info", f"node {name!r}", text, remedy, numbers))
    if check.float32_flips:
        text = (
            f"{check.float32_flips} of {check.compared} spikes differ in float32; the largest "
            f"distance of a first one from the threshold is {check.first_flip_margin:.1e} of it"
        )
        found.append(Finding("info", "model", text))
    return found
