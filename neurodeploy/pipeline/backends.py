"""Running a model on one of the backends; all return the same Traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import Quantity, Traces
from neurodeploy.pipeline.model import Model
from neurodeploy.simulate import run_fixed, run_float

BACKENDS = ("float", "fixed", "lava")
Timing = Literal["aligned", "lava"]
Progress = Callable[[int, int], None]


def run_model(
    model: Model,
    codes: NDArray[Any],
    backend: str,
    *,
    steps: int | None = None,
    record: Sequence[Quantity] = (),
    timing: Timing = "aligned",
    threads: int | None = None,
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Traces:
    """Run ``codes`` through the model.

    Parameters
    ----------
    model : Model
        ``fixed`` and ``lava`` need its fixed-point network, ``float`` its float network.
    codes : int array [B, n_input] or [T, B, n_input]
        Input codes, held for the model's steps if two-dimensional.
    backend : {"float", "fixed", "lava"}
    steps, record, timing, threads
        As ``run_fixed``.
    timeout_s : float
        Limit for Lava; default grows with steps and samples.

    Raises
    ------
    InputError
        For an unknown backend.
    MissingComponentError, LavaError
        From Lava.
    """
    if backend == "float":
        network = model.require_network()
        return run_float(network, codes, steps=steps, record=tuple(record), timing=timing)
    if backend == "fixed":
        return run_fixed(
            model.require_fixed(),
            codes,
            steps=steps,
            record=tuple(record),
            timing=timing,
            threads=threads,
            progress=progress,
        )
    if backend == "lava":
        from neurodeploy.export.lava import run_lava

        wanted = tuple(q for q in record if q != "v_pre")
        return run_lava(
            model.require_fixed(),
            codes,
            steps=steps,
            record=wanted,
            timing=timing,
            timeout_s=timeout_s,
        )
    raise InputError(f"backend {backend!r} does not exist; there are: {', '.join(BACKENDS)}")
