"""A checked run: what goes into the worker's folder, in which jobs, and how to read what comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.export.lava.runtime import Runtime
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation
from neurodeploy.network.network_file import save_network
from neurodeploy.network.traces import Quantity, Traces, readout_quantity
from neurodeploy.simulate.run_meta import Timing, run_meta
from neurodeploy.simulate.stimulus import Stimulus, input_hash

#: Lava holds a job's input as one array; longer batches become several jobs.
_INPUT_BYTES = 2**27
#: Rough seconds of Lava's, to share jobs fairly: a network's start and end, a step of a process.
_BUILD_S = 0.4
_PROCESS_STEP_S = 2e-4


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """A network, its stimulus, and what to record on which time axis; ``stem`` names its files."""

    net: FixedPointNetwork
    stimulus: Stimulus
    quantities: tuple[Quantity, ...]
    timing: Timing
    stem: str

    @property
    def hardware_steps(self) -> int:
        """Hardware steps of one sample."""
        return self.stimulus.steps + self.net.max_latency

    @property
    def sample_s(self) -> float:
        """Rough seconds for one sample."""
        processes = 2 * len(self.net.populations) + len(self.net.synapses) + 1
        return _PROCESS_STEP_S * processes * self.hardware_steps

    def jobs_within(self, seconds: float) -> list[Job]:
        """Cut the samples into jobs of about ``seconds`` each, whose input fits the bound."""
        sample_bytes = 4 * self.net.n_input * self.hardware_steps
        fitting = max(1, _INPUT_BYTES // sample_bytes)
        batch = self.stimulus.batch
        wanted = max(1.0, (seconds - _BUILD_S) / self.sample_s)
        size = int(min(fitting, wanted, batch))
        cuts = [(first, min(first + size, batch)) for first in range(0, batch, size)]
        return [Job(self, number, first, last) for number, (first, last) in enumerate(cuts)]

    def recorded(self, population: FixedPopulation) -> list[Quantity]:
        """Return what to record: what was asked, the read-out's quantity, and always spikes."""
        wanted: set[Quantity] = {"spikes", *self.quantities}
        if population.name == self.net.readout.population:
            wanted.add(readout_quantity(self.net.readout))
        if population.kind == "dlif":
            wanted.discard("u")
        return sorted(wanted)

    def read_traces(self, folder: Path, jobs: Sequence[Job], runtime: Runtime) -> Traces:
        """Read what the recorders wrote, job by job, and put it on the asked time axis."""
        arrays = {
            f"{p.name}/{quantity}": np.concatenate(
                [self._read(folder / job.name / f"{index}-{quantity}.npy", p) for job in jobs],
                axis=1,
            )
            for index, p in enumerate(self.net.populations)
            for quantity in self.recorded(p)
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

    def _read(self, path: Path, population: FixedPopulation) -> NDArray[Any]:
        """Read one recording, [samples * hardware steps, N]; return [T, samples, N]."""
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
        rows = flat.reshape(-1, self.hardware_steps, population.size)
        if self.timing == "aligned":
            rows = rows[:, population.latency : population.latency + self.stimulus.steps]
        return np.ascontiguousarray(rows.transpose(1, 0, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The samples ``first`` .. ``last - 1`` of a run; its files lie under ``name``."""

    run: PreparedRun
    number: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Name of the folder for what it records."""
        return f"{self.run.stem}-{self.number}"

    @property
    def seconds(self) -> float:
        """Rough seconds that it takes."""
        return _BUILD_S + (self.last - self.first) * self.run.sample_s

    def write(self, folder: Path, *, record: bool = True) -> dict[str, Any]:
        """Write its codes (and the network, if it is the first); return it for the worker."""
        run = self.run
        network = folder / f"{run.stem}.h5"
        if not network.exists():
            save_network(run.net, network)
        codes = run.stimulus.codes[..., self.first : self.last, :].astype(np.int32)
        np.save(folder / f"{self.name}-codes.npy", codes)
        return {
            "kind": "network",
            "network": network.name,
            "codes": f"{self.name}-codes.npy",
            "steps": run.stimulus.steps,
            "record": {p.name: run.recorded(p) for p in run.net.populations} if record else {},
            "out": self.name,
        }


def share_out(jobs: Sequence[Job], workers: int) -> list[list[Job]]:
    """Divide ``jobs`` among at most ``workers`` workers, none left without a job."""
    shares: list[list[Job]] = [[] for _ in range(min(workers, len(jobs)))]
    for job in sorted(jobs, key=lambda job: -job.seconds):
        min(shares, key=lambda share: sum(j.seconds for j in share)).append(job)
    return shares
