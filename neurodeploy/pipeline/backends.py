"""Running a model on one of the backends; all return the same Traces."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import (
    FixedPointNetwork,
    Quantity,
    Traces,
    network_hash,
)
from neurodeploy.pipeline.model import Model
from neurodeploy.simulate import run_fixed, run_float, run_torch

BACKENDS = ("float", "fixed", "lava")
Timing = Literal["aligned", "lava"]
FloatType = Literal["float64", "float32"]
Engine = Literal["events", "torch"]
Progress = Callable[[int, int], None]


def run_model(
    model: Model,
    stimulus: NDArray[Any],
    backend: str,
    *,
    steps: int | None = None,
    record: Sequence[Quantity] = (),
    timing: Timing = "aligned",
    threads: int | None = None,
    dtype: FloatType = "float64",
    timeout_s: float | None = None,
    workers: int = 1,
    lava_quirks: bool = False,
    engine: Engine = "events",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Traces:
    """Run a stimulus through the model.

    Parameters
    ----------
    model : Model
        ``fixed`` and ``lava`` need its fixed-point network, ``float`` its float network.
    stimulus : array [B, n_input] or [T, B, n_input]
        Held for the model's steps if two-dimensional. Integers are input codes; the float
        backend also takes float values as they are.
    backend : {"float", "fixed", "lava"}
    steps, record, timing, threads
        As ``run_fixed``.
    dtype : {"float64", "float32"}
        Numbers of the float backend; float32 is for counting decisions that hang on rounding.
    timeout_s, workers, lava_quirks
        As ``run_lava``.
    engine : {"events", "torch"}, device : str
        Of the fixed backend: compiled kernels that follow events, or plain torch on a device.
        The integers are the same.

    Returns
    -------
    Traces
        ``meta["findings"]`` lists what was noticed and assumed on the way to the model,
        ``meta["model"]`` has the hashes of its NIR file and of its integers.

    Raises
    ------
    InputError
        For an unknown backend.
    MissingComponentError, LavaError
        From Lava.
    """
    if engine not in get_args(Engine):
        raise InputError(f"engine {engine!r} does not exist; there are: events, torch")
    if engine == "torch" and backend != "fixed":
        raise InputError(f"engine torch: belongs to the fixed backend, not to {backend!r}")
    if dtype != "float64" and backend != "float":
        raise InputError(f"dtype {dtype}: backend {backend!r} computes in integers; drop dtype")
    if backend == "float":
        network = model.require_network()
        traces = run_float(
            network, stimulus, steps=steps, record=tuple(record), timing=timing, dtype=dtype
        )
    elif backend == "fixed" and engine == "torch":
        if timing != "aligned":
            raise InputError("engine torch: runs on the logical axis; use timing='aligned'")
        traces = run_torch(
            model.require_fixed(), stimulus, steps=steps, record=tuple(record), device=device
        )
    elif backend == "fixed":
        traces = run_fixed(
            model.require_fixed(),
            stimulus,
            steps=steps,
            record=tuple(record),
            timing=timing,
            threads=threads,
            progress=progress,
        )
    elif backend == "lava":
        from neurodeploy.export.lava import run_lava

        wanted = tuple(q for q in record if q != "v_pre")
        traces = run_lava(
            model.require_fixed(),
            stimulus,
            steps=steps,
            record=wanted,
            timing=timing,
            timeout_s=timeout_s,
            workers=workers,
            lava_quirks=lava_quirks,
            progress=progress,
        )
    else:
        raise InputError(f"backend {backend!r} does not exist; there are: {', '.join(BACKENDS)}")
    return dataclasses.replace(traces, meta={**traces.meta, **meta_of(model, backend)})


def meta_of(model: Model, backend: str) -> dict[str, Any]:
    """Return what a traces file says of the model: what was noticed, and hashes."""
    noticed = [finding.as_dict() for finding in model.findings]
    return {"findings": noticed, "model": _identity(model, backend)}


def _identity(model: Model, backend: str) -> dict[str, str]:
    """Return hashes of what was run: the NIR file, and for integers the network's own."""
    ran = model.network_for(backend)
    found = {"nir_sha256": hashlib.sha256(ran.nir_file).hexdigest()} if ran.nir_file else {}
    if isinstance(ran, FixedPointNetwork):
        found["network_hash"] = network_hash(ran)
    return found
