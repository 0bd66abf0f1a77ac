"""The arrays that a fixed-point run fills: records and counters, allocated before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import ALWAYS_ON
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.start_state import start_v
from neurodeploy.network.traces import Quantity, readout_quantity
from neurodeploy.simulate import population_kernels
from neurodeploy.simulate.run_plan import PlannedPopulation, RunPlan

NewArray = Callable[[str, tuple[int, int, int], Any], NDArray[Any]]
NO_TRACE: NDArray[np.int32] = np.empty((0, 0, 0), np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class RunRecords:
    """Where all chunks write: records [T, B, N] in C order, and counts [B], preallocated.

    ``hardware_steps`` is T, plus the largest latency in Lava timing; ``latency`` is zero for every
    population in aligned timing.
    """

    records: dict[str, NDArray[Any]]
    counts: dict[str, NDArray[np.int64]]
    hardware_steps: int
    latency: dict[str, int]
    lava: bool

    @staticmethod
    def allocate(
        net: FixedPointNetwork,
        plan: RunPlan,
        shape: tuple[int, int],
        quantities: tuple[Quantity, ...],
        *,
        lava: bool,
        new_array: NewArray | None = None,
    ) -> RunRecords:
        """Allocate for what was asked and for the read-out; fill Lava's steps before the first.

        ``shape`` is (steps, samples). ``new_array`` (key, shape, dtype) gives the records' arrays,
        all zero; by default they are in memory.
        """
        total, batch = shape[0] + (net.max_latency if lava else 0), shape[1]
        records: dict[str, NDArray[Any]] = {}
        counts: dict[str, NDArray[np.int64]] = {}
        for p in net.populations:
            wanted = set(quantities)
            if p.name == net.readout.population:
                wanted.add(readout_quantity(net.readout))
            wanted.discard("y")
            if p.kind == "dlif":
                wanted.discard("u")
            for quantity in sorted(wanted):
                dtype = np.uint8 if quantity == "spikes" else np.int32
                key, full = f"{p.name}/{quantity}", (total, batch, p.size)
                records[key] = (
                    np.zeros(full, dtype) if not new_array else new_array(key, full, dtype)
                )
            for count in ("spikes", "wraps", "clamps"):
                counts[f"{p.name}/{count}"] = np.zeros(batch, np.int64)
        for planned in plan.populations:
            for synapse in planned.synapses:
                counts[f"{synapse.name}/operations"] = np.zeros(batch, np.int64)
        latency = {p.name: p.latency if lava else 0 for p in net.populations}
        if lava:
            for planned in plan.populations:
                _fill_waiting_steps(planned, records)
        return RunRecords(records, counts, total, latency, lava)

    def steps_of(self, name: str) -> int:
        """Return how many logical steps a population does."""
        return self.hardware_steps - self.latency[name]

    def view(self, name: str, quantity: str, t: int, end: int, samples: slice) -> NDArray[Any]:
        """Return where a block's values belong, or an empty array where nobody wants them."""
        array = self.records.get(f"{name}/{quantity}")
        if array is None:
            return NO_TRACE
        shift = self.latency[name]
        return array[t + shift : end + shift, samples]

    def add_counts(
        self,
        p: PlannedPopulation,
        samples: slice,
        overflows: NDArray[np.int64],
        sent: dict[str, NDArray[np.int64]],
    ) -> None:
        """Note what a finished chunk counted.

        Parameters
        ----------
        p : PlannedPopulation
        samples : slice
            Of the chunk.
        overflows : int64 [B, 2]
            Wraps and clamps.
        sent : mapping of source to int64 [B, n]
            Events of each neuron and input.
        """
        self.counts[f"{p.name}/spikes"][samples] = sent[p.name].sum(axis=1)
        self.counts[f"{p.name}/wraps"][samples] = overflows[:, 0]
        self.counts[f"{p.name}/clamps"][samples] = overflows[:, 1]
        for synapse in p.synapses:
            if synapse.source == ALWAYS_ON:
                # In Lava the line sends from hardware step latency(target) on.
                events = self.steps_of(p.name) + (1 if self.lava else 0)
                done: Any = events * int(synapse.fan_out.sum())
            else:
                done = sent[synapse.source] @ synapse.fan_out
            self.counts[f"{synapse.name}/operations"][samples] = done


def _fill_waiting_steps(p: PlannedPopulation, records: dict[str, NDArray[Any]]) -> None:
    """Record the steps before a layer's first: its bias acts alone, the same for all samples."""
    latency = p.population.latency
    begin = np.array(start_v(p.population), np.int32)
    v = np.zeros((1, p.v_init.size), np.int32)
    v[0, : p.size] = begin if p.order is None else begin[p.order]
    u, bias = p.u_init[None, :].copy(), p.bias
    if p.population.kind == "dlif":
        # It has no u, and nothing of its bias passes a gain that is still zero.
        u, bias = np.zeros_like(u), np.zeros_like(bias)
    shape = (latency, 1, p.size)
    trace_u, trace_v, trace_v_pre = (np.zeros(shape, np.int32) for _ in range(3))
    if p.population.waits:
        trace_u[:] = u[:, : p.size]
        trace_v[:] = trace_v_pre[:] = v[:, : p.size]
    elif latency:
        population_kernels.step_lif(
            np.zeros((1, 1, p.room), np.int32),
            (u, v),
            (p.keep_u, p.keep_v, bias, p.threshold),
            False,
            p.resets(-latency, 0),
            np.zeros((1, latency, p.room), np.uint8),
            0,
            (np.zeros((1, 2), np.int64), np.zeros(u.shape, np.int64)),
            (trace_u, trace_v, trace_v_pre),
        )
    places = np.arange(p.size) if p.order is None else p.order
    for quantity, trace in (("u", trace_u), ("v", trace_v), ("v_pre", trace_v_pre)):
        if f"{p.name}/{quantity}" in records:
            records[f"{p.name}/{quantity}"][:latency, :, places] = trace
