"""What a float run leaves behind: recorded arrays, the output, and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.floating import Network, Population
from neurodeploy.network.traces import Quantity, readout_quantity
from neurodeploy.simulate.fan_out import fan_out
from neurodeploy.simulate.float_network import Connection, OnEntering, ReadyNetwork
from neurodeploy.simulate.float_neurons import NeuronTrace, Wanted
from neurodeploy.simulate.node_values import NodeValues

Tensor = torch.Tensor
_STATES = ("u", "v", "v_pre")
_MAX_SPIKES = np.iinfo(np.int32).max


def has_quantity(p: Population, quantity: Quantity) -> bool:
    """Return whether a population has a quantity; integrators have spikes, all zero."""
    if quantity == "y":
        return p.kind in ("relay", "delay")
    if quantity == "spikes":
        return p.fires or p.kind == "li"
    if quantity == "u":
        return p.decay_u is not None and p.kind in ("lif", "li")
    return p.kind in ("lif", "li")


def output_key(net: Network) -> str:
    """Return ``<population>/<quantity>`` of the output; ``y``, what it sends, where that is all."""
    p, quantity = net.population(net.readout.population), readout_quantity(net.readout)
    return f"{p.name}/{quantity if has_quantity(p, quantity) else 'y'}"


@dataclass(slots=True, eq=False)
class FloatRecords:
    """Arrays of a whole run, [T, B, N] and [B]; a chunk of samples fills its columns."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @staticmethod
    def allocate(
        ready: ReadyNetwork,
        rows: int,
        batch: int,
        quantities: tuple[Quantity, ...],
        latency: Mapping[str, int],
        node_values: NodeValues,
    ) -> FloatRecords:
        """Return arrays for the asked quantities and the output.

        Rows before a population's own first step hold its start: ``v_init``, no spikes.
        """
        net, records = ready.net, FloatRecords()
        kind = np.dtype(np.float64 if ready.dtype == torch.float64 else np.float32)
        asked = {f"{p.name}/{q}" for p in net.populations for q in quantities if has_quantity(p, q)}
        asked.add(output_key(net))
        for p in net.populations:
            spikes = np.dtype(np.int32 if p.kind == "lif" and p.spikes == "multiple" else np.uint8)
            for q in ("spikes", *_STATES, "y"):
                key = f"{p.name}/{q}"
                if key in asked:
                    array = np.zeros((rows, batch, p.size), spikes if q == "spikes" else kind)
                    if q in ("v", "v_pre"):
                        array[: latency[p.name]] = p.v_init
                    records.arrays[key] = array
            records.counts[f"{p.name}/spikes"] = np.zeros(batch, np.int64)
        for s in net.synapses:
            records.counts[f"{s.name}/operations"] = np.zeros(batch, np.int64)
        for node, size in node_values.sizes().items():
            records.arrays.setdefault(f"{node}/y", np.zeros((rows, batch, size), kind))
        return records


class ChunkObserver:
    """Writes what a chunk of samples does into the run's records, and counts."""

    def __init__(
        self,
        ready: ReadyNetwork,
        records: FloatRecords,
        samples: slice,
        latency: Mapping[str, int],
        node_values: NodeValues,
        fans: dict[int, list[Tensor]],
    ) -> None:
        self._ready, self._records, self._samples = ready, records, samples
        self._latency, self._node_values, self._fans = latency, node_values, fans
        self.keeps_sources = bool(node_values.sizes())
        self._wanted = {
            p.name: tuple(q for q in _STATES if f"{p.name}/{q}" in records.arrays)
            for p in ready.net.populations
        }

    def wanted(self, p: Population, first: int, steps: int) -> Wanted:
        """Return the recorded states of ``p`` and their rows."""
        row = first + self._latency[p.name]
        return {
            name: self._records.arrays[f"{p.name}/{name}"][row : row + steps, self._samples]
            for name in self._wanted[p.name]
        }

    def observe(self, p: Population, first: int, steps: int, trace: NeuronTrace) -> None:
        """Record and count spikes."""
        row = first + self._latency[p.name]
        for name in self._wanted[p.name]:
            values = getattr(trace, name)
            if values is not None:
                self._write(f"{p.name}/{name}", row, steps, values)
        if p.fires:
            if trace.events is not None and p.spikes == "single":
                spikes = trace.events.sum(dim=1)
            else:
                spikes = trace.sent.sum(dim=(0, 2), dtype=torch.float64)
                spikes *= steps / len(trace.sent)
            spikes_of = self._records.counts[f"{p.name}/spikes"]
            spikes_of[self._samples] += _whole(f"population {p.name}", spikes)
            self._write(f"{p.name}/spikes", row, steps, trace.sent)
        self._write(f"{p.name}/y", row, steps, trace.sent)

    def entering(self, c: Connection, steps: int, events: Tensor | None) -> OnEntering | None:
        """Count operations: non-zero values entering, times the non-zero weights they meet."""
        if c.index not in self._fans:
            self._fans[c.index] = [
                torch.tensor(fan_out(o), dtype=torch.float64, device=self._ready.device)
                for o in c.synapse.operators
            ]
        fans = self._fans[c.index]
        counts = self._records.counts[f"{c.synapse.name}/operations"]
        batch = self._samples.stop - self._samples.start

        def count(index: int, values: Tensor) -> None:
            if index == 0 and events is not None:
                met = events
            else:
                rows = values.reshape(-1, batch, values.shape[-1])
                met = _non_zero(rows) * (steps if len(rows) == 1 else 1)
            operations = met.to(torch.float64) @ fans[index]
            counts[self._samples] += _whole(f"synapse {c.synapse.name}", operations)

        return count

    def end_of_block(self, first: int, steps: int, sources: Mapping[str, Tensor]) -> None:
        """Record what the linear nodes put out."""
        for node, latency, values in self._node_values.of_block(sources, self._latency):
            self._write(f"{node}/y", first + latency, steps, values)

    def _write(self, key: str, row: int, steps: int, values: Tensor) -> None:
        """Write rows; ``values`` may be one row for all of them, and longer than the run."""
        array = self._records.arrays.get(key)
        if array is None:
            return
        steps = min(steps, len(array) - row)
        if steps <= 0:
            return
        given = values.detach()[:steps].cpu().numpy()
        if array.dtype == np.int32 and not np.abs(given).max(initial=0) <= _MAX_SPIKES:
            raise RangeError(
                f"{key}: {np.abs(given).max()} spikes in one step do not fit 32 bits; the membrane "
                "diverges or its threshold is too small"
            )
        array[row : row + steps, self._samples] = given


def _non_zero(values: Tensor) -> Tensor:
    """Return how many of the rows [T, B, N] are not zero, [B, N]."""
    if values.device.type == "cpu":  # numpy counts several times faster there
        return torch.from_numpy(np.asarray(np.count_nonzero(values.numpy(), axis=0)))
    return (values != 0).sum(dim=0)


def _whole(where: str, counted: Tensor) -> NDArray[np.int64]:
    """Return counts as integers."""
    numbers = counted.detach().to(torch.float64).cpu().numpy()
    if not (np.abs(numbers) < 2.0**53).all():
        raise RangeError(f"{where}: counts up to {numbers.max()}; the membrane diverges")
    return np.asarray(np.rint(numbers), np.int64)
