"""Running a model on one of the backends; all return the same Traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from neurodeploy.errors import ContractError, InputError
from neurodeploy.findings import Finding
from neurodeploy.network import FixedPointNetwork, Network, Quantity, Stimuli, Traces
from neurodeploy.pipeline.model import Model
from neurodeploy.simulate import run_fixed, run_float

BACKENDS = ("float", "fixed", "lava")
Timing = Literal["aligned", "lava"]
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
    timeout_s: float | None = None,
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
    timeout_s : float
        Limit for Lava; default grows with steps and samples.

    Returns
    -------
    Traces
        ``meta["findings"]`` lists what was noticed and assumed on the way to the model.

    Raises
    ------
    InputError
        For an unknown backend.
    MissingComponentError, LavaError
        From Lava.
    """
    if backend == "float":
        network = model.require_network()
        traces = run_float(network, stimulus, steps=steps, record=tuple(record), timing=timing)
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
        )
    else:
        raise InputError(f"backend {backend!r} does not exist; there are: {', '.join(BACKENDS)}")
    noticed = [finding.as_dict() for finding in model.findings]
    return dataclasses.replace(traces, meta={**traces.meta, "findings": noticed})


def stimulus_for(
    network: Network | FixedPointNetwork, stimuli: Stimuli, backend: str
) -> tuple[NDArray[Any], tuple[Finding, ...]]:
    """Return what ``run_model`` takes, and what that changes.

    Held images become codes on every backend, so that all see the same grid. A sequence is used
    as it is in float, and rounded to codes for integers.

    Raises
    ------
    ShapeError
        If the inputs have another size than the network's.
    ContractError
        For held images under an encoder that cannot be run yet.
    """
    stimuli.require_size(network.n_input)
    encoder = network.contract.get("encoder", {}).get("kind", "constant")
    if stimuli.held and encoder != "constant":
        raise ContractError(
            f"encoder: the contract says {encoder!r}, and only 'constant' turns held images into "
            "input yet; give a sequence x [T, B, ...], or --encoder constant"
        )
    if backend == "float" and not stimuli.held:
        return stimuli.values, ()
    return network.encoder.encode(stimuli.values), stimuli.changed_by(network.encoder)
