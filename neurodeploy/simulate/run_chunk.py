"""One chunk of samples through all populations, block of steps by block of steps.

Lava's timing needs no second engine. A layer does its logical step t in hardware step
t + latency; what it receives was sent as many logical steps before as its synapse's logical delay
says, in both timings. Before its first step only its bias acts (``start_v`` makes those steps end
at ``v_init``), and after the last code the input is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.simulate import int64_kernels, population_kernels
from neurodeploy.simulate.fixed_codes import Codes
from neurodeploy.simulate.run_input import PopulationInput
from neurodeploy.simulate.run_plan import Group, PlannedPopulation, RunPlan
from neurodeploy.simulate.run_records import NO_TRACE, RunRecords
from neurodeploy.simulate.run_sources import Sources

Int32 = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class _Population:
    """One population for the samples of a chunk: its input, state and counters."""

    input: PopulationInput
    u: Int32
    v: Int32
    wait: Int32
    overflows: NDArray[np.int64]
    fired: NDArray[np.int64]

    @property
    def counters(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.overflows, self.fired


class ChunkRun:
    """Samples ``first`` .. ``last - 1`` of a run. Scratch arrays live as long as the chunk."""

    def __init__(
        self,
        plan: RunPlan,
        codes: Codes,
        records: RunRecords,
        first: int,
        last: int,
        *,
        block_steps: int,
        max_code: int,
        saturate: bool,
    ) -> None:
        self._plan, self._records, self._saturate = plan, records, saturate
        self._samples, self._size = slice(first, last), last - first
        self._block_steps = block_steps
        self._sources = Sources(plan, codes, first, last, block_steps)
        self._state = {
            p.name: _Population(
                PopulationInput(p, self._sources, max_code, saturate),
                np.tile(p.u_init, (self._size, 1)),
                np.tile(p.v_init, (self._size, 1)),
                np.zeros((self._size, p.size), np.int32),
                np.zeros((self._size, 2), np.int64),
                np.zeros((self._size, p.size), np.int64),
            )
            for p in plan.populations
        }
        widest = max(p.room for p in plan.populations)
        self._scratch = np.empty(self._size * block_steps * widest, np.int32)

    def run(self) -> None:
        """Run all steps of the chunk, and note its counts."""
        total, t = self._records.hardware_steps, 0
        cuts = [*self._cuts(), total]
        while t < total:
            end = min(t + self._block_steps, min(cut for cut in cuts if cut > t))
            self._sources.begin(t, end)
            for group in self._plan.groups:
                self._run_group(group, t, end)
            t = end
        sent = {INPUT: self._sources.sent, **{n: s.fired for n, s in self._state.items()}}
        for p in self._plan.populations:
            self._records.add_counts(p, self._samples, self._state[p.name].overflows, sent)

    def _cuts(self) -> set[int]:
        """Return the steps at which what does not change from step to step does change."""
        if not self._sources.held:
            return set()
        delays = {
            slot.delay
            for p in self._plan.populations
            for synapse in p.synapses
            if synapse.source == INPUT
            for slot in synapse.slots
        }
        return delays | {d + self._sources.steps for d in delays}

    def _run_group(self, group: Group, t: int, end: int) -> None:
        """Run a group's logical steps ``t`` .. ``end - 1``, as many at a time as may be."""
        if len(group.members) == 1 and self._loops_alone(group.members[0], t):
            self._step(group.members[0], t, end, fused=True)
            return
        span = group.span or end - t
        for begin in range(t, end, span):
            for p in group.members:
                self._step(p, begin, min(begin + span, end), fused=False)

    def _loops_alone(self, p: PlannedPopulation, t: int) -> bool:
        """Whether one kernel steps ``p`` and returns its own spikes to it."""
        if p.population.kind == "dlif" or p.population.is_extended:
            return False
        source = self._state[p.name].input
        return source.loop is not None and source.narrow(t)

    def _step(self, p: PlannedPopulation, t: int, end: int, *, fused: bool) -> None:
        """Step the neurons of one population."""
        # Late layers have not done all their logical steps when the run ends.
        end = min(end, self._records.steps_of(p.name))
        if end <= t:
            return
        traces = tuple(self._trace(p, q, t, end) for q in ("u", "v", "v_pre"))
        if self._state[p.name].input.narrow(t):
            self._step_narrow(p, t, end, traces, fused)
        else:
            self._step_exactly(p, t, end, traces)
        if p.order is not None:
            for quantity, trace in zip(("u", "v", "v_pre"), traces, strict=True):
                if trace.size:
                    view = self._records.view(p.name, quantity, t, end, self._samples)
                    view[:, :, p.order] = trace
        spikes = self._records.view(p.name, "spikes", t, end, self._samples)
        if spikes.size:
            row = self._sources.row(p.name, t)
            masks = self._sources.masks(p.name)[:, row : row + end - t, : p.size]
            spikes[:, :, slice(None) if p.order is None else p.order] = masks.transpose(1, 0, 2)

    def _step_narrow(
        self, p: PlannedPopulation, t: int, end: int, traces: tuple[Int32, ...], fused: bool
    ) -> None:
        state = self._state[p.name]
        a = state.input.over(t, end, self._scratch, without_loop=fused).a
        out = (self._sources.masks(p.name), self._sources.row(p.name, t), state.counters)
        if p.population.kind == "dlif":
            population_kernels.step_dlif(
                a, state.v, (p.keep_v, p.bias, p.threshold), p.gain(t, end),
                np.int32(p.population.gain_shift), *out, traces[1:],
            )  # fmt: skip
            return
        rest = ((p.keep_u, p.keep_v, p.bias, p.threshold), p.resets(t, end), *out, traces)
        loop = state.input.loop
        if fused and loop is not None:
            synapse, slot = loop
            s = slot.segments
            population_kernels.step_recurrent_lif(
                s.arrays, s.pool, s.zero, slot.delay, synapse.right_shift, a,
                (state.u, state.v), *rest,
            )  # fmt: skip
        elif p.population.is_extended:
            population_kernels.step_extended(
                a, (state.u, state.v, state.wait), rest[0], p.extension, *rest[1:]
            )
        else:
            population_kernels.step_lif(a, (state.u, state.v), *rest)

    def _step_exactly(
        self, p: PlannedPopulation, t: int, end: int, traces: tuple[Int32, ...]
    ) -> None:
        state = self._state[p.name]
        sums = state.input.exactly_over(t, end).sums
        out = (self._sources.masks(p.name), self._sources.row(p.name, t), state.counters)
        if p.population.kind == "dlif":
            int64_kernels.step_dlif_exact(
                sums, state.v, (p.keep_v, p.bias, p.threshold), p.gain(t, end),
                p.population.gain_shift, *out, traces[1:],
            )  # fmt: skip
            return
        int64_kernels.step_exact(
            sums, self._saturate, (state.u, state.v, state.wait),
            (p.keep_u, p.keep_v, p.bias, p.threshold), p.extension, p.resets(t, end),
            *out, traces,
        )  # fmt: skip

    def _trace(self, p: PlannedPopulation, quantity: str, t: int, end: int) -> NDArray[Any]:
        """Return where the kernels write a record: the record itself where its order is theirs."""
        view = self._records.view(p.name, quantity, t, end, self._samples)
        if p.order is None or not view.size:
            return view if view.size else NO_TRACE
        return np.empty(view.shape, np.int32)
