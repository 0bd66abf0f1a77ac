"""From a model and a sample to the traced network: which way of running it holds together."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodeploy.errors import ContractError, NeurodeployError, UnsupportedNodeError
from neurodeploy.export.nir.cells import CELL_TYPES
from neurodeploy.export.nir.output import Reading, read_output
from neurodeploy.export.nir.run import (
    FloatArray,
    Layout,
    Subject,
    Way,
    exact_run,
    run_model,
    ways_to_run,
)
from neurodeploy.export.nir.settle import NO_CELLS, TracedNetwork, settle
from neurodeploy.export.nir.signal import Signal, Term
from neurodeploy.export.nir.stateful import follow
from neurodeploy.export.nir.trace import FAILS, Tracer
from neurodeploy.neurons import SpikingSequence

#: Samples a model is followed with; what it computes for one it computes for all.
_SAMPLES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A traced network, how its output is read, and the way the model was run.

    ``values_read``: (module path, operation) of numbers the forward took out of tensors.
    """

    network: TracedNetwork
    reading: Reading
    way: Way
    steps: int
    values_read: tuple[tuple[str, str], ...]


def follow_model(
    subject: Subject,
    values: FloatArray,
    *,
    steps: int | None,
    dt: float | None,
    layout: Layout | None,
    fallback_dt: float | None = None,
) -> Followed:
    """Trace the model on a few samples in the first way of running it that holds together.

    Raises
    ------
    NeurodeployError
        What was met in the likeliest way, if none does.
    """
    errors: list[_Failed] = []
    ways = ways_to_run(subject, values.shape, steps, layout)
    single: Followed | None = None
    # A model may know its batch size: then it is followed with all samples.
    for few, way in [(True, way) for way in ways] + [(False, way) for way in ways]:
        tracer = Tracer(_sample_count(values, way, few))
        run = functools.partial(_follow, subject, way=way, steps=steps, dt=(dt, fallback_dt))
        try:
            followed = run(values, tracer)
        except ContractError:
            raise
        except NeurodeployError as met:
            errors.append(_Failed(way, met, sum(tracer.calls.values())))
            continue
        if followed.values_read:
            _require_same(followed, run(np.flip(values, -1) * 0.5, Tracer(tracer.recorder.samples)))
        if followed.steps == 1 and way.layout == "held" and any(w.stepwise for w in ways):
            # One step that takes a state: a sequence looks like a batch of images to it.
            single = single or followed
            continue
        return followed
    if single is not None:
        return single
    raise _most_telling(errors)


@dataclass(frozen=True, slots=True, eq=False)
class _Failed:
    """A way that does not hold together: why, and after how many calls of cells."""

    way: Way
    error: NeurodeployError
    calls: int


def _most_telling(errors: list[_Failed]) -> NeurodeployError:
    """Return the error of the way that got furthest; the first of those that got equally far.

    A way that fails in the model's own code says less than one that was refused.
    """
    best = min(errors, key=lambda failed: (FAILS in str(failed.error), -failed.calls))
    if FAILS not in str(best.error):
        return best.error
    error = type(best.error)(f"{best.error} ({best.way})")
    error.__cause__ = best.error.__cause__
    return error


def _sample_count(values: FloatArray, way: Way, few: bool) -> int:
    return _SAMPLES if few else values.shape[1 if way.layout == "time-first" else 0]


def _follow(
    subject: Subject,
    values: FloatArray,
    tracer: Tracer,
    *,
    way: Way,
    steps: int | None,
    dt: tuple[float | None, float | None],
) -> Followed:
    if way.stepwise and way.layout == "held" and steps is None:
        raise ContractError(
            "steps: neither the model nor the sample says how many steps an image is held; "
            "give steps"
        )
    copied = subject.copied(torch.float64)
    batch_axis = 1 if way.layout == "time-first" else 0
    count = tracer.recorder.samples
    inputs = torch.from_numpy(np.array(values[:, :count] if batch_axis else values[:count]))
    with exact_run(torch.float64):
        follow(tracer, copied.module)
        with tracer:
            _enter(tracer, inputs, way)
            output = run_model(copied.function(), inputs, way, steps)
        _require_spiking(tracer)
        reading = read_output(tracer, output)
        taken = max((s.length for s in tracer.recorder.sites), default=0)
        network = settle(tracer.recorder, reading, taken, *dt)
    _require_steps(subject, way, values, steps, taken)
    return Followed(network, reading, way, taken, tuple(sorted(tracer.values_read)))


def _require_spiking(tracer: Tracer) -> None:
    modules = (s.module for s in tracer.recorder.sites if s.module is not None)
    if not any(CELL_TYPES[type(m)].spikes for m in modules):
        raise UnsupportedNodeError(NO_CELLS)


def _enter(tracer: Tracer, inputs: Tensor, way: Way) -> None:
    """Tag the sample as the input node's values."""
    held = way.layout == "held"
    shape = tuple(inputs.shape[1:] if held else inputs.shape[2:])
    site = tracer.recorder.new("input", "input", shape, kind="static" if held else "step")
    index = torch.arange(inputs.numel())
    if way.layout == "batch-first":
        samples, steps = inputs.shape[:2]
        index = index.reshape(steps, samples, *shape).transpose(0, 1).contiguous()
    tracer.tag(inputs, Signal(inputs.shape, (Term(site.number, index.reshape(inputs.shape)),)))


def _require_steps(
    subject: Subject, way: Way, values: FloatArray, steps: int | None, taken: int
) -> None:
    said: dict[str, int | None] = {"steps=": steps}
    said["the model"] = taken
    if isinstance(subject.module, SpikingSequence):
        said["the model"] = subject.module.steps
    if way.layout != "held":
        said["the sample"] = values.shape[0 if way.layout == "time-first" else 1]
    known = {who: value for who, value in said.items() if value is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{who} {value}" for who, value in known.items())
        raise ContractError(f"steps: contradictory: {listed}; give a sample of the model's length")


def _require_same(first: Followed, second: Followed) -> None:
    """Refuse a model whose graph depends on the values it is run with."""
    if _fingerprint(first.network) != _fingerprint(second.network):
        path, name = first.values_read[0]
        raise UnsupportedNodeError(
            f"{path}: the forward uses a computed value as a number ({name}), and what it then "
            "does depends on the sample; a NIR graph cannot"
        )


def _fingerprint(network: TracedNetwork) -> list[Any]:
    found = []
    for node in network.nodes.values():
        constant = None if node.constant is None else node.constant.tobytes()
        key = None if node.operation is None else node.operation.key
        edges = [(e.source, e.pattern.key, e.lag) for e in node.edges]
        found.append((node.number, node.path, node.shape, key, constant, edges))
    return found
