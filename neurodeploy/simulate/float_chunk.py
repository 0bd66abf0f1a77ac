"""Some samples through a whole float network, block of steps by block of steps.

What a source sends in a block is [steps, B, n], or [1, B, n] where all its steps are alike: held
inputs, and what relays make of them, go through their operators once. States, delay lines and the
values of as many past steps as late connections need carry over from block to block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.floating import Population
from neurodeploy.simulate.float_network import Connection, OnEntering, ReadyNetwork
from neurodeploy.simulate.float_neurons import DelayLine, NeuronTrace, Wanted, shifted
from neurodeploy.simulate.float_plan import Component

Tensor = torch.Tensor


class Observer(Protocol):
    """Who watches a run: takes traces, and counts what enters operators."""

    #: Whether sources must be kept until ``end_of_block``.
    keeps_sources: bool

    def wanted(self, p: Population, first: int, steps: int) -> Wanted:
        """Return which states of ``p`` it needs in some steps, and where to write them."""

    def observe(self, p: Population, first: int, steps: int, trace: NeuronTrace) -> None:
        """Take what ``p`` did in ``steps`` steps from ``first``."""

    def entering(self, c: Connection, steps: int, events: Tensor | None) -> OnEntering | None:
        """Return who counts what enters the operators of ``c`` in ``steps`` steps, or None.

        ``events`` [B, n] are the steps in which each value was not zero, where that is known.
        """

    def end_of_block(self, first: int, steps: int, sources: Mapping[str, Tensor]) -> None:
        """Take what all sources sent in a block."""


@dataclass(slots=True, eq=False)
class _Block:
    """Steps ``first`` .. ``end - 1``: what each source sent, and how often it was not zero."""

    first: int
    end: int
    sent: dict[str, Tensor]
    events: dict[str, Tensor]


class FloatChunk:
    """The state of a chunk of samples. ``limits`` are the steps each source or target does."""

    def __init__(
        self, ready: ReadyNetwork, batch: int, limits: Mapping[str, int], observer: Observer
    ) -> None:
        self._ready, self._limits, self._observer = ready, limits, observer
        self._batch = batch
        self._states = {name: n.start(batch) for name, n in ready.neurons.items()}
        sizes = {INPUT: ready.net.n_input, ALWAYS_ON: 1}
        sizes.update({p.name: p.size for p in ready.net.populations})
        # What was sent before the run is zero and is not stored: a delay may outlast the run.
        self._longest = ready.longest_delays
        self._before = {name: self._zeros(sizes[name])[:0] for name in self._longest}

    def run_block(self, first: int, end: int, inputs: Tensor) -> None:
        """Run steps ``first`` .. ``end - 1`` on ``inputs`` [end - first or 1, B, n_input]."""
        ones = inputs.new_ones(1, self._batch, 1)
        block = _Block(first, end, {INPUT: inputs, ALWAYS_ON: ones}, {})
        expiring: dict[int, list[str]] = {}
        for name, index in self._ready.last_use.items():
            expiring.setdefault(index, []).append(name)
        for index, component in enumerate(self._ready.order):
            if component.cyclic:
                self._run_cycle(component, block)
            else:
                self._run_at_once(component.populations[0], block)
            if not self._observer.keeps_sources:
                for name in expiring.get(index, ()):
                    if name not in self._before:
                        block.sent.pop(name, None)
        self._observer.end_of_block(first, end - first, block.sent)
        for name, known in self._before.items():
            self._before[name] = self._kept(known, block.sent[name], end - first, name)

    def _kept(self, known: Tensor, sent: Tensor, steps: int, name: str) -> Tensor:
        """Return the last values a source sent, as many as its longest delay needs."""
        longest = self._longest[name]
        rows = sent.expand(steps, *sent.shape[1:])[-min(longest, steps) :]
        older = known[max(0, len(known) + len(rows) - longest) :]
        return torch.cat([older, rows])

    def _zeros(self, size: int) -> Tensor:
        ready = self._ready
        return torch.zeros(1, self._batch, size, dtype=ready.dtype, device=ready.device)

    def _steps(self, name: str, block: _Block) -> int:
        """Return how many steps a population or source does in a block."""
        return max(0, min(block.end, self._limits[name]) - block.first)

    def _run_at_once(self, p: Population, block: _Block) -> None:
        """Run a population that is on no cycle over all steps of a block."""
        parts = [self._arriving(c, block) for c in self._ready.into[p.name]]
        steps = self._steps(p.name, block)
        if not steps:
            block.sent[p.name] = self._zeros(p.size)
            return
        x = self._sum([part[:steps] for part in parts], p.size)
        del parts
        trace = self._ready.neurons[p.name].run(
            x,
            self._states[p.name],
            block.first,
            steps,
            self._observer.wanted(p, block.first, steps),
        )
        self._finish(p, block, steps, trace)

    def _sum(self, parts: list[Tensor], size: int) -> Tensor:
        if not parts:
            return self._zeros(size)
        x = parts[0]
        for part in parts[1:]:
            x = x + part
        return x

    def _finish(self, p: Population, block: _Block, steps: int, trace: NeuronTrace) -> None:
        block.sent[p.name] = trace.sent
        if trace.events is not None:
            block.events[p.name] = trace.events
        self._observer.observe(p, block.first, steps, trace)

    def _entering(self, c: Connection, block: _Block) -> Tensor:
        """Return the values that enter a connection, without a silent first step."""
        values = block.sent[c.synapse.source]
        steps = self._source_steps(c, block)
        if c.synapse.late:
            delay, known = c.synapse.delay_steps, self._before[c.synapse.source]
            rest = values.expand(steps, *values.shape[1:])[: max(0, steps - delay)]
            nothing = self._zeros(values.shape[-1])
            values = shifted(torch.cat([known, rest]), len(known) - delay, steps, nothing)
        if self._is_silent(c, block):
            values = values.expand(steps, *values.shape[1:])[1:]
        return values

    def _source_steps(self, c: Connection, block: _Block) -> int:
        """Return for how many steps a connection's source sends in a block."""
        if c.synapse.source == ALWAYS_ON:
            # On hardware the line sends from step latency(target) on.
            limit = self._limits[c.synapse.target]
            on_hardware = self._limits[INPUT] > limit
            return max(0, min(block.end, limit + on_hardware) - block.first)
        return self._steps(c.synapse.source, block)

    def _is_silent(self, c: Connection, block: _Block) -> bool:
        return c.synapse.silent_first and block.first == 0

    def _counter(self, c: Connection, block: _Block) -> OnEntering | None:
        synapse = c.synapse
        changed = synapse.late or self._is_silent(c, block)
        events = None if changed else block.events.get(synapse.source)
        steps = self._source_steps(c, block) - self._is_silent(c, block)
        return self._observer.entering(c, steps, events)

    def _arriving(self, c: Connection, block: _Block) -> Tensor:
        """Return what a connection delivers in a block."""
        values = self._entering(c, block)
        if not self._is_silent(c, block):
            return c.apply(values, self._counter(c, block))
        nothing = self._zeros(self._ready.neurons[c.synapse.target].population.size)
        if not len(values):
            return nothing
        return torch.cat([nothing, c.apply(values, self._counter(c, block))])

    def _run_cycle(self, component: Component, block: _Block) -> None:
        """Run the populations of a cycle together, step by step."""
        members = {p.name for p in component.populations}
        steps = block.end - block.first
        traces: dict[str, list[NeuronTrace]] = {name: [] for name in members}
        arriving = {p.name: self._sums(p, members, block) for p in component.populations}
        lines = {
            name: deque(torch.split(rows, 1) if len(rows) else (), maxlen=self._longest[name])
            for name, rows in self._before.items()
            if name in members
        }
        for t in range(steps):
            now: dict[str, Tensor] = {}
            for p in component.populations:
                line = self._ready.neurons[p.name]
                if isinstance(line, DelayLine) and line.is_past:
                    now[p.name] = line.past(self._states[p.name])
            for p in component.populations:
                x: Tensor | None = None
                for part in arriving[p.name]:
                    if isinstance(part, Connection):
                        if t == 0 and self._is_silent(part, block):
                            continue
                        row = part.apply(self._sent_to(part, lines, now))
                    else:
                        row = part[t : t + 1] if len(part) > 1 else part
                    x = row if x is None else x + row
                trace = self._step(p, self._zeros(p.size) if x is None else x, block.first + t)
                now[p.name] = trace.sent
                traces[p.name].append(trace)
            for name, line_before in lines.items():
                line_before.append(now[name])
        for p in component.populations:
            self._finish(p, block, steps, _joined(traces[p.name]))
        for p in component.populations:
            for c in self._ready.into[p.name]:
                if c.synapse.source in members:
                    self._count_again(c, block)

    def _sent_to(
        self, c: Connection, lines: Mapping[str, deque[Tensor]], now: Mapping[str, Tensor]
    ) -> Tensor:
        """Return what enters a connection inside a cycle in one step, [1, B, n]."""
        source, delay = c.synapse.source, c.synapse.delay_steps
        if not delay:
            return now[source]
        known = lines[source]
        if delay <= len(known):
            return known[-delay]
        return self._zeros(self._ready.neurons[source].population.size)

    def _sums(self, p: Population, members: set[str], block: _Block) -> list[Tensor | Connection]:
        """Return what is summed into ``p``, in order: rows from outside, connections from inside.

        What comes first from outside is one tensor.
        """
        found: list[Tensor | Connection] = []
        for c in self._ready.into[p.name]:
            if c.synapse.source in members:
                found.append(c)
                continue
            part = self._arriving(c, block)
            if len(found) == 1 and isinstance(found[0], torch.Tensor):
                found[0] = found[0] + part
            else:
                found.append(part)
        return found

    def _step(self, p: Population, x: Tensor, t: int) -> NeuronTrace:
        neurons, state = self._ready.neurons[p.name], self._states[p.name]
        if isinstance(neurons, DelayLine):
            return NeuronTrace(neurons.push(x, state))
        return neurons.run(x, state, t, 1, self._observer.wanted(p, t, 1))

    def _count_again(self, c: Connection, block: _Block) -> None:
        """Count what entered a connection inside a cycle; its values are evaluated once more."""
        counter = self._counter(c, block)
        if counter is None or not c.maps:
            return
        values = self._entering(c, block)
        if not len(values):
            return
        y = values.reshape(-1, values.shape[-1])
        for index, linear in enumerate(c.maps):
            counter(index, y)
            if index + 1 < len(c.maps):
                y = linear(y)


def _joined(traces: list[NeuronTrace]) -> NeuronTrace:
    """Return the traces of single steps as one."""

    def rows(name: str) -> Tensor | None:
        found = [getattr(trace, name) for trace in traces]
        return None if found[0] is None else torch.cat(found)

    events = [trace.events for trace in traces if trace.events is not None]
    return NeuronTrace(
        torch.cat([trace.sent for trace in traces]),
        rows("u"),
        rows("v"),
        rows("v_pre"),
        torch.stack(events).sum(dim=0) if events else None,
    )
