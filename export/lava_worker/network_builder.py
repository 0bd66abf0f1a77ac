"""Builds a FixedPointNetwork from Lava's stock processes and our DLIF and recorder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.process.process import LogConfig
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF
from lava.utils.weightutils import SignMode

from neurodeploy.errors import InputError
from neurodeploy.export.lava_processes.dlif import DLIF
from neurodeploy.export.lava_processes.layer_recorder import LayerRecorder
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation, FixedSynapse
from neurodeploy.network.floating import ALWAYS_ON, INPUT
from neurodeploy.network.start_state import start_v

_SIGN_MODES = {
    "mixed": SignMode.MIXED,
    "excitatory": SignMode.EXCITATORY,
    "inhibitory": SignMode.INHIBITORY,
}


class LavaNetwork:
    """A network of Lava processes for all samples of one run, sample after sample.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input] or [T, B, n_input]
        Input of each sample.
    steps : int
        Logical steps T of a sample; it takes ``steps + net.max_latency`` hardware steps.
    record : mapping of population name to quantities among "spikes", "u", "v"
    folder : Path
        Where the recorders write ``<population index>-<quantity>.npy``, [B * hardware steps, N].
    """

    def __init__(
        self,
        net: FixedPointNetwork,
        codes: np.ndarray[Any, Any],
        steps: int,
        record: Mapping[str, Sequence[str]],
        folder: Path,
    ) -> None:
        self.samples = int(codes.shape[-2])
        self.steps_per_sample = steps + net.max_latency
        self._total = self.samples * self.steps_per_sample
        # Values that set the network back to its start, per Var.
        self._start: list[tuple[Any, np.ndarray[Any, Any]]] = []
        self._neurons = {p.name: self._population(p) for p in net.populations}
        self._sources: dict[tuple[str, int], Any] = {}
        self._processes = list(self._neurons.values())
        for synapse in net.synapses:
            source = self._source(synapse, net, codes, steps)
            self._connect(synapse, source, self._neurons[synapse.target])
        for index, population in enumerate(net.populations):
            quantities = tuple(record.get(population.name, ()))
            if quantities:
                paths = {q: str(folder / f"{index}-{q}.npy") for q in quantities}
                self._record(population, paths)

    def _population(self, population: FixedPopulation) -> Any:
        log = LogConfig(level=logging.INFO)
        v = start_v(population)
        if population.gain is not None:  # a dlif
            process = DLIF(
                decay_v=population.decay_v,
                bias=population.bias,
                threshold=population.v_threshold,
                v=v,
                gain=population.gain,
                gain_shift=int(population.gain_shift),
                latency=int(population.latency),
                log_config=log,
            )
            self._start += [(process.v, v), (process.elapsed, np.zeros(1, np.int32))]
            return process
        process = LIF(
            shape=(population.size,),
            u=population.u_init,
            v=v,
            du=_scalar_if_uniform(population.decay_u),
            dv=_scalar_if_uniform(population.decay_v),
            bias_mant=population.bias,
            bias_exp=int(population.bias_exp),
            vth=_scalar_if_uniform(population.v_threshold),
            log_config=log,
        )
        self._start += [(process.u, population.u_init), (process.v, v)]
        return process

    def _source(
        self,
        synapse: FixedSynapse,
        net: FixedPointNetwork,
        codes: np.ndarray[Any, Any],
        steps: int,
    ) -> Any:
        """Return the process that feeds ``synapse``, made on first use."""
        if synapse.source not in (INPUT, ALWAYS_ON):
            return self._neurons[synapse.source]
        latency = net.population(synapse.target).latency if synapse.source == ALWAYS_ON else 0
        key = (synapse.source, latency)
        if key not in self._sources:
            if synapse.source == INPUT:
                data = np.zeros((net.n_input, self.samples, self.steps_per_sample), np.int32)
                held = codes if codes.ndim == 3 else codes[None]
                data[:, :, :steps] = np.moveaxis(held, 0, -1).transpose(1, 0, 2)
            else:
                # Sent from hardware step `latency` on, it acts from the layer's first own step.
                data = np.zeros((1, self.samples, self.steps_per_sample), np.int32)
                data[:, :, max(latency - 1, 0) :] = 1
            self._sources[key] = RingBuffer(data=data.reshape(data.shape[0], self._total))
            self._processes.append(self._sources[key])
        return self._sources[key]

    def _connect(self, synapse: FixedSynapse, source: Any, target: Any) -> None:
        dense = Dense(
            weights=np.array(synapse.weight),
            weight_exp=int(synapse.weight_exp),
            num_weight_bits=int(synapse.weight_bits),
            sign_mode=_SIGN_MODES[synapse.sign_mode],
            num_message_bits=int(synapse.message_bits),
        )
        source.s_out.connect(dense.s_in)
        dense.a_out.connect(target.a_in)
        self._start.append((dense.a_buff, np.zeros(synapse.weight.shape[0], np.int32)))
        self._processes.append(dense)

    def _record(self, population: FixedPopulation, paths: Mapping[str, str]) -> None:
        neurons = self._neurons[population.name]
        recorder = LayerRecorder(size=population.size, steps=self._total, paths=paths)
        neurons.s_out.connect(recorder.s_in)
        for quantity in ("u", "v"):
            if quantity in paths:
                getattr(recorder, quantity).connect_var(getattr(neurons, quantity))
        self._processes.append(recorder)

    @property
    def _entry(self) -> Any:
        return next(iter(self._neurons.values()))

    def build(self) -> None:
        """Compile and start Lava's operating-system processes."""
        self._entry.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        left_out = [name for name, p in self._neurons.items() if p.runtime is None]
        if left_out:
            raise InputError(
                f"network: populations {left_out} are not connected to the rest; Lava runs only "
                "what is connected. Remove them or connect them"
            )

    def run_sample(self) -> None:
        """Run the next sample to its end."""
        try:
            self._entry.run(RunSteps(num_steps=self.steps_per_sample))
        except RuntimeError as error:
            # Lava only says how many of its processes raised; it has logged their tracebacks.
            raise RuntimeError("; ".join(self._exceptions()) or str(error)) from error

    def _exceptions(self) -> list[str]:
        infrastructure = getattr(self._entry.runtime, "_messaging_infrastructure", None)
        actors = getattr(infrastructure, "actors", [])
        return [repr(a.exception[0]) for a in actors if getattr(a, "exception", None)]

    def restart(self) -> None:
        """Write the start values to every state: u, v, synapse buffers, DLIF counters."""
        for variable, value in self._start:
            variable.set(value)

    def stop(self) -> None:
        """End Lava's processes; nothing can run afterwards. Never call it after an error."""
        self._entry.stop()


def _scalar_if_uniform(values: np.ndarray[Any, Any]) -> int | np.ndarray[Any, Any]:
    """Return a Python int where all neurons agree, else the array (int64).

    Lava passes these parameters through as they are. A numpy scalar would hang ``Var.get``.
    """
    if (values == values[0]).all():
        return int(values[0])
    return values.astype(np.int64)
