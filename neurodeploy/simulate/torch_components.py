"""One component of a network in plain torch, step by step, on any device. Arrays are [T, B, N].

States are whole numbers in float64, which holds every product of the rules exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from neurodeploy.network.connections import INPUT
from neurodeploy.network.registers import ALIGN_BITS, DECAY_BITS, V_MAX
from neurodeploy.simulate.fixed_components import Component, NeuronRule, Slot
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import mean_distance, surrogate_slope
from neurodeploy.simulate.torch_synapses import Part, TorchSlot, either, wrap_32

Tensor = torch.Tensor

#: Called with a population, a step (from 0) and the spikes [B, N] that it fired there.
Transmit = Callable[[str, int, Tensor], Tensor]

_ALIGN, _DECAY = float(2**ALIGN_BITS), float(2**DECAY_BITS)


@dataclass(slots=True, eq=False)
class TorchTrace:
    """What one population did, lists of [B, N] over the steps.

    ``clamped`` says where clipping changed v, ``held`` where a refractory neuron kept it (None:
    nowhere), ``wrapped`` counts the neuron-steps of each sample that left their width.
    """

    v_pre: list[Tensor] = field(default_factory=list)
    v: list[Tensor] = field(default_factory=list)
    u: list[Tensor] = field(default_factory=list)
    spikes: list[Tensor] = field(default_factory=list)
    clamped: list[Tensor] = field(default_factory=list)
    held: list[Tensor | None] = field(default_factory=list)
    wraps: list[Tensor] = field(default_factory=list)


class _Neurons:
    """One population's states and rules."""

    def __init__(self, rule: NeuronRule, batch: int, steps: int, device: torch.device) -> None:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        p = rule.population
        self._rule = rule
        self._keep_u, self._keep_v = tensor(rule.keep_u), tensor(rule.keep_v)
        self._bias, self._threshold = tensor(p.bias_shifted), tensor(rule.full_threshold)
        self._gain, self._shift = rule.gain(steps), 2.0**-p.gain_shift
        self._resets = rule.resets(steps)
        self._u = tensor(p.u_init).expand(batch, -1)
        self._v = tensor(p.v_init).expand(batch, -1)
        self._wait = torch.zeros_like(self._v)
        self.trace = TorchTrace()

    def step(self, t: int, a: Tensor, left: Tensor | None) -> Tensor:
        """Do step ``t`` (from 0) on the input ``a`` [B, N]; return the spikes."""
        p, trace = self._rule.population, self.trace
        if self._resets[t]:
            self._u, self._v, self._wait = (
                torch.zeros_like(x) for x in (self._u, self._v, self._wait)
            )
        kept = torch.trunc(self._v * self._keep_v / _DECAY)
        if p.kind == "dlif":
            x = torch.floor((a + self._bias) * (float(self._gain[t]) * self._shift))
            wide = x.abs() >= 2.0**17
            full = kept + x * _ALIGN
        else:
            pushed = wrap_32(a * _ALIGN)
            inner = torch.trunc(self._u * self._keep_u / _DECAY) + pushed
            wide = (pushed != a * _ALIGN) | (inner > 2.0**23) | (inner <= -(2.0**23))
            u = wrap_32(inner)
            u = torch.where(u > 2.0**23, u - 2.0**24, u)
            self._u = torch.where(u <= -(2.0**23), u + 2.0**24, u)
            full = wrap_32(kept + self._u + self._bias)
            trace.u.append(self._u)
        v_pre = full.clamp(-V_MAX, V_MAX)
        clamped, spikes = v_pre != full, v_pre > self._threshold
        held = self._wait > 0 if p.refractory_steps else None
        if held is not None:
            v_pre = torch.where(held, self._v, v_pre)
            clamped, spikes = clamped & ~held, spikes & ~held
            self._wait = torch.where(held, self._wait - 1.0, p.refractory_steps * spikes.double())
        after = v_pre - self._threshold if self._rule.subtracts else torch.zeros_like(v_pre)
        self._v = torch.where(spikes, after, v_pre)
        either_wide = wide if left is None else wide | left
        for found, value in (
            (trace.v_pre, v_pre), (trace.v, self._v), (trace.clamped, clamped),
            (trace.wraps, either_wide.sum(dim=1)),
        ):  # fmt: skip
            found.append(value)
        trace.held.append(held)
        trace.spikes.append(spikes.to(torch.float64))
        return trace.spikes[-1]


