"""Runs fixed-point networks on Lava and returns what they did, as any simulator's traces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.export.lava.acceptance import require_faithful
from neurodeploy.export.lava.runtime import Mode, Runtime, require
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation
from neurodeploy.network.network_file import save_network
from neurodeploy.network.traces import Quantity, Traces, readout_quantity
from neurodeploy.simulate.run_meta import Timing, checked_quantities, run_meta
from neurodeploy.simulate.stimulus import Stimulus, input_hash, read_stimulus

_START_UP_S = 60.0
_BUILD_S = 5.0
_STEP_S = 0.05
#: Lava holds a job's input as one array; longer batches become several jobs.
_INPUT_BYTES = 2**27


@dataclass(frozen=True, slots=True, eq=False)
class LavaRun:
    """One network and its input: the arguments of ``run_lava`` as a value."""

    net: FixedPointNetwork
    codes: NDArray[Any]
    steps: int | None = None
    record: tuple[str, ...] = ("u", "v", "spikes")
    timing: Timing = "aligned"


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
) -> Traces:
    """Run ``net`` on Lava's fixed_pt models, in the isolated runtime.

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
        Wall-clock limit; default 60 s, 5 s for the network, 50 ms per population and step.
    log : path or None
        Where the worker's output goes. By default a log is kept only on failure.
    mode : {"official", "shim"} or None
        Which runtime; default: the one there is, official first.

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
        If the worker fails, dies or runs past the limit.
    """
    request = LavaRun(net, codes, steps, tuple(record), timing)
    return run_lava_batch([request], timeout_s=timeout_s, log=log, mode=mode)[0]


def run_lava_batch(
    runs: Sequence[LavaRun],
    *,
    timeout_s: float | None = None,
    log: str | Path | None = None,
    mode: Mode | None = None,
) -> list[Traces]:
    """Run several networks one after the other in one worker: its start-up is paid once.

    Arguments and errors as for ``run_lava``.
    """
    prepared = [_prepare(run) for run in runs]
    runtime = require(mode)
    limit = sum(p.limit_s for p in prepared) + _START_UP_S if timeout_s is None else timeout_s
    with tempfile.TemporaryDirectory(prefix="neurodeploy-lava-") as name:
        folder = Path(name)
        jobs = [job for i, p in enumerate(prepared) for job in p.write_jobs(folder, f"run{i}")]
        runtime.run(jobs, folder, timeout_s=limit, log=None if log is None else Path(log).resolve())
        return [p.read_traces(folder, f"run{i}", runtime) for i, p in enumerate(prepared)]


def time_steps(
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    steps: int | None = None,
    timeout_s: float | None = None,
    mode: Mode | None = None,
) -> StepTiming:
    """Measure how long Lava takes for ``net`` on ``codes``, nothing recorded.

    Arguments and errors as for ``run_lava``.
    """
    prepared = _prepare(LavaRun(net, codes, steps, ()))
    runtime = require(mode)
    limit = prepared.limit_s + _START_UP_S if timeout_s is None else timeout_s
    with tempfile.TemporaryDirectory(prefix="neurodeploy-lava-") as name:
        jobs = prepared.write_jobs(Path(name), "run", record=False)
        results = runtime.run(jobs, Path(name), timeout_s=limit)["jobs"]
    return StepTiming(
        build_s=sum(result["build_s"] for result in results),
        stepping_s=sum(result["stepping_s"] for result in results),
        hardware_steps=sum(result["hardware_steps"] for result in results),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _PreparedRun:
    """A checked run: what goes into the worker's folder and how to read what comes out."""

    net: FixedPointNetwork
    stimulus: Stimulus
    quantities: tuple[Quantity, ...]
    timing: Timing

    @property
    def hardware_steps(self) -> int:
        """Hardware steps of one sample."""
        return self.stimulus.steps + self.net.max_latency

    @property
    def limit_s(self) -> float:
        """Generous time for this run alone."""
        per_step = _STEP_S * len(self.net.populations)
        return _BUILD_S * len(self._chunks()) + per_step * self.hardware_steps * self.stimulus.batch

    def write_jobs(self, folder: Path, stem: str, *, record: bool = True) -> list[dict[str, Any]]:
        """Write network and codes; return one job per chunk of samples."""
        save_network(self.net, folder / f"{stem}.h5")
        jobs = []
        for number, (first, last) in enumerate(self._chunks()):
            codes = self.stimulus.codes[..., first:last, :].astype(np.int32)
            np.save(folder / f"{stem}-{number}-codes.npy", codes)
            quantities = {p.name: self._recorded(p) for p in self.net.populations} if record else {}
            jobs.append(
                {
                    "kind": "network",
                    "network": f"{stem}.h5",
                    "codes": f"{stem}-{number}-codes.npy",
                    "steps": self.stimulus.steps,
                    "record": quantities,
                    "out": f"{stem}-{number}",
                }
            )
        return jobs

    def read_traces(self, folder: Path, stem: str, runtime: Runtime) -> Traces:
        """Read what the recorders wrote, chunk by chunk, and put it on the asked time axis."""
        arrays = {
            f"{population.name}/{quantity}": np.concatenate(
                [
                    self._read(folder / f"{stem}-{number}" / f"{index}-{quantity}.npy", population)
                    for number in range(len(self._chunks()))
                ],
                axis=1,
            )
            for index, population in enumerate(self.net.populations)
            for quantity in self._recorded(population)
        }
        spikes = {p.name: arrays[f"{p.name}/spikes"] for p in self.net.populations}
        quantity = readout_quantity(self.net.readout)
        digest = input_hash(self.stimulus.codes, self.net.encoder.max_code)
        meta = run_meta(
            self.net,
            backend="lava",
            timing=self.timing,
            steps=self.stimulus.steps,
            digest=digest,
        )
        versions = {**meta["versions"], "lava": dict(runtime.versions)}
        return Traces(
            output=arrays[f"{self.net.readout.population}/{quantity}"],
            records={k: a for k, a in arrays.items() if k.rsplit("/", 1)[1] in self.quantities},
            counts={
                f"{name}/spikes": s.sum(axis=(0, 2), dtype=np.int64) for name, s in spikes.items()
            },
            meta={**meta, "versions": versions, "lava_mode": runtime.mode},
        )

    def _recorded(self, population: FixedPopulation) -> list[Quantity]:
        """Return what to record: what was asked, the read-out's quantity, and always spikes."""
        wanted: set[Quantity] = {"spikes", *self.quantities}
        if population.name == self.net.readout.population:
            wanted.add(readout_quantity(self.net.readout))
        if population.kind == "dlif":
            wanted.discard("u")
        return sorted(wanted)

    def _read(self, path: Path, population: FixedPopulation) -> NDArray[Any]:
        """Read one recording, [samples * hardware steps, N]; return [T, samples, N]."""
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
        rows = flat.reshape(-1, self.hardware_steps, population.size)
        if self.timing == "aligned":
            rows = rows[:, population.latency : population.latency + self.stimulus.steps]
        return np.ascontiguousarray(rows.transpose(1, 0, 2))

    def _chunks(self) -> list[tuple[int, int]]:
        """Ranges of samples whose input fits the bound of one job."""
        sample_bytes = 4 * self.net.n_input * self.hardware_steps
        size = max(1, _INPUT_BYTES // sample_bytes)
        batch = self.stimulus.batch
        return [(first, min(first + size, batch)) for first in range(0, batch, size)]


def _prepare(run: LavaRun) -> _PreparedRun:
    if run.timing not in ("aligned", "lava"):
        raise InputError(f"timing: {run.timing!r} not known; choose aligned or lava")
    quantities = checked_quantities(run.record)
    if "v_pre" in quantities:
        raise InputError("record: Lava shows no v_pre; record it with the fixed backend")
    require_faithful(run.net)
    stimulus = read_stimulus(
        run.codes,
        n_input=run.net.n_input,
        encoder=run.net.encoder,
        steps=run.net.steps,
        asked_steps=run.steps,
    )
    return _PreparedRun(run.net, stimulus, quantities, run.timing)
