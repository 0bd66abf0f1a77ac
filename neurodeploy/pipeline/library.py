"""The library's front door: what ``import neurodeploy as nd`` offers, loaded on first use."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.findings import Result
from neurodeploy.graph import Contract, Graph, ReadLimits
from neurodeploy.graph import read as read_graph
from neurodeploy.hardware_profiles import limits_in
from neurodeploy.network import (
    EventStimuli,
    FixedPointNetwork,
    Network,
    Quantity,
    Samples,
    Stimuli,
    Traces,
    load_network,
    load_samples,
    load_stimuli,
    require_legal,
)
from neurodeploy.pipeline.backends import (
    Engine,
    FloatType,
    Timing,
    run_model,
)
from neurodeploy.pipeline.deploy import Outcome
from neurodeploy.pipeline.deploy import deploy as deploy_files
from neurodeploy.pipeline.model import Model, model_from_graph, quantized
from neurodeploy.pipeline.repaired_file import require_writable, write_repaired
from neurodeploy.pipeline.settings import LAVA_SAMPLES, DeploySettings, FineTuning
from neurodeploy.pipeline.stimulus import stimulus_for, widened
from neurodeploy.pipeline.sweep_file import read_sweep
from neurodeploy.quantization import config_for

__all__ = ["deploy", "from_nir", "load", "load_samples", "quantize", "read", "run", "to_nir"]


def read(
    path: str | Path | Any,
    *,
    strict: bool = False,
    convention: str | None = None,
    repair: bool = False,
    limits: ReadLimits | None = None,
    **contract: Any,
) -> Graph:
    """Read and check a NIR file, or a ``nir.NIRGraph``.

    Parameters
    ----------
    path : path or nir.NIRGraph
        NIR file, or graph in memory.
    strict, convention, repair, limits
        As for ``neurodeploy.graph.read``.
    **contract
        Contract fields the file does not say, e.g. ``dt=1e-3``, ``steps=8`` (see
        ``neurodeploy.graph.Contract``).

    Raises
    ------
    InputError
        With every finding, if the file or the contract cannot be used.
    """
    known = [field.name for field in dataclasses.fields(Contract)]
    unknown = sorted(set(contract) - set(known))
    if unknown:
        raise InputError(f"read: unknown options {unknown}; known: {', '.join(known)}")
    result = read_graph(
        path,
        Contract(**contract),
        strict=strict,
        convention=convention,
        repair=repair,
        limits=limits,
    )
    graph: Graph = result.value
    return graph


def quantize(
    graph: Graph,
    *,
    profile: str | Path = "loihi2",
    calibration: Any = None,
    calibration_x: Any = None,
    labels: Any = None,
    weight_bits: int | Literal["auto"] = 8,
    gain_bits: int = 8,
    scale: str | None = None,
    rounding: str | None = None,
    bias: str | None = None,
    threshold: str = "own",
    weight_exponent: str = "least_error",
    granularity: str = "population",
    sign_split: str = "never",
    weight_memory: int | None = None,
    remap: str = "microcode",
    fine_tune: str | None = None,
    fine_tune_epochs: int = 8,
    fine_tune_radius: int | None = None,
    fine_tune_noise: str = "adversarial",
    fine_tune_penalty: float = 0.0,
    nir: str | Path | None = None,
    seed: int = 0,
    lava_quirks: bool = False,
) -> Result[FixedPointNetwork]:
    """Quantise a graph for a chip; unpacks into (network, findings).

    Every option means what that of ``neurodeploy quantize`` does.

    Parameters
    ----------
    graph : Graph
    profile : str
        Name of a shipped profile, or path of a TOML file.
    calibration : array [B, ...], Samples, Stimuli, EventStimuli or path
        Images in input units; numpy or torch; or whatever a data file holds.
    calibration_x : array [T, B, ...]
        In place of them: sequences, one input per step.
    labels : array [B]
        Of arrays, for ``fine_tune="labels"``.
    weight_bits, gain_bits, scale, rounding, bias, threshold, weight_exponent, granularity
        As in ``neurodeploy.quantization.QuantizeConfig``, with sign_split, remap, lava_quirks and
        weight_memory (its memory_bytes); None: the best with the samples that there are
        (``config_for``).
    fine_tune : {"float", "labels"} or None
        Who teaches the integers; None: nobody.
    fine_tune_epochs, fine_tune_radius, fine_tune_noise, fine_tune_penalty
        As in ``neurodeploy.pipeline.settings.FineTuning``.
    nir : path or None
        NIR file to write: a float model of what the integers stand for.
    seed : int
        Of the fine-tuning.
    """
    if calibration is not None and calibration_x is not None:
        raise InputError("quantize: give calibration images [B, ...] or calibration_x, not both")
    samples = _calibration(calibration, calibration_x, labels)
    config = config_for(
        calibrated=samples is not None, weight_bits=weight_bits, gain_bits=gain_bits, scale=scale,
        rounding=rounding, bias=bias, threshold=threshold, weight_exponent=weight_exponent,
        granularity=granularity, sign_split=sign_split, memory_bytes=weight_memory, remap=remap,
        lava_quirks=lava_quirks,
    )  # fmt: skip
    require_writable(nir, config)
    model = quantized(model_from_graph(graph, "model"), profile, config, samples)
    tuning = _fine_tuning(
        fine_tune, fine_tune_epochs, fine_tune_radius, fine_tune_noise, fine_tune_penalty, seed
    )
    if tuning is not None:
        from neurodeploy.pipeline.fine_tuning import fine_tuned

        model = fine_tuned(model, samples, tuning)
    findings = model.findings
    if nir is not None:
        findings += write_repaired(nir, model, profile, config, samples)
    return Result(model.require_fixed(), findings)


def _fine_tuning(
    teacher: str | None, epochs: int, radius: int | None, noise: str, penalty: float, seed: int
) -> FineTuning | None:
    return None if teacher is None else FineTuning(teacher, epochs, radius, noise, penalty, seed)


def _calibration(images: Any, x: Any, labels: Any) -> Samples | Stimuli | EventStimuli | None:
    """Return calibration data from whatever stands for it."""
    if labels is not None and isinstance(images, (str, Path, Samples, Stimuli, EventStimuli)):
        raise InputError("labels: the calibration data has its own (y); give arrays to add labels")
    if isinstance(images, (str, Path)):
        return load_stimuli(images)
    if images is None and x is None:
        return None
    if isinstance(images, (Samples, Stimuli, EventStimuli)):
        return images
    known = None if labels is None else _array(labels).astype(np.int64)
    return Stimuli(_array(images if x is None else x), known, held=x is None)


def run(
    model: Graph | FixedPointNetwork,
    *,
    images: Any = None,
    x: Any = None,
    steps: int | None = None,
    backend: str | None = None,
    record: Sequence[Quantity] = (),
    timing: Timing = "aligned",
    threads: int | None = None,
    dtype: FloatType = "float64",
    lava_quirks: bool = False,
    engine: Engine = "events",
    device: str = "cpu",
) -> Traces:
    """Run a graph in float, or a fixed-point network in the simulator or on Lava.

    Parameters
    ----------
    model : Graph or FixedPointNetwork
    images : array [B, ...]
        Encoded for ``steps`` (default: the contract's) as the contract's encoder says: held, or
        as spikes. Input units; values are rounded to codes.
    x : array [T, B, ...]
        In place of ``images``: one input per step, used as it is in float.
    steps : int
        Steps per sample.
    backend : {"float", "fixed", "lava"}
        Default: ``float`` for a graph, ``fixed`` for a fixed-point network.
    record : sequence of {"spikes", "u", "v", "v_pre"}
    timing : {"aligned", "lava"}
        Logical time, or hardware time with one step per synapse.
    threads : int
        Default: all cores.
    dtype : {"float64", "float32"}
        Numbers of the float backend.
    lava_quirks : bool
        Accept integers that Lava takes but no chip holds.
    engine : {"events", "torch"}, device : str
        How the fixed backend computes the integers: compiled kernels, or plain torch on a device.
    """
    if isinstance(model, Graph):
        held = model_from_graph(model, "model")
        source: Network | FixedPointNetwork = held.require_network()
        backend = backend or "float"
    elif isinstance(model, FixedPointNetwork):
        if not lava_quirks:
            require_legal(model, limits_in(model.profile))
        held, source, backend = Model("model", None, model), model, backend or "fixed"
    else:
        raise InputError(f"run: takes a Graph or a FixedPointNetwork, not {type(model).__name__}")
    if (images is None) == (x is None):
        raise InputError("run: give either images [B, ...] or x [T, B, ...]")
    given = Stimuli(_array(x if images is None else images), None, held=x is None)
    stimuli = widened(held.graph, held.network, given, steps)
    stimulus, noticed = stimulus_for(source, stimuli, backend, steps)
    held = dataclasses.replace(held, findings=(*held.findings, *noticed))
    return run_model(
        held,
        stimulus,
        backend,
        steps=steps,
        record=record,
        timing=timing,
        threads=threads,
        dtype=dtype,
        lava_quirks=lava_quirks,
        engine=engine,
        device=device,
    )


def load(path: str | Path, *, lava_quirks: bool = False) -> FixedPointNetwork:
    """Read a NET.h5.

    Parameters
    ----------
    path : path
    lava_quirks : bool
        Accept integers that Lava takes but no chip holds; otherwise they are a RangeError.
    """
    net = load_network(path)
    if not lava_quirks:
        require_legal(net, limits_in(net.profile))
    return net


def to_nir(model: Any, sample: Any, path: str | Path, **options: Any) -> Result[Any]:
    """Export a Norse model; see ``neurodeploy.export.nir.to_nir``."""
    from neurodeploy.export.nir import to_nir as export

    result: Result[Any] = export(model, sample, path, **options)
    return result


def from_nir(graph: Graph, *, trainable: bool = True, verify: bool = True, **options: Any) -> Any:
    """Build a trainable Norse module; see ``neurodeploy.export.norse.from_nir``."""
    from neurodeploy.export.norse import from_nir as build

    return build(graph, trainable=trainable, verify=verify, **options)


def deploy(
    graph: Graph,
    data: Samples | str | Path,
    *,
    out: str | Path,
    profile: str | Path = "loihi2",
    calibration: Any = None,
    name: str = "model",
    weight_bits: int | Literal["auto"] = 8,
    gain_bits: int = 8,
    scale: str | None = None,
    rounding: str | None = None,
    bias: str | None = None,
    threshold: str = "own",
    weight_exponent: str = "least_error",
    granularity: str = "population",
    sign_split: str = "never",
    weight_memory: int | None = None,
    remap: str = "microcode",
    fine_tune: str | None = None,
    fine_tune_epochs: int = 8,
    fine_tune_radius: int | None = None,
    fine_tune_noise: str = "adversarial",
    fine_tune_penalty: float = 0.0,
    radii: Sequence[int] | None = None,
    tolerance: float | None = None,
    quick: bool = False,
    allow_overlap: bool = False,
    allow_empty_classes: bool = False,
    lava_samples: int = LAVA_SAMPLES,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    lava_quirks: bool = False,
) -> Outcome:
    """Quantise, check, judge and report; what ``neurodeploy deploy`` does.

    Every option means what that of the command does; those about integers as for ``quantize``.

    Parameters
    ----------
    graph : Graph
    data : Samples or path
        Labelled test images.
    calibration : Samples, Stimuli, EventStimuli, array [B, ...] or path
        Images, sequences or events; none of them in ``data``.
    out : path
        Folder for the results.
    radii : sequence of int
        Strengths in input codes; None: 5, 10, 15, 20 and 30 % of the input range.
    tolerance : float
        Drop in points; None: 2.
    quick : bool
        Fewer samples and radii; the results are marked.
    allow_overlap, allow_empty_classes : bool
        Go on, with a mark, where tuning saw test data, or a class has none.
    lava_samples : int
        Test samples that also run on Lava.
    """
    model = model_from_graph(graph, name)
    samples = _calibration(calibration, None, None)
    sweep = read_sweep(
        None,
        model.require_network().encoder.max_code,
        radii_codes=None if radii is None else tuple(radii),
        tolerance_points=tolerance,
        allow_empty_classes=allow_empty_classes or None,
        seed=seed,
    )
    config = config_for(
        calibrated=samples is not None, weight_bits=weight_bits, gain_bits=gain_bits, scale=scale,
        rounding=rounding, bias=bias, threshold=threshold, weight_exponent=weight_exponent,
        granularity=granularity, sign_split=sign_split, memory_bytes=weight_memory, remap=remap,
        lava_quirks=lava_quirks,
    )  # fmt: skip
    tuning = _fine_tuning(
        fine_tune, fine_tune_epochs, fine_tune_radius, fine_tune_noise, fine_tune_penalty, seed
    )
    settings = DeploySettings(
        str(profile), config, sweep.robustness, lava_samples, threads, device, allow_overlap, tuning
    )
    return deploy_files(
        model,
        _samples(data),
        samples,
        settings,
        out,
        command=shlex.join(["neurodeploy.deploy", f"profile={profile}", f"seed={seed}"]),
        data_name="data" if isinstance(data, Samples) else Path(data).name,
        quick_run=quick,
    )


def _samples(data: Samples | str | Path) -> Samples:
    return data if isinstance(data, Samples) else load_samples(data)


def _array(value: Any) -> NDArray[np.float64]:
    """Return numpy float64 from numpy or torch (which stays unimported).

    Raises
    ------
    InputError
        For what is not an array of real numbers.
    """
    if hasattr(value, "detach"):
        # numpy lacks some of torch's number types (bfloat16); float64 holds all of them.
        value = value.detach().cpu()
        value = value.numpy() if value.is_complex() else value.double().numpy()
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise InputError(f"data: hold {array.dtype}; needs real numbers")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"data: cannot be made an array of numbers: {error}") from error
