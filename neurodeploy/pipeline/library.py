"""The library's front door: what ``import neurodeploy as nd`` offers, loaded on first use."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from neurodeploy.pipeline.settings import DeploySettings, default_radii
from neurodeploy.pipeline.stimulus import stimulus_for, widened
from neurodeploy.quantization import config_for
from neurodeploy.robustness import RobustnessConfig

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
    profile: str = "loihi2",
    calibration: Any = None,
    calibration_x: Any = None,
    weight_bits: int = 8,
) -> Result[FixedPointNetwork]:
    """Quantise a graph for a chip; unpacks into (network, findings).

    Parameters
    ----------
    graph : Graph
    profile : str
        Name of a shipped profile, or path of a TOML file.
    calibration : array [B, ...]
        Images in input units for ranges; numpy or torch.
    calibration_x : array [T, B, ...]
        In place of them: sequences, one input per step.
    weight_bits : int
        2 to 8.
    """
    if calibration is not None and calibration_x is not None:
        raise InputError("quantize: give calibration images [B, ...] or calibration_x, not both")
    values, samples = calibration if calibration_x is None else calibration_x, None
    if values is not None:
        samples = Stimuli(_array(values), None, held=calibration_x is None)
    config = config_for(calibrated=samples is not None, weight_bits=weight_bits)
    model = quantized(model_from_graph(graph, "model"), profile, config, samples)
    return Result(model.require_fixed(), model.findings)


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
    profile: str = "loihi2",
    calibration: Samples | Stimuli | EventStimuli | str | Path | None = None,
    name: str = "model",
    weight_bits: int = 8,
    seed: int = 0,
    tolerance_points: float = 2.0,
    quick: bool = False,
) -> Outcome:
    """Quantise, check, judge and report; what ``neurodeploy deploy`` does.

    Parameters
    ----------
    graph : Graph
    data : Samples or path
        Labelled test images.
    calibration : Samples, Stimuli, EventStimuli or path
        Images, sequences or events for ranges; none of them in ``data``.
    out : path
        Folder for the results.
    """
    model = model_from_graph(graph, name)
    robustness = RobustnessConfig(
        radii_codes=default_radii(model.require_network().encoder.max_code),
        seed=seed,
        tolerance_points=tolerance_points,
    )
    config = config_for(calibrated=calibration is not None, weight_bits=weight_bits)
    settings = DeploySettings(profile, config, robustness)
    return deploy_files(
        model,
        _samples(data),
        load_stimuli(calibration) if isinstance(calibration, (str, Path)) else calibration,
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
