"""Norse to NIR: our own exporter, which proves every file against its origin or writes none.

The model is run once while every tensor is followed back to the nodes it is made of, so time
loops written by hand export as well as Norse's containers. The file says what NIR can say (time
constants in seconds, v_reset, one value per neuron, no batch axis) and carries the execution
contract in its metadata. DLIF's gain p[t] has no NIR node: its mean is multiplied into the weights
before the cell, and ``dlif_gain`` in the node's metadata holds ``p / mean``. A tool that ignores it
runs the mean gain; how many spikes that costs is measured and stored as ``mean_gain_error``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import neurodeploy
from neurodeploy.errors import (
    ContractError,
    InputError,
    RangeError,
    ShapeError,
    UnsupportedNodeError,
)
from neurodeploy.export.gain import write_portable_gain
from neurodeploy.export.nir.build import build
from neurodeploy.export.nir.check import ExportCheck, check_file, stated_dt
from neurodeploy.export.nir.findings import export_findings
from neurodeploy.export.nir.following import follow_model
from neurodeploy.export.nir.plan import Plan
from neurodeploy.export.nir.readout import contract_readout
from neurodeploy.export.nir.run import FloatArray, Layout, Subject
from neurodeploy.export.nir.settle import TracedNetwork
from neurodeploy.export.nir.write import write_graph
from neurodeploy.files import replacing
from neurodeploy.findings import Result
from neurodeploy.graph import PLAIN_NIR_EULER, Contract, read
from neurodeploy.network import ConstantEncoder

__all__ = ["ExportCheck", "check_export", "to_nir"]


def to_nir(
    model: Any,
    sample: Any,
    path: str | Path,
    *,
    dt: float | None = None,
    steps: int | None = None,
    encoder: ConstantEncoder | None = None,
    readout: str | None = None,
    layout: Layout | None = None,
    gain_form: str = "metadata",
    gain_bits: int = 8,
    gain_unit_r: bool = False,
) -> Result[ExportCheck]:
    """Write ``model`` to a NIR file that reproduces it spike for spike, or write nothing.

    Parameters
    ----------
    model : torch.nn.Module or bound method of one
        Norse's cells, recurrent cells, time-major modules and containers, our ``LIFCell``,
        ``DLIFCell`` and ``SpikingSequence``, torch's linear and pooling modules, batch norm and
        dropout in eval mode; in containers, or in classes whose ``forward`` loops over time. A
        bound method ``model.step`` (``step(x_t, state) -> (out, state)``, state None at first) is
        called once per step.
    sample : array or tensor [T, B, ...], [B, T, ...] or [B, ...]
        Inputs on which the file is proven, in the layout the model takes: integer codes, or
        float values in input units. An image [B, ...] is held for all steps.
    path : path
        File to write; an existing one is replaced only when the check holds.
    dt : float
        Length of a step in seconds; needed where no module says it.
    steps : int
        Steps per sample; needed where neither the model nor the sample says it.
    encoder : ConstantEncoder
        Input range and width; by default 0 to 1 in 8 bits, or the range of a float sample that
        leaves it.
    readout : {"count", "sum", "mean_v", "last_v", "max_v"}
        How the decision is read, where the model returns a value for every step (default: count
        of spikes, else sum). A model that reduces over time says it itself.
    layout : {"time-first", "batch-first", "held"}
        What the sample's first axes are; by default the first of these that fits the model.
    gain_form : {"metadata", "bit-planes", "stimulus"}
        How DLIF's gain is written: as metadata, which other tools ignore, or in a form that they
        run exactly (see ``neurodeploy.export.gain``); that takes a wider stimulus, which
        ``portable_stimulus`` makes.
    gain_bits : int
        Bits of a gain in bit planes, 1 to 16.
    gain_unit_r : bool
        Move r into the weights of a portable form, as Norse's importer ignores it.

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
    _require_options(path, dt, steps, encoder, gain_bits)
    values, encoder, widened = sample_values(sample, encoder)
    plan = _plan(model, values, encoder, steps=steps, dt=dt, readout=readout, layout=layout)
    contract = _contract(plan)
    with replacing(path) as temporary:
        write_graph(temporary, plan.built, plan.network, contract, {})
        check = check_file(plan, values, temporary, str(path))
        if check.mean_gain_error:
            # The cost of ignoring the gain is known only now; the file with it is proven again.
            write_graph(temporary, plan.built, plan.network, contract, check.mean_gain_error)
            check = check_file(plan, values, temporary, str(path))
        findings = tuple(export_findings(plan, check, widened))
        if gain_form != "metadata":
            graph = read(temporary).value
            portable, more = write_portable_gain(
                graph,
                temporary,
                gain_form,
                plan.stimulus(values),
                bits=gain_bits,
                steps=plan.steps if plan.way.layout == "held" else None,
                unit_r=gain_unit_r,
            )
            check, findings = dataclasses.replace(check, portable=portable), (*findings, *more)
    return Result(check, findings)


