"""Runs fixed-point networks on Lava and returns what they did, as any simulator's traces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.export.lava.acceptance import require_faithful
from neurodeploy.export.lava.launch import Limits
from neurodeploy.export.lava.prepared_run import Job, PreparedRun, share_out
from neurodeploy.export.lava.runtime import Mode, require
from neurodeploy.export.lava_worker.lifeline import RUN_FOLDER
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.traces import Traces
from neurodeploy.simulate.run_meta import Timing, checked_quantities
from neurodeploy.simulate.stimulus import read_stimulus

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class LavaRun:
    """One network and its input: the arguments of ``run_lava`` as a value."""

    net: FixedPointNetwork
    codes: NDArray[Any]
    steps: int | None = None
    record: tuple[str, ...] = ("u", "v", "spikes")
    timing: Timing = "aligned"
    lava_quirks: bool = False


@dataclass(frozen=True, slots=True)
class StepTiming:
    """Seconds of one Lava run without any recording.

    ``build_s`` is compiling and starting Lava's processes, ``stepping_s`` the ``hardware_steps``
    themselves; ending the processes is in neither.
    """

    build_s: float
    stepping_s: float
    hardware_steps: int


def run_lava(
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    steps: int | None = None,
    record: Iterable[str] = ("u", "v", "spikes"),
    timing: Timing = "aligned",
    timeout_s: float | None = None,
    log: str | Path | None = None,
    mode: Mode | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    lava_quirks: bool = False,
) -> Traces:
    """Run ``net`` on Lava's fixed_pt models, in the isolated runtime.

    Samples run one after the other, each from the start of all states.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input] (held for every step) or [T, B, n_input]
        Input codes, 0 .. ``net.encoder.max_code``.
    steps : int or None
        Steps of held codes; default ``net.steps``.
    record : subset of {"spikes", "u", "v"}
        For every population: uint8 spikes, int32 states after reset. ``dlif`` has no u.
    timing : {"aligned", "lava"}
        ``aligned``: the logical axis, each layer's latency cut off. ``lava``: all hardware steps.
    timeout_s : float or None
        Wall-clock limit for everything. By default there is none: the workers measure their first
        steps, and one that then stays silent 20 times longer than it should (and for at least a
        minute) is taken for hanging.
    log : path or None
        Where the worker's output goes. By default a log is kept only on failure.
    mode : {"official", "shim"} or None
        Which runtime; default: the one there is, official first.
    workers : int
        Samples are shared among so many workers; each is one program with Lava's processes.
    progress : callable (done, total) or None
        Called with samples done now and then, from the calling thread.
    lava_quirks : bool
        Run what Lava computes though no chip holds it (``neurodeploy.network.legality``).

    Returns
    -------
    Traces
        ``counts`` holds ``<population>/spikes`` only: Lava reports no overflow.

    Raises
    ------
    ShapeError, RangeError, InputError
        If the codes do not fit, or Lava would compute something else than ``net`` says.
    MissingComponentError
        If there is no runtime.
    LavaError
        If a worker fails, dies or hangs, or the limit is over.
    """
    request = LavaRun(net, codes, steps, tuple(record), timing, lava_quirks)
    return run_lava_batch(
        [request], timeout_s=timeout_s, log=log, mode=mode, workers=workers, progress=progress
    )[0]


def run_lava_batch(
    runs: Sequence[LavaRun],
    *,
    timeout_s: float | None = None,
    log: str | Path | None = None,
    mode: Mode | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Traces]:
    """Run several networks one after the other in one worker: its start-up is paid once.

    Arguments and errors as for ``run_lava``; several workers share networks and samples.
    """
    prepared = [_prepare(run, f"run{i}") for i, run in enumerate(runs)]
    if workers < 1:
        raise InputError(f"workers: {workers}; at least one worker must run")
    if not prepared:
        return []
    runtime = require(mode)
    total = sum(p.stimulus.batch for p in prepared)
    seconds = sum(p.sample_s * p.stimulus.batch for p in prepared) / workers
    jobs = [p.jobs_within(seconds if workers > 1 else float("inf")) for p in prepared]
    shares = share_out([job for cut in jobs for job in cut], workers)
    with tempfile.TemporaryDirectory(prefix=RUN_FOLDER) as name:
        folder = Path(name)
        runtime.run_all(
            [[job.write(folder) for job in share] for share in shares],
            folder,
            limits=Limits(timeout_s),
            log=None if log is None else Path(log).resolve(),
            progress=None if progress is None else lambda done: progress(done, total),
        )
        return [p.read_traces(folder, cut, runtime) for p, cut in zip(prepared, jobs, strict=True)]


def time_steps(
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    steps: int | None = None,
    timeout_s: float | None = None,
    mode: Mode | None = None,
    lava_quirks: bool = False,
) -> StepTiming:
    """Measure how long Lava takes for ``net`` on ``codes``, nothing recorded.

    Arguments and errors as for ``run_lava``.
    """
    prepared = _prepare(LavaRun(net, codes, steps, (), lava_quirks=lava_quirks), "run")
    runtime = require(mode)
    jobs: list[Job] = prepared.jobs_within(float("inf"))
    with tempfile.TemporaryDirectory(prefix=RUN_FOLDER) as name:
        folder = Path(name)
        documents = [job.write(folder, record=False) for job in jobs]
        results = runtime.run(documents, folder, timeout_s=timeout_s)["jobs"]
    return StepTiming(
        build_s=sum(result["build_s"] for result in results),
        stepping_s=sum(result["stepping_s"] for result in results),
        hardware_steps=sum(result["hardware_steps"] for result in results),
    )


def _prepare(run: LavaRun, stem: str) -> PreparedRun:
    if run.timing not in ("aligned", "lava"):
        raise InputError(f"timing: {run.timing!r} not known; choose aligned or lava")
    quantities = checked_quantities(run.record)
    if "v_pre" in quantities:
        raise InputError("record: Lava shows no v_pre; record it with the fixed backend")
    stimulus = read_stimulus(
        run.codes,
        n_input=run.net.n_input,
        encoder=run.net.encoder,
        steps=run.net.steps,
        asked_steps=run.steps,
    )
    require_faithful(run.net, lava_quirks=run.lava_quirks)
    return PreparedRun(run.net, stimulus, quantities, run.timing, stem)
