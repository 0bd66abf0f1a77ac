"""from_netx: a lava-dl network file to a fixed-point network that computes what lava-dl's does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.export.netx.build import BuildOptions, Draft
from neurodeploy.export.netx.clock import LayerTime
from neurodeploy.export.netx.layers import Layer, read_layers, shape_behind
from neurodeploy.export.netx.stored import StoredNetwork, read_stored
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import Contract
from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    Readout,
    ReadoutKind,
)

#: SLAYER's state scale: 64 for weights, times the 64 between a synaptic sum and the membrane.
STATE_SCALE = 4096.0
_DEFAULT_STEPS = 16
_GRADED_BITS = 8
_MAX_INPUT_BITS = 16


def from_netx(
    path: str | Path,
    *,
    steps: int | None = None,
    time: LayerTime = "netx",
    reset_interval: int | None = None,
    reset_offset: int = 0,
    input_bits: int | None = None,
    input_range: tuple[float, float] | None = None,
    input_shape: Sequence[int] | None = None,
    num_layers: int | None = None,
    skip_layers: int = 0,
    readout: ReadoutKind | None = None,
    profile: str | Path = "loihi2",
) -> Result[FixedPointNetwork]:
    """Read a NetX file (``.net``) of lava-dl.

    The network computes what ``lava.lib.dl.netx.hdf5.Network`` (lava-dl 0.6.0) computes on Lava's
    fixed_pt models, integer for integer. Weights are those that NetX and Lava make of the file's.
    Values are flat in the order (C, H, W), where lava-dl's tensors are (W, H, C).

    Parameters
    ----------
    path : path
    steps : int
        Steps per sample; default: the file's ``simulation/tSample``, else 16 with a finding.
    time : {"netx", "aligned"}
        ``netx``: a logical step is lava-dl's step. Each synapse takes one, and every layer steps
        from the first on, so the output is late by the number of layers. ``aligned``: step t of
        the output belongs to step t of the input; refused where a layer's biases make it fire
        before its input arrives.
    reset_interval, reset_offset : int
        As lava-dl's ``Network``: u and v of the k-th layer with neurons (from 0) are set to 0 at
        lava-dl's steps h (from 1) with ``h % interval == (offset + 1 + k) % interval``. Default:
        no reset.
    input_bits : int
        Width of an input code. Without input neurons: 0 (default) means spikes, else the graded
        payload that lava-dl calls ``input_message_bits``. With input neurons: 8 by default.
    input_range : (float, float)
        For input neurons: the range of the values that SLAYER multiplied by the input layer's
        weight. Codes are then steps of 1 / weight from the lowest value on. By default the weight
        multiplies the integer codes themselves.
    input_shape : sequence of int
        (C, H, W) or (N,), where the file has no input layer.
    num_layers, skip_layers : int
        Read only the first ``num_layers`` layers of the file, and build only those from number
        ``skip_layers`` on.
    readout : {"count", "sum", "mean_v", "last_v", "max_v"}
        Of the last layer. Default: ``count``; for thresholds at the register's end ``last_v`` if
        the membrane keeps everything, else ``mean_v``.
    profile : str
        Hardware profile that the network carries.

    Returns
    -------
    Result
        The network, and findings: weights that act as other numbers, fields that lava-dl ignores,
        what was assumed. What no chip holds is for ``network.check_legality`` to say.

    Raises
    ------
    FileFormatError
        If the file is damaged or lacks a dataset.
    UnsupportedNodeError
        Listing every layer and neuron that has no place here.
    ShapeError, RangeError, InputError
        For what does not fit together, naming the layer.
    """
    _check_options(time, reset_interval, reset_offset, skip_layers, num_layers)
    stored = read_stored(path)
    layers_read = stored.layers[:num_layers]
    if skip_layers >= len(layers_read):
        raise InputError(
            f"{path}: skip_layers {skip_layers} leaves none of {len(layers_read)} layers"
        )
    layers, findings = read_layers(layers_read[skip_layers:], str(path))
    shape = tuple(int(n) for n in input_shape or ()) or shape_behind(layers_read[:skip_layers])
    has_input_neurons = layers[0].kind == "input" and layers[0].neuron is not None
    encoder = _encoder(layers[0], has_input_neurons, input_bits, input_range)
    options = BuildOptions(
        time=time,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
        input_bits=encoder.bits if has_input_neurons or input_bits else 0,
        input_low=None if input_range is None else encoder.low,
        scale=STATE_SCALE,
    )
    draft = Draft(options, shape, has_input_neurons)
    for layer in layers:
        draft.add(layer)
    if not draft.populations:
        raise InputError(f"{path}: no layer with neurons among the {len(layers)} that were read")
    said_steps, assumed = _steps(str(path), steps, stored)
    net = FixedPointNetwork(
        populations=tuple(draft.populations),
        synapses=tuple(draft.synapses),
        n_input=int(np.prod(draft.input_shape)),
        encoder=encoder,
        readout=Readout(draft.populations[-1].name, readout or _readout(layers)),
        steps=said_steps,
        contract=Contract(steps=said_steps, source_tool="lava-dl NetX").as_metadata(),
        profile=hardware_profiles.load(profile).text,
        input_shape=draft.input_shape,
    )
    notes = (*findings, *draft.findings, *_ignored(layers), *assumed)
    # The reader's caller knows the file; a finding names the layer.
    prefix = f"{Path(path)}: "
    return Result(
        net, tuple(dataclasses.replace(n, where=n.where.removeprefix(prefix)) for n in notes)
    )


def _check_options(
    time: str,
    reset_interval: int | None,
    reset_offset: int,
    skip_layers: int,
    num_layers: int | None,
) -> None:
    if time not in ("netx", "aligned"):
        raise InputError(f"from_netx: time is {time!r}; choose netx or aligned")
    if reset_interval is not None and reset_interval < 1:
        raise InputError(f"from_netx: reset_interval is {reset_interval}; it is at least 1")
    if reset_offset < 0:
        raise InputError(f"from_netx: reset_offset is {reset_offset}; it cannot be negative")
    if skip_layers < 0 or (num_layers is not None and num_layers < 1):
        raise InputError(
            f"from_netx: num_layers {num_layers} and skip_layers {skip_layers}; read at least one "
            "layer and skip none or more"
        )


def _encoder(
    first: Layer,
    has_input_neurons: bool,
    input_bits: int | None,
    input_range: tuple[float, float] | None,
) -> ConstantEncoder:
    """Return the encoder whose codes the first synapse reads as they are."""
    if input_bits is not None and not 0 <= input_bits <= _MAX_INPUT_BITS:
        raise RangeError(f"from_netx: input_bits is {input_bits}; codes have 0 to 16 bits")
    if input_range is None:
        bits = input_bits or (_GRADED_BITS if has_input_neurons else 1)
        return ConstantEncoder(0.0, float(2**bits - 1), bits)
    if not has_input_neurons or first.weight is None:
        raise InputError("from_netx: input_range is for files whose input layer has neurons")
    weight = int(first.weight.reshape(-1)[0])
    low, high = (float(value) for value in input_range)
    if weight < 1 or not low < high:
        raise RangeError(
            f"from_netx: input_range {low}..{high} with input weight {weight}; needs an ascending "
            "range and a positive weight"
        )
    lowest, highest = round(weight * low), round(weight * high)
    bits = input_bits or (highest - lowest).bit_length()
    if highest - lowest > 2**bits - 1 or bits > _MAX_INPUT_BITS:
        raise RangeError(
            f"from_netx: input_range {low}..{high} has {highest - lowest + 1} values in steps of "
            f"1/{weight}; input_bits {bits} holds {2 ** min(bits, _MAX_INPUT_BITS)}"
        )
    return ConstantEncoder(lowest / weight, (lowest + 2**bits - 1) / weight, bits)


def _steps(path: str, steps: int | None, stored: StoredNetwork) -> tuple[int, tuple[Finding, ...]]:
    if steps is not None and steps < 1:
        raise InputError(f"from_netx: steps is {steps}; it is at least 1")
    if steps is not None or stored.sample_steps is not None:
        return steps or stored.sample_steps or 1, ()
    text = f"the file does not say the steps of a sample; {_DEFAULT_STEPS} are assumed"
    numbers = {"steps": _DEFAULT_STEPS}
    return _DEFAULT_STEPS, (Finding("warning", path, text, "give steps", numbers),)


def _readout(layers: Sequence[Layer]) -> ReadoutKind:
    neuron = next(layer.neuron for layer in reversed(layers) if layer.neuron is not None)
    if not neuron.hardly_fires:
        return "count"
    return "last_v" if neuron.is_perfect_integrator else "mean_v"


def _ignored(layers: Sequence[Layer]) -> tuple[Finding, ...]:
    """Name the layers whose refractory delay lava-dl reads over; 1 is that of any neuron."""
    longer = {
        layer.name: layer.neuron.refractory_delay
        for layer in layers
        if layer.neuron is not None and layer.neuron.refractory_delay is not None
    }
    if not longer:
        return ()
    severe = any(delay != 1 for delay in longer.values())
    text = f"refDelay {sorted(set(longer.values()))} of {len(longer)} layers has no effect in NetX"
    numbers = {"layers": longer}
    return (Finding("warning" if severe else "info", "refDelay", text, "", numbers),)
