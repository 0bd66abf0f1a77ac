"""Builds a FixedPointNetwork from Lava's stock processes and our own neurons and recorder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer

from neurodeploy.export.lava_processes.layer_recorder import LayerRecorder
from neurodeploy.export.lava_worker.connected_parts import connected_parts
from neurodeploy.export.lava_worker.graded_neurons import make_graded_neurons
from neurodeploy.export.lava_worker.neurons import StartValues, make_neurons
from neurodeploy.export.lava_worker.synapses import connect
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation, FixedSynapse

Array = np.ndarray[Any, Any]


class Recording(NamedTuple):
    """What to record, and where: ``<population index>-<quantity>.npy`` in ``folder``.

    The files hold ``samples`` samples of ``steps + net.max_latency`` rows each.
    """

    quantities: Mapping[str, Sequence[str]]
    folder: Path
    samples: int


class LavaNetwork:
    """A network of Lava processes for some samples of a run, sample after sample.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input] or [T, B, n_input]
        Input of these samples.
    steps : int
        Logical steps T of a sample; it takes ``steps + net.max_latency`` hardware steps.
    recording : Recording
    first_sample : int
        Place of the first of these samples in the recording.
    """

    def __init__(
        self,
        net: FixedPointNetwork,
        codes: Array,
        steps: int,
        recording: Recording,
        first_sample: int = 0,
    ) -> None:
        self.samples = int(codes.shape[-2])
        self.steps_per_sample = steps + net.max_latency
        self.pace = self.steps_per_sample if self.samples == 1 else sample_pace(net, steps)
        self._start: list[tuple[Any, Array]] = []
        self._neurons = {p.name: self._keep(self._make(p)) for p in net.populations}
        self._sources: dict[tuple[str, int], Any] = {}
        for synapse in net.synapses:
            source = self._source(synapse, net, codes, steps)
            self._keep(connect(synapse, source, self._neurons[synapse.target]))
        self._tie(connected_parts(net))
        for index, population in enumerate(net.populations):
            quantities = tuple(recording.quantities.get(population.name, ()))
            if quantities:
                paths = {q: str(recording.folder / f"{index}-{q}.npy") for q in quantities}
                self._record(population, paths, recording.samples, first_sample)

    @property
    def state_size(self) -> int:
        """Elements of all states: what ``restart`` has to write."""
        return sum(value.size for _, value in self._start)

    def _keep(self, made: tuple[Any, StartValues]) -> Any:
        process, start = made
        self._start += start
        return process

    def _make(self, population: FixedPopulation) -> tuple[Any, StartValues]:
        if population.is_graded:
            return make_graded_neurons(population, self.samples, self.pace)
        return make_neurons(population)

    def _source(
        self, synapse: FixedSynapse, net: FixedPointNetwork, codes: Array, steps: int
    ) -> Any:
        """Return the process that feeds ``synapse``, made on first use."""
        if synapse.source not in (INPUT, ALWAYS_ON):
            return self._neurons[synapse.source]
        latency = net.population(synapse.target).latency if synapse.source == ALWAYS_ON else 0
        key = (synapse.source, latency)
        if key not in self._sources:
            if synapse.source == INPUT:
                data = np.zeros((net.n_input, self.samples, self.pace), np.int32)
                held = codes if codes.ndim == 3 else codes[None]
                data[:, :, :steps] = np.moveaxis(held, 0, -1).transpose(1, 0, 2)
            else:
                # Sent from hardware step `latency` on, it acts from the layer's first own step.
                data = np.zeros((1, self.samples, self.pace), np.int32)
                data[:, :, max(latency - 1, 0) :] = 1
            self._sources[key] = RingBuffer(data=data.reshape(data.shape[0], -1))
        return self._sources[key]

    def _tie(self, parts: Sequence[Sequence[str]]) -> None:
        """Join parts that do not hang together, with weights of zero from a line that is silent.

        A network falls apart where all weights between two layers are zero. Lava would leave out
        all but one part, without a word.
        """
        if len(parts) == 1:
            return
        silent = RingBuffer(data=np.zeros((1, 1), np.int32))
        for name, *_ in parts:
            neurons = self._neurons[name]
            weight = np.zeros((math.prod(neurons.a_in.shape), 1), np.int32)
            tie = FixedSynapse(f"tie->{name}", ALWAYS_ON, name, weight, 0, "excitatory")
            self._keep(connect(tie, silent, neurons))

    def _record(
        self,
        population: FixedPopulation,
        paths: Mapping[str, str],
        samples: int,
        first_sample: int,
    ) -> None:
        neurons = self._neurons[population.name]
        recorder = LayerRecorder(
            size=population.size,
            steps=self.steps_per_sample,
            paths=paths,
            samples=samples,
            first_sample=first_sample,
            pace=self.pace,
        )
        neurons.s_out.connect(recorder.s_in)
        for quantity in ("u", "v"):
            if quantity in paths:
                getattr(recorder, quantity).connect_var(getattr(neurons, quantity))

    @property
    def _entry(self) -> Any:
        return next(iter(self._neurons.values())).s_out.process

    def build(self) -> None:
        """Compile and start Lava's operating-system processes."""
        self._entry.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))

    def step(self, steps: int) -> None:
        """Run ``steps`` steps of the present sample."""
        try:
            self._entry.run(RunSteps(num_steps=steps))
        except RuntimeError as error:
            # Lava only says how many of its processes raised; it has logged their tracebacks.
            raise RuntimeError("; ".join(self._exceptions()) or str(error)) from error

    def _exceptions(self) -> list[str]:
        infrastructure = getattr(self._entry.runtime, "_messaging_infrastructure", None)
        actors = getattr(infrastructure, "actors", [])
        return [repr(a.exception[0]) for a in actors if getattr(a, "exception", None)]

    def restart(self) -> None:
        """Write the start values to every state: u, v, synapse buffers, counters."""
        for variable, value in self._start:
            variable.set(value)

    def stop(self) -> None:
        """End Lava's processes; nothing can run afterwards. Never call it after an error."""
        self._entry.stop()


def sample_pace(net: FixedPointNetwork, steps: int) -> int:
    """Return the steps from one sample's first step to the next one's.

    Lava counts its steps on, so each sample has to begin in the same phase of every periodic reset
    of stock neurons; that takes idle steps between the samples.
    """
    intervals = [p.reset_interval for p in net.populations if not p.waits and p.reset_interval]
    period = math.lcm(*intervals)
    return -(-(steps + net.max_latency) // period) * period
