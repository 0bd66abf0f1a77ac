"""Runs in which given spikes are lost between a neuron and everything that hears it.

The engines are those of ``run_torch`` and ``run_float``; with no loss the result is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, Network, Traces
from neurodeploy.network.traces import readout_quantity
from neurodeploy.simulate.fixed_components import components
from neurodeploy.simulate.float_chunk import FloatChunk
from neurodeploy.simulate.float_network import ready_network
from neurodeploy.simulate.float_neurons import Neurons, NeuronState, NeuronTrace, Wanted
from neurodeploy.simulate.float_records import ChunkObserver, FloatRecords, output_key
from neurodeploy.simulate.node_values import NodeValues
from neurodeploy.simulate.run_meta import readout_meta
from neurodeploy.simulate.stimulus import read_float_stimulus, read_stimulus
from neurodeploy.simulate.torch_components import TorchComponent, TorchTrace

#: bool [T, B, N]: which spikes of a population are lost, if it fires them.
Losses = NDArray[np.bool_]


def run_lossy_fixed(
    net: FixedPointNetwork, codes: NDArray[np.int32], losses: Mapping[str, Losses]
) -> Traces:
    """Run ``net`` on held codes [B, n_input] for ``net.steps`` steps, losing spikes.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int32 [B, n_input]
    losses : mapping of population to bool [T, B, N]
        For every population.

    Returns
    -------
    Traces
        The read-out's output and, as ``<population>/spikes``, what left each population.

    Raises
    ------
    ShapeError, RangeError
        For codes that do not fit the network.
    """
    given = read_stimulus(
        codes, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=None
    )
    kept = {name: torch.from_numpy(~lost).to(torch.float64) for name, lost in losses.items()}
    inputs = torch.from_numpy(given.codes.astype(np.float64))[None]
    sent = {INPUT: inputs, ALWAYS_ON: inputs.new_ones(1, given.batch, 1)}
    traces: dict[str, TorchTrace] = {}
    with torch.inference_mode():
        for component in components(net):
            ready = TorchComponent(component, net.encoder.max_code, inputs.device)
            done = ready.forward(
                sent, given.batch, given.steps, lambda name, t, fired: fired * kept[name][t]
            )
            traces.update(done)
            sent.update({name: torch.stack(trace.spikes) for name, trace in done.items()})
    spikes = {f"{p.name}/spikes": sent[p.name].numpy().astype(np.uint8) for p in net.populations}
    output = getattr(traces[net.readout.population], readout_quantity(net.readout))
    whole = torch.stack(output).numpy().astype(np.int64)
    return Traces(whole, spikes, {}, {"readout": readout_meta(net)})


def run_lossy_float(net: Network, codes: NDArray[np.int32], losses: Mapping[str, Losses]) -> Traces:
    """Run a float network, losing spikes; see ``run_lossy_fixed``.

    Populations that send values instead of spikes lose nothing.
    """
    given = read_float_stimulus(
        codes, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=None
    )
    with torch.inference_mode():
        ready = ready_network(net, torch.float64, torch.device("cpu"))
        lossy = {p.name: _LossyNeurons(ready.neurons[p.name], losses[p.name])
                 for p in net.populations if p.fires}  # fmt: skip
        ready = replace(ready, neurons={**ready.neurons, **lossy})
        nodes, latency = NodeValues.of(ready, asked=False), dict.fromkeys(ready.neurons, 0)
        records = FloatRecords.allocate(
            ready, given.steps, given.batch, ("spikes",), latency, nodes
        )
        samples = slice(0, given.batch)
        observer = ChunkObserver(ready, records, samples, latency, nodes, {})
        limits = dict.fromkeys([INPUT, *ready.neurons], given.steps)
        values = torch.from_numpy(given.values(0, given.steps, samples, np.float64))
        FloatChunk(ready, given.batch, limits, observer).run_block(0, given.steps, values)
    spikes = {f"{name}/spikes": records.arrays[f"{name}/spikes"] for name in lossy}
    output = records.arrays[output_key(net)]
    return Traces(output, spikes, {}, {"readout": net.readout.as_dict()})


class _LossyNeurons(Neurons):
    """Neurons of another kind whose spikes are lost on the way out."""

    def __init__(self, inner: Neurons, lost: Losses) -> None:
        self.population = inner.population
        self._inner, self._kept = inner, torch.from_numpy(~lost)

    def start(self, batch: int) -> NeuronState:
        """Return the state before the first step."""
        return self._inner.start(batch)

    def run(
        self, x: torch.Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run, and lose spikes."""
        trace = self._inner.run(x, state, first, steps, wanted)
        sent = trace.sent * self._kept[first : first + steps].to(trace.sent.dtype)
        return replace(trace, sent=sent, events=None)
