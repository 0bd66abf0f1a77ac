"""The fixed-point network in plain torch: the same integers on any device, and their gradient.

Slower than the compiled kernels on a CPU; on a GPU it is the way to run. It needs float64 there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.traces import Traces, readout_quantity
from neurodeploy.simulate.fixed_components import Component, components, reachable
from neurodeploy.simulate.given_trains import checked_trains
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.run_meta import checked_quantities, run_meta
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.stimulus import input_hash, read_stimulus
from neurodeploy.simulate.torch_components import TorchComponent, TorchTrace
from neurodeploy.simulate.torch_devices import checked_device

Tensor = torch.Tensor


def run_torch(
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    steps: int | None = None,
    record: Iterable[str] = (),
    device: str | torch.device = "cpu",
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Traces:
    """Run ``net`` in aligned timing with torch alone; the result is that of ``run_fixed``.

    Parameters
    ----------
    net, codes, steps, record
        As in ``run_fixed``.
    device : str
        For example "cuda". All steps of all samples are held there at once.
    given : mapping of population to 0/1 array [T, B, N]
        Spikes that these populations send, whatever arrives at them: they are not simulated. For
        networks of which a part follows another one, and for faults.

    Returns
    -------
    Traces
        Records and counts as ``run_fixed`` gives them; of given populations the spikes alone.

    Raises
    ------
    ShapeError, RangeError
        For codes that do not fit the network, a rule that is not defined, or sums beyond the 53
        bits of float64.
    InputError, MissingComponentError
        For a device that torch does not know, or cannot compute on.
    """
    quantities = checked_quantities(record)
    stimulus = read_stimulus(
        codes, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=steps
    )
    on = checked_device(device)
    trains = checked_trains(net, given or {}, stimulus.steps, stimulus.batch)
    # A population whose spikes are given listens to nobody, so it closes no loop either.
    listening = tuple(s for s in net.synapses if s.target not in trains)
    found = components(replace(net, synapses=listening))
    ready = [TorchComponent(c, net.encoder.max_code, on) for c in found if c.names[0] not in trains]
    held = torch.tensor(stimulus.codes.astype(np.float64), device=on)
    sent = _steady(held if held.ndim == 3 else held[None])
    sent.update(
        {name: torch.tensor(x, dtype=torch.float64, device=on) for name, x in trains.items()}
    )
    traces: dict[str, TorchTrace] = {}
    with torch.no_grad():
        for component in ready:
            done = component.forward(sent, stimulus.batch, stimulus.steps)
            traces.update(done)
            sent.update({name: torch.stack(trace.spikes) for name, trace in done.items()})
    records = {
        f"{p.name}/{quantity}": _record(traces[p.name], quantity)
        for p in net.populations
        for quantity in quantities
        if p.name in traces and quantity != "y" and not (quantity == "u" and p.kind == "dlif")
    }
    if "spikes" in quantities:
        records.update({f"{name}/spikes": train for name, train in trains.items()})
    quantity, home = readout_quantity(net.readout), net.readout.population
    output = trains[home] if home in trains else _record(traces[home], quantity)
    digest = input_hash(stimulus.codes, net.encoder.max_code)
    meta = run_meta(net, backend="fixed", timing="aligned", steps=stimulus.steps, digest=digest)
    return Traces(
        output=output,
        records=records,
        counts=_counts(net, traces, sent, stimulus.steps),
        meta={**meta, "overflow": "wrap"},
    )


class TorchGradient:
    """Raw scores of codes and their gradient on any device, as ``CompiledGradient``.

    Parameters
    ----------
    net : FixedPointNetwork
    device : torch.device
    """

    def __init__(self, net: FixedPointNetwork, device: torch.device) -> None:
        found = components(net)
        self._device, self._readout, self._largest = device, net.readout, net.encoder.max_code
        self._components = [TorchComponent(c, self._largest, device) for c in found]
        self._between = _between(found, net.readout.population)

    def forward(
        self, codes: Tensor, readout: ReadoutGradient, keep: bool
    ) -> tuple[Tensor, dict[str, TorchTrace]]:
        """Return raw scores [B, classes] and what the way back needs (if ``keep``)."""
        values = codes.detach().to(self._device)
        low, high = (float(x) for x in values.aminmax())
        if not (low >= 0 and high <= self._largest):
            raise RangeError(
                f"codes: range {low}..{high} leaves the encoder's 0..{self._largest}; "
                "clip them first"
            )
        whole = torch.round(values.to(torch.float64))
        sent = _steady(whole if codes.ndim == 3 else whole[None])
        traces: dict[str, TorchTrace] = {}
        for component in self._components:
            done = component.forward(sent, codes.shape[-2], readout.steps)
            traces.update(done)
            sent.update({name: torch.stack(trace.spikes) for name, trace in done.items()})
        scores = readout.read(self._output(traces)).to(codes.device)
        return scores, traces if keep else {}

    def backward(
        self,
        gradient: Tensor,
        chunks: Mapping[str, TorchTrace],
        readout: ReadoutGradient,
        surrogate: Surrogate,
        like: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return the gradient by codes shaped and typed ``like`` the first ones."""
        steps, held = readout.steps, like.ndim == 2
        output = self._output(chunks)
        by_output = readout.back(gradient.to(self._device), output, dtype)
        by_output = by_output.expand(output.shape).transpose(0, 1)
        by_sent: dict[str, Tensor] = {}
        home = self._readout.population
        by_v = {home: by_output} if readout.reads_v else {}
        if not readout.reads_v:
            by_sent[home] = by_output
        for component in reversed(self._components):
            names = set(component.names) & self._between
            if not names & {*by_sent, *by_v}:
                continue
            own = {name: by_sent.pop(name) for name in component.names if name in by_sent}
            by_a = component.backward(chunks, own, by_v, surrogate, dtype)
            for name, slots in component.inputs.items():
                for slot in slots:
                    source, delay = slot.slot.source, slot.slot.delay
                    if source not in self._between | {INPUT} or delay >= steps:
                        continue
                    felt = by_a[name][delay:]
                    if source == INPUT and held:
                        part = slot.back(felt.sum(dim=0, keepdim=True))
                    else:
                        part = torch.nn.functional.pad(slot.back(felt), (0, 0, 0, 0, 0, delay))
                    known = by_sent.get(source)
                    by_sent[source] = part if known is None else known + part
        found = by_sent.get(INPUT)
        if found is None or not self._between:
            return torch.zeros(like.shape, dtype=like.dtype, device=like.device)
        return (found[0] if held else found).to(device=like.device, dtype=like.dtype)

    def _output(self, traces: Mapping[str, TorchTrace]) -> Tensor:
        """Return what the read-out reads, [B, T, N]."""
        trace = traces[self._readout.population]
        return torch.stack(trace.spikes if self._readout.kind == "count" else trace.v, dim=1)


