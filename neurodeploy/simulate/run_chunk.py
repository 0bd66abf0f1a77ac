"""One chunk of samples through all populations, block of steps by block of steps.

Lava's timing needs no second engine. A layer does its logical step t in hardware step
t + latency; what it receives was sent as many logical steps before as its synapse's logical delay
says, in both timings. Before its first step only its bias acts (``start_v`` makes those steps end
at ``v_init``), and after the last code the input is silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.simulate import dense_kernels, event_kernels, int64_kernels, population_kernels
from neurodeploy.simulate.aligned import aligned, aligned_zeros
from neurodeploy.simulate.fixed_codes import Codes
from neurodeploy.simulate.run_input import NarrowInput, PopulationInput
from neurodeploy.simulate.run_plan import Group, PlannedPopulation, RunPlan
from neurodeploy.simulate.run_records import NO_TRACE, RunRecords
from neurodeploy.simulate.run_sources import Sources

Int32 = NDArray[np.int32]
_TRACED = ("u", "v", "v_pre")


@dataclass(slots=True, eq=False)
class _Population:
    """One population for the samples of a chunk: its input, state and counters.

    ``beyond``: some u lies outside 24 bits, where only the int64 kernels are exact. An input that
    needs them can drive it there.
    """

    input: PopulationInput
    u: Int32
    v: Int32
    wait: Int32
    overflows: NDArray[np.int64]
    fired: NDArray[np.int64]
    beyond: bool = False

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
        fold: bool = True,
    ) -> None:
        self._plan, self._records, self._saturate = plan, records, saturate
        self._samples, self._size = slice(first, last), last - first
        self._block_steps = block_steps
        self._sources = Sources(plan, codes, first, last, block_steps)
        self._state = {
            p.name: _Population(
                PopulationInput(p, self._sources, max_code, saturate=saturate, fold=fold),
                aligned(np.tile(p.u_init, (self._size, 1))),
                aligned(np.tile(p.v_init, (self._size, 1))),
                np.zeros((self._size, p.bias.size), np.int32),
                np.zeros((self._size, 2), np.int64),
                np.zeros((self._size, p.bias.size), np.int64),
            )
            for p in plan.populations
        }
        widest = max(p.room for p in plan.populations)
        self._scratch = aligned_zeros((self._size * block_steps * widest,), np.int32)

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
        sent = {INPUT: self._sources.sent, **self._fired()}
        for p in self._plan.populations:
            self._records.add_counts(p, self._samples, self._state[p.name].overflows, sent)

    def _fired(self) -> dict[str, NDArray[np.int64]]:
        """Return the spikes of each neuron, without those that are padding."""
        return {p.name: self._state[p.name].fired[:, : p.size] for p in self._plan.populations}

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
        if len(group.members) == 1 and group.span and self._step_loop(group.members[0], t, end):
            return
        span = group.span or end - t
        for begin in range(t, end, span):
            for p in group.members:
                self._step(p, begin, min(begin + span, end))

    def _step(self, p: PlannedPopulation, t: int, end: int) -> None:
        """Step the neurons of one population."""
        # Late layers have not done all their logical steps when the run ends.
        end = min(end, self._records.steps_of(p.name))
        if end <= t:
            return
        beyond = self._state[p.name].beyond
        if not beyond and self._step_dense(p, t, end, loop=False):
            return
        traces = self._traces(p, t, end)
        source = self._state[p.name].input.over(t, end, self._scratch, exactly=beyond)
        if isinstance(source, NarrowInput):
            self._step_narrow(p, source, t, end, traces)
        else:
            self._step_exactly(p, source.sums, t, end, traces)
        self._keep(p, t, end, traces)

    def _step_loop(self, p: PlannedPopulation, t: int, end: int) -> bool:
        """Step a population that hears itself, in one kernel; return False where none can."""
        end = min(end, self._records.steps_of(p.name))
        if end <= t or not p.is_plain_lif or self._state[p.name].beyond:
            return end <= t
        if self._step_dense(p, t, end, loop=True):
            return True
        state = self._state[p.name]
        source, loop = state.input.over_without_loop(t, end, self._scratch), state.input.loop
        if source is None or loop is None:
            return False
        synapse, slot = loop
        s = slot.segments
        traces = self._traces(p, t, end)
        population_kernels.step_recurrent_lif(
            s.arrays, s.pool, s.zero, s.period, slot.delay, synapse.right_shift, source.a,
            (state.u, state.v), (p.keep_u, p.keep_v, p.bias, p.threshold), p.resets(t, end),
            self._sources.masks(p.name), self._sources.row(p.name, t), state.counters, traces,
        )  # fmt: skip
        self._keep(p, t, end, traces)
        return True

    def _step_dense(self, p: PlannedPopulation, t: int, end: int, *, loop: bool) -> bool:
        """Step a population behind a dense synapse, sums included; False where none can."""
        state = self._state[p.name]
        source = state.input.dense(t, end, self._scratch, loop=loop)
        if source is None:
            return False
        traces = self._traces(p, t, end)
        dense_kernels.step_dense_lif(
            source.start, source.incoming, source.own, (state.u, state.v),
            (p.keep_u, p.keep_v, p.bias, p.threshold), source.quiet, p.resets(t, end),
            self._sources.masks(p.name), self._sources.row(p.name, t), state.counters, traces,
        )  # fmt: skip
        self._keep(p, t, end, traces)
        return True

    def _step_narrow(
        self, p: PlannedPopulation, source: NarrowInput, t: int, end: int,
        traces: tuple[Int32, ...],
    ) -> None:  # fmt: skip
        a, quiet = source
        state = self._state[p.name]
        out = (self._sources.masks(p.name), self._sources.row(p.name, t), state.counters)
        if p.population.kind == "dlif":
            population_kernels.step_dlif(
                a, state.v, (p.keep_v, p.bias, p.threshold), p.gain(t, end),
                np.int32(p.population.gain_shift), *out, traces[1:],
            )  # fmt: skip
            return
        parameters = (p.keep_u, p.keep_v, p.bias, p.threshold)
        rest = (p.resets(t, end), *out, traces)
        if p.population.is_extended:
            population_kernels.step_extended(
                a, (state.u, state.v, state.wait), parameters, p.extension, *rest
            )
        else:
            population_kernels.step_lif(a, (state.u, state.v), parameters, quiet, *rest)

    def _step_exactly(
        self,
        p: PlannedPopulation,
        sums: tuple[NDArray[np.int64], NDArray[np.uint8]],
        t: int,
        end: int,
        traces: tuple[Int32, ...],
    ) -> None:
        state = self._state[p.name]
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
        state.beyond = bool(state.u.max() > 2**23 or state.u.min() <= -(2**23))

    def _traces(self, p: PlannedPopulation, t: int, end: int) -> tuple[Int32, ...]:
        """Return where the kernels write u, v and v_pre: the records where their order is the same.

        Empty arrays stand for what nobody wants.
        """
        traces = []
        for quantity in _TRACED:
            view = self._records.view(p.name, quantity, t, end, self._samples)
            if p.order is not None and view.size:
                view = np.empty(view.shape, np.int32)
            traces.append(view if view.size else NO_TRACE)
        return tuple(traces)

    def _keep(self, p: PlannedPopulation, t: int, end: int, traces: tuple[Int32, ...]) -> None:
        """Write what a block has left in the engine's order to the records."""
        if p.order is not None:
            for quantity, trace in zip(_TRACED, traces, strict=True):
                if trace.size:
                    view = self._records.view(p.name, quantity, t, end, self._samples)
                    view[:, :, p.order] = trace
        spikes = self._records.view(p.name, "spikes", t, end, self._samples)
        if spikes.size:
            row, masks = self._sources.row(p.name, t), self._sources.masks(p.name)
            if p.order is None:
                event_kernels.copy_spikes(masks, row, spikes)
                return
            here = masks[:, row : row + end - t, : p.size]
            spikes[:, :, p.order] = here.transpose(1, 0, 2)