class TorchComponent:
    """A component ready to run on a device; ``largest`` payload of the input."""

    def __init__(self, component: Component, largest: int, device: torch.device) -> None:
        self.rules, self.names, self._device = component.rules, component.names, device

        def ready(slots: tuple[Slot, ...], name: str) -> list[TorchSlot]:
            return [
                TorchSlot(s, largest if s.source == INPUT else 1, device)
                for s in slots
                if s.target == name
            ]

        self.inputs = {name: ready(component.inputs, name) for name in self.names}
        self.loops = {name: ready(component.loops, name) for name in self.names}

    def forward(
        self,
        sent: Mapping[str, Tensor],
        batch: int,
        steps: int,
        transmit: Transmit | None = None,
    ) -> dict[str, TorchTrace]:
        """Run all steps; ``sent`` holds [T or 1, B, n], one row where it never changes.

        ``transmit`` returns what leaves a population of the spikes that it fired: its own reset is
        that of a neuron that fired, all else (loops, traces) has what left.
        """
        neurons = {r.name: _Neurons(r, batch, steps, self._device) for r in self.rules}
        parts = {
            name: [(slot, slot.part(sent[slot.slot.source])) for slot in slots]
            for name, slots in self.inputs.items()
        }
        for t in range(steps):
            for rule in self.rules:
                arriving = [
                    (slot, part)
                    for slot, known in parts[rule.name]
                    if (part := _at(known, t - slot.slot.delay)) is not None
                ]
                for slot in self.loops[rule.name]:
                    past = neurons[slot.slot.source].trace.spikes
                    if t - slot.slot.delay >= 0:
                        arriving.append((slot, slot.part(past[t - slot.slot.delay])))
                nothing = torch.zeros(batch, rule.size, dtype=torch.float64, device=self._device)
                fired = neurons[rule.name].step(t, *_sum(arriving, nothing))
                if transmit is not None:
                    neurons[rule.name].trace.spikes[t] = transmit(rule.name, t, fired)
        return {name: n.trace for name, n in neurons.items()}

    def backward(
        self,
        traces: Mapping[str, TorchTrace],
        by_spikes: Mapping[str, Tensor],
        by_v: Mapping[str, Tensor],
        surrogate: Surrogate,
        dtype: torch.dtype,
    ) -> dict[str, Tensor]:
        """Return the gradient by each population's synaptic input, [T, B, N]."""
        back = {
            rule.name: _NeuronsBack(
                rule, traces[rule.name], by_spikes.get(rule.name), by_v.get(rule.name), surrogate,
                dtype,
            )
            for rule in self.rules
        }  # fmt: skip
        steps = len(next(iter(traces.values())).v)
        leaving = {
            rule.name: [s for slots in self.loops.values() for s in slots
                        if s.slot.source == rule.name]
            for rule in self.rules
        }  # fmt: skip
        for t in range(steps - 1, -1, -1):
            for rule in reversed(self.rules):
                into: Tensor | None = None
                for slot in leaving[rule.name]:
                    felt = t + slot.slot.delay
                    if felt < steps:
                        part = slot.back(back[slot.slot.target].by_a[felt])
                        into = part if into is None else into + part
                back[rule.name].step(t, into)
        return {name: torch.stack([b.by_a[t] for t in range(steps)]) for name, b in back.items()}


class _NeuronsBack:
    """One population on its way back through time."""

    def __init__(
        self,
        rule: NeuronRule,
        trace: TorchTrace,
        by_spikes: Tensor | None,
        by_v: Tensor | None,
        surrogate: Surrogate,
        dtype: torch.dtype,
    ) -> None:
        like = trace.v_pre[0]

        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=like.device)

        self._rule, self._trace, self._dtype = rule, trace, dtype
        self._by_spikes, self._by_v, self._surrogate = by_spikes, by_v, surrogate
        self._threshold, self._unit = tensor(rule.full_threshold), tensor(rule.unit)
        self._keep_u = (tensor(rule.keep_u) / _DECAY).to(dtype)
        self._keep_v = (tensor(rule.keep_v) / _DECAY).to(dtype)
        steps = len(trace.v)
        self._factor, self._resets = rule.input_slope(steps), rule.resets(steps)
        self._width: float | Tensor = surrogate.width
        if surrogate.adaptive:
            free = [torch.ones_like(like) if h is None else ~h for h in trace.held]
            self._width = (
                surrogate.width
                * mean_distance(
                    torch.stack(trace.v_pre), self._threshold, self._unit, 0, torch.stack(free)
                )[0]
            )
        self._u = self._v = torch.zeros_like(like, dtype=dtype)
        self.by_a: dict[int, Tensor] = {}

    def step(self, t: int, into: Tensor | None) -> None:
        """Go back through step ``t``; ``into`` is the gradient by its spikes from inside."""
        trace, rule = self._trace, self._rule
        carried = self._v if self._by_v is None else self._v + self._by_v[t]
        total = carried if rule.subtracts else carried * (trace.spikes[t] == 0)
        if rule.can_fire and (into is not None or self._by_spikes is not None):
            slope = surrogate_slope(
                trace.v_pre[t], self._threshold, self._unit, self._width, self._surrogate.shape
            ).to(self._dtype)
            given = torch.zeros_like(slope) if self._by_spikes is None else self._by_spikes[t]
            total = total + slope * (given if into is None else given + into)
        held = trace.held[t]
        total = total * ~trace.clamped[t]
        if held is not None:
            total = total * ~held
        self._v = self._keep_v * total
        if held is not None:
            self._v = torch.where(held, carried, self._v)
        self._u = total + self._keep_u * self._u
        self.by_a[t] = self._u * float(self._factor[t])
        if self._resets[t]:
            self._u, self._v = torch.zeros_like(self._u), torch.zeros_like(self._v)


def _at(part: Part, sent: int) -> Part | None:
    """Return the part that was sent in one step; None before the first."""
    if sent < 0:
        return None
    row = sent if part.values.shape[0] > 1 else 0
    return Part(part.values[row], None if part.left is None else part.left[row])


def _sum(arriving: list[tuple[TorchSlot, Part]], nothing: Tensor) -> tuple[Tensor, Tensor | None]:
    """Add parts one after another in 32 bits; say where any of it left them."""
    a, left = nothing, None
    for _, part in sorted(arriving, key=lambda pair: pair[0].slot.place):
        full = a + part.values
        a = wrap_32(full)
        left = either(either(left, part.left), a != full)
    return a, left