def _between(found: tuple[Component, ...], last: str) -> set[str]:
    """Return the populations between the input and ``last``, which is one of them."""
    return reachable(found, INPUT) & reachable(found, last, backward=True)


def _steady(codes: Tensor) -> dict[str, Tensor]:
    """Return what the input and the always-on line send, [T or 1, B, n]."""
    return {INPUT: codes, ALWAYS_ON: codes.new_ones(1, codes.shape[1], 1)}


def _record(trace: TorchTrace, quantity: str) -> NDArray[Any]:
    values = torch.stack(getattr(trace, quantity)).cpu().numpy()
    found: NDArray[Any] = values.astype(np.uint8 if quantity == "spikes" else np.int32)
    return found


def _counts(
    net: FixedPointNetwork,
    traces: Mapping[str, TorchTrace],
    sent: Mapping[str, Tensor],
    steps: int,
) -> dict[str, NDArray[np.int64]]:
    found: dict[str, Tensor] = {}
    for p in net.populations:
        found[f"{p.name}/spikes"] = sent[p.name].sum(dim=(0, 2))
        if p.name not in traces:
            continue
        trace = traces[p.name]
        found[f"{p.name}/wraps"] = torch.stack(trace.wraps).sum(dim=0)
        found[f"{p.name}/clamps"] = torch.stack(trace.clamped).sum(dim=(0, 2))
    for synapse in net.synapses:
        events = (sent[synapse.source] != 0).to(torch.float64)
        times = steps if events.shape[0] == 1 else 1
        fan_out = torch.tensor(synapse.fan_out, dtype=torch.float64, device=events.device)
        found[f"{synapse.name}/operations"] = (events.sum(dim=0) * fan_out).sum(dim=1) * times
    return {name: value.cpu().numpy().astype(np.int64) for name, value in found.items()}