def _require_options(path: Any, dt: Any, steps: Any, encoder: Any, gain_bits: Any) -> None:
    """Refuse arguments of another kind than the signature says."""
    if not isinstance(path, (str, Path)):
        raise InputError(f"path: {type(path).__name__}; give the name of a file to write")
    number = isinstance(dt, (int, float, np.number)) and not isinstance(dt, bool)
    if dt is not None and not (number and 0 < dt < float("inf")):
        raise ContractError(f"dt: {dt!r}; a step length is a positive number of seconds")
    for name, value in (("steps", 1 if steps is None else steps), ("gain_bits", gain_bits)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InputError(f"{name}: {value!r}; give a whole number")
    if steps is not None and steps < 1:
        raise ContractError(f"steps: {steps}; a sample has at least one step")
    if encoder is not None and not isinstance(encoder, ConstantEncoder):
        raise InputError(f"encoder: {type(encoder).__name__}; give a ConstantEncoder")


def check_export(
    model: Any,
    sample: Any,
    path: str | Path,
    *,
    steps: int | None = None,
    dt: float | None = None,
    encoder: ConstantEncoder | None = None,
    readout: str | None = None,
    layout: Layout | None = None,
    name: str | None = None,
) -> ExportCheck:
    """Prove that the NIR file at ``path`` reproduces ``model`` on ``sample``; see ``to_nir``.

    What a model does not say (steps, dt, the encoder) must be given: a file that says something
    else would pass on its own terms. Without ``dt`` the file's is taken where no module has one.

    Raises
    ------
    ExportRefusedError
        If anything differs.
    """
    _require_options(path, dt, steps, encoder, 8)
    values, encoder, _ = sample_values(sample, encoder)
    # Without any the file cannot be read, and that is what is said.
    fallback = stated_dt(Path(path)) or 1.0
    plan = _plan(
        model,
        values,
        encoder,
        steps=steps,
        dt=dt,
        readout=readout,
        layout=layout,
        fallback_dt=fallback,
    )
    return check_file(plan, values, Path(path), str(path) if name is None else name)


def _plan(
    model: Any,
    values: FloatArray,
    encoder: ConstantEncoder,
    *,
    steps: int | None,
    dt: float | None,
    readout: str | None,
    layout: Layout | None,
    fallback_dt: float | None = None,
) -> Plan:
    subject = Subject.of(model)
    followed = follow_model(
        subject, values, steps=steps, dt=dt, layout=layout, fallback_dt=fallback_dt
    )
    network = followed.network
    built = build(network)
    last = (
        network.nodes[built.neurons[built.output]].path
        if built.output in built.neurons
        else built.output
    )
    words = contract_readout(built, network, followed.reading, readout, last)
    return Plan(
        subject,
        followed.way,
        network,
        followed.reading,
        built,
        words,
        encoder,
        steps,
        followed.values_read,
    )


def _contract(plan: Plan) -> Contract:
    network = plan.network
    return dataclasses.replace(
        PLAIN_NIR_EULER,
        dt=network.dt,
        steps=plan.steps,
        reset=_reset(network),
        if_unit="step" if _uses(network, "IF") else "second",
        readout_node=plan.readout.node,
        readout_kind=plan.readout.kind,
        readout_window=plan.readout.window,
        encoder="constant",
        encoder_low=plan.encoder.low,
        encoder_high=plan.encoder.high,
        encoder_bits=plan.encoder.bits,
        source_tool=f"neurodeploy {neurodeploy.__version__}",
    )


def _uses(network: TracedNetwork, kind: str) -> bool:
    return any(n.neuron is not None and n.neuron.kind == kind for n in network.nodes.values())


def _reset(network: TracedNetwork) -> str:
    """Return the one reset rule of all spiking cells."""
    rules = {
        n.neuron.path: n.neuron.subtracts
        for n in network.nodes.values()
        if n.neuron is not None and not n.neuron.kind.endswith("LI")
    }
    if len(set(rules.values())) > 1:
        listed = ", ".join(f"{p} {'subtracts' if s else 'to v_reset'}" for p, s in rules.items())
        raise UnsupportedNodeError(
            f"model: its cells reset in different ways ({listed}); a NIR file has one reset rule"
        )
    return "subtract" if any(rules.values()) else "value"


def sample_values(
    sample: Any, encoder: ConstantEncoder | None
) -> tuple[FloatArray, ConstantEncoder, bool]:
    """Return the sample in input units, the encoder, and whether its range was taken from it.

    Integers are codes of the encoder; floats are values as they are.

    Raises
    ------
    ShapeError
        If it has fewer than two axes, or is empty.
    RangeError
        If a code or value does not fit the encoder that was given.
    """
    if isinstance(sample, torch.Tensor):
        dense = sample.detach().cpu().to_dense()
        sample = (dense.float() if dense.dtype is torch.bfloat16 else dense).numpy()
    array = np.asarray(sample)
    if array.ndim < 2 or not array.size or array.dtype.kind not in "biuf":
        raise ShapeError(
            f"sample: shape {array.shape} of {array.dtype}; needs numbers, images [B, n] or "
            "sequences [T, B, n] (more axes for channels and pixels)"
        )
    asked, encoder = encoder, ConstantEncoder() if encoder is None else encoder
    if array.dtype.kind == "f":
        return _float_values(array.astype(np.float64), asked, encoder)
    codes = array.astype(np.int64)
    if codes.min() < 0 or codes.max() > encoder.max_code:
        raise RangeError(
            f"sample: codes {codes.min()}..{codes.max()} leave 0..{encoder.max_code}; give codes "
            "of the encoder's width, or float values"
        )
    return encoder.decode(codes), encoder, False


def _float_values(
    values: NDArray[np.float64], asked: ConstantEncoder | None, encoder: ConstantEncoder
) -> tuple[FloatArray, ConstantEncoder, bool]:
    if not np.isfinite(values).all():
        raise RangeError(f"sample: {int((~np.isfinite(values)).sum())} values are NaN or infinite")
    low, high = float(values.min()), float(values.max())
    if encoder.low <= low and high <= encoder.high:
        return values, encoder, False
    if asked is not None:
        raise RangeError(
            f"sample: values {low:g}..{high:g} leave the encoder's range "
            f"{encoder.low:g}..{encoder.high:g}"
        )
    wide = ConstantEncoder(min(low, encoder.low), max(high, encoder.high), encoder.bits)
    return values, wide, True
