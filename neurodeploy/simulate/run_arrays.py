"""The arrays that a fixed-point run fills: records and counters, allocated before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.start_state import start_v
from neurodeploy.network.traces import Quantity, readout_quantity
from neurodeploy.simulate import neuron_kernels
from neurodeploy.simulate.fixed_plan import PlannedPopulation
from neurodeploy.simulate.stimulus import Stimulus


@dataclass(frozen=True, slots=True, eq=False)
class RunArrays:
    """Where all chunks write: records [T, B, N] and counters, preallocated.

    ``hardware_steps`` is T, plus the largest latency in Lava timing; ``latency`` is zero for every
    population in aligned timing.
    """

    records: dict[str, NDArray[Any]]
    overflows: dict[str, NDArray[np.int64]]
    fired: dict[str, NDArray[np.int64]]
    sent: NDArray[np.int64]
    hardware_steps: int
    latency: dict[str, int]
    timing: str

    @staticmethod
    def allocate(
        net: FixedPointNetwork,
        plan: tuple[PlannedPopulation, ...],
        stimulus: Stimulus,
        quantities: tuple[Quantity, ...],
        timing: str,
    ) -> RunArrays:
        """Allocate for what was asked and for the read-out; fill Lava's steps before the first."""
        lava = timing == "lava"
        total = stimulus.steps + (net.max_latency if lava else 0)
        batch = stimulus.batch
        records: dict[str, NDArray[Any]] = {}
        for p in net.populations:
            wanted = set(quantities)
            if p.name == net.readout.population:
                wanted.add(readout_quantity(net.readout))
            if p.kind == "dlif":
                wanted.discard("u")
            for quantity in sorted(wanted):
                dtype = np.uint8 if quantity == "spikes" else np.int32
                records[f"{p.name}/{quantity}"] = np.zeros((total, batch, p.size), dtype)
        arrays = RunArrays(
            records=records,
            overflows={p.name: np.zeros((batch, 2), np.int64) for p in net.populations},
            fired={p.name: np.zeros((batch, p.size), np.int64) for p in net.populations},
            sent=np.zeros((batch, net.n_input), np.int64),
            hardware_steps=total,
            latency={p.name: p.latency if lava else 0 for p in net.populations},
            timing=timing,
        )
        if lava:
            for planned in plan:
                _fill_waiting_steps(planned, records)
        return arrays

    def counts(self, plan: tuple[PlannedPopulation, ...]) -> dict[str, NDArray[np.int64]]:
        """Return the counters of every population and synapse, int64 [B]."""
        counts: dict[str, NDArray[np.int64]] = {}
        for p in plan:
            counts[f"{p.name}/spikes"] = self.fired[p.name].sum(axis=1)
            counts[f"{p.name}/wraps"] = self.overflows[p.name][:, 0]
            counts[f"{p.name}/clamps"] = self.overflows[p.name][:, 1]
        for p in plan:
            # In Lava the always-on line sends from hardware step latency(target) on.
            latency = self.latency[p.name]
            on = self.hardware_steps - latency + (1 if self.timing == "lava" else 0)
            for synapse in p.synapses:
                if synapse.source == ALWAYS_ON:
                    events = np.full((self.sent.shape[0], 1), on, np.int64)
                else:
                    events = self.sent if synapse.source == INPUT else self.fired[synapse.source]
                counts[f"{synapse.name}/operations"] = events @ synapse.fan_out
        return counts


def _fill_waiting_steps(p: PlannedPopulation, records: dict[str, NDArray[Any]]) -> None:
    """Record the steps before a layer's first: its bias acts alone, the same for all samples."""
    latency = p.population.latency
    v = np.array(start_v(p.population), np.int32)[None, :]
    u = p.population.u_init[None, :].copy()
    shape = (latency, 1, p.size)
    trace_u, trace_v, trace_v_pre = (np.zeros(shape, np.int32) for _ in range(3))
    if p.population.kind == "dlif":
        trace_v[:] = trace_v_pre[:] = v
    elif latency:
        neuron_kernels.step_lif(
            np.zeros((1, 1, p.size), np.int32),
            (u, v),
            (p.keep_u, p.keep_v, p.bias, p.threshold),
            np.zeros((1, latency, p.size), np.uint8),
            (np.zeros((1, 2), np.int64), np.zeros((1, p.size), np.int64)),
            (trace_u, trace_v, trace_v_pre),
        )
    for quantity, trace in (("u", trace_u), ("v", trace_v), ("v_pre", trace_v_pre)):
        if f"{p.name}/{quantity}" in records:
            records[f"{p.name}/{quantity}"][:latency] = trace
