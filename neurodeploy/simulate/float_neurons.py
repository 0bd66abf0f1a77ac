"""Neurons of a float run: what a population does to its synaptic input, in torch operations.

These carry gradients and run on any device; ``float_compiled`` steps membranes on the CPU with the
same arithmetic. Values are [T, B, N]; one row stands for values that are the same at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network.floating import Population
from neurodeploy.simulate.spike_functions import SpikeFunction

Tensor = torch.Tensor
Wanted: TypeAlias = Mapping[str, "NDArray[Any] | None"]


@dataclass(slots=True, eq=False)
class NeuronTrace:
    """What one population did in some steps: float [T or 1, B, N].

    ``sent`` is what it sends. ``events`` [B, N] counts the steps in which a neuron sent something,
    where that is known. States are None where nobody asked, or where they were written already.
    """

    sent: Tensor
    u: Tensor | None = None
    v: Tensor | None = None
    v_pre: Tensor | None = None
    events: Tensor | None = None


@dataclass(slots=True, eq=False)
class NeuronState:
    """What a population keeps from step to step; ``rows`` is what came into a delay so far."""

    v: Any = None
    u: Any = None
    spikes_before: Any = None
    rows: deque[Tensor] = field(default_factory=deque)


class Neurons(ABC):
    """One population's parameters in the run's dtype, on its device."""

    def __init__(self, p: Population, dtype: torch.dtype, device: torch.device) -> None:
        self.population = p
        self._dtype, self._device = dtype, device

    def tensor(self, values: Any) -> Tensor:
        """Return an array in the run's dtype, on its device."""
        return torch.tensor(np.asarray(values), dtype=self._dtype, device=self._device)

    @abstractmethod
    def start(self, batch: int) -> NeuronState:
        """Return the state before the first step."""

    @abstractmethod
    def run(
        self, x: Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run ``steps`` steps from step ``first`` (from 0) on the synaptic input without bias.

        ``state`` is changed; ``wanted`` names the states to return: ``u``, ``v``, ``v_pre``; where
        it gives an array [T, B, N], a neuron may write there instead.
        """


class Relay(Neurons):
    """Sends its input; as a threshold, 1 where that exceeds the threshold."""

    def __init__(
        self, p: Population, dtype: torch.dtype, device: torch.device, spike: SpikeFunction
    ) -> None:
        super().__init__(p, dtype, device)
        self._bias = self.tensor(p.bias)
        self._threshold = self.tensor(p.v_threshold) if p.kind == "threshold" else None
        self._spike = spike

    def start(self, batch: int) -> NeuronState:
        """There is none."""
        return NeuronState()

    def run(
        self, x: Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run; a constant input gives a constant output."""
        sent = x + self._bias
        return NeuronTrace(sent if self._threshold is None else self._spike(sent, self._threshold))


class DelayLine(Neurons):
    """Sends what came some steps before, zero at first; each neuron has its own delay."""

    def __init__(self, p: Population, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(p, dtype, device)
        self._bias = self.tensor(p.bias)
        steps = np.zeros(p.size, np.int32) if p.delay_steps is None else p.delay_steps
        if steps.min(initial=0) < 0:
            raise InputError(f"population {p.name}: delay of {steps.min()} steps; needs 0 or more")
        self._longest = int(steps.max(initial=0))
        self.is_past = bool((steps >= 1).all())
        # Neurons of one delay together, and how to put them back in order.
        order = np.argsort(steps, kind="stable")
        lengths, starts = np.unique(steps[order], return_index=True)
        self._groups = [
            (int(d), torch.tensor(columns, device=device))
            for d, columns in zip(lengths, np.split(order, starts[1:]), strict=True)
        ]
        self._back = torch.tensor(np.argsort(order), device=device)

    def start(self, batch: int) -> NeuronState:
        """Return an empty line; ``v`` is what it sends before anything has come through.

        Zeros are not stored: a delay may be far longer than the run.
        """
        zeros = torch.zeros(1, batch, self.population.size, dtype=self._dtype, device=self._device)
        return NeuronState(v=zeros, rows=deque(maxlen=self._longest))

    def run(
        self, x: Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run."""
        arrived = (x + self._bias).expand(steps, *x.shape[1:])
        line = torch.cat([*state.rows, arrived]) if state.rows else arrived
        known = len(state.rows)
        sent = self._pick([shifted(line, known - d, steps, state.v) for d, _ in self._groups])
        if self._longest:
            state.rows.extend(torch.split(arrived, 1))
        return NeuronTrace(sent)

    def past(self, state: NeuronState) -> Tensor:
        """Return what it sends in this step before its input is known (all delays >= 1)."""
        return self._pick([self._before(state, d) for d, _ in self._groups])

    def push(self, x: Tensor, state: NeuronState) -> Tensor:
        """Do one step; return what it sends. ``x`` [1, B, N]."""
        arrived = x + self._bias
        sent = self._pick([self._before(state, d) if d else arrived for d, _ in self._groups])
        state.rows.append(arrived)
        return sent

    @staticmethod
    def _before(state: NeuronState, steps: int) -> Tensor:
        """Return what came ``steps`` >= 1 steps before, zero before the first."""
        row: Tensor = state.rows[-steps] if steps <= len(state.rows) else state.v
        return row

    def _pick(self, shifted: list[Tensor]) -> Tensor:
        if len(shifted) == 1:
            return shifted[0]
        columns = zip(shifted, self._groups, strict=True)
        return torch.cat([y[..., c] for y, (_, c) in columns], dim=-1)[..., self._back]


def shifted(line: Tensor, start: int, steps: int, zeros: Tensor) -> Tensor:
    """Return ``steps`` rows of ``line`` from row ``start`` on, ``zeros`` [1, B, N] before row 0."""
    missing = min(steps, max(0, -start))
    rows = line[max(0, start) : max(0, start + steps)]
    return torch.cat([zeros.expand(missing, -1, -1), rows]) if missing else rows


class Membrane(Neurons):
    """``lif`` and ``li``: the rule of Population, one step at a time; resets are detached."""

    def __init__(
        self, p: Population, dtype: torch.dtype, device: torch.device, spike: SpikeFunction
    ) -> None:
        super().__init__(p, dtype, device)
        self._bias = self.tensor(p.bias)
        self._spike = spike
        self._decay_v, self._v_leak = self.tensor(p.decay_v), self.tensor(p.v_leak)
        self._threshold, self._v_reset = self.tensor(p.v_threshold), self.tensor(p.v_reset)
        self._v_init = self.tensor(p.v_init)
        self._decay_u = None if p.decay_u is None else self.tensor(p.decay_u)
        self._input_gain = self.tensor(p.input_gain)
        self._gains = self.tensor(gains(p))

    def start(self, batch: int) -> NeuronState:
        """Return v at ``v_init``, no current, no spike."""
        v = self._v_init.expand(batch, -1)
        return NeuronState(v, torch.zeros_like(v), torch.zeros_like(v))

    def run(
        self, x: Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run."""
        rows: dict[str, list[Tensor]] = {"sent": [], "u": [], "v": [], "v_pre": []}
        x = x + self._bias
        for t in range(steps):
            y = self._drive(x[t if x.shape[0] > 1 else 0], state, first + t)
            sent, v_pre = self._fire(y, state)
            found = {"sent": sent, "u": state.u, "v": state.v, "v_pre": v_pre}
            for name, value in found.items():
                if name == "sent" or name in wanted:
                    rows[name].append(value)
        stacked = {name: torch.stack(values) for name, values in rows.items() if values}
        return NeuronTrace(**stacked)

    def _drive(self, x: Tensor, state: NeuronState, t: int) -> Tensor:
        """Advance u; return v after decay and input."""
        gain = self._gains[min(t, self._gains.shape[0] - 1)]
        y = state.v + self._decay_v * (self._v_leak - state.v)
        if self._decay_u is None:
            return torch.as_tensor(y + gain * x)
        state.u = state.u + self._decay_u * (gain * x - state.u)
        return torch.as_tensor(y + self._input_gain * state.u)

    def _fire(self, y: Tensor, state: NeuronState) -> tuple[Tensor, Tensor]:
        """Spike and reset; return what is sent and the membrane that decided it."""
        p = self.population
        if p.kind == "li":
            state.v = self._limited(y)
            return state.v, y
        if p.reset == "subtract-late":
            y = self._lowered(y, state.spikes_before)
        compared = y
        if p.reset == "subtract-once":
            above = (state.v > self._threshold).to(y.dtype)
            compared = self._lowered(y, above)
        sent = self._spike(compared, self._threshold)
        n = sent.detach()
        if p.reset == "value":
            v = torch.where(n > 0, self._v_reset, y)
        elif p.reset == "subtract-late":
            v, state.spikes_before = y, n
        else:
            v = self._lowered(y, n)
        state.v = self._limited(v)
        return sent, compared

    def _lowered(self, y: Tensor, n: Tensor) -> Tensor:
        """Return ``y - n * threshold``; a threshold may be infinite where n is zero."""
        return torch.where(n > 0, y - n * self._threshold, y)

    def _limited(self, v: Tensor) -> Tensor:
        """Return v, not below ``v_min``."""
        v_min = self.population.v_min
        return v if v_min is None else torch.where(v < v_min, v.new_tensor(v_min), v)


def gains(p: Population) -> np.ndarray:
    """Return the factor on x at each step [G, N]; with a current, the one into the current."""
    factor = p.input_gain if p.w_in is None else p.w_in
    gain = np.ones(1) if p.gain is None else p.gain
    return np.asarray(factor * gain[:, None])


def check_spike_rule(p: Population) -> None:
    """Raise InputError where a population's rules do not define what it does."""
    if p.kind != "lif" or p.spikes != "multiple":
        return
    if (p.v_threshold == 0).any():
        raise InputError(
            f"population {p.name}: several spikes per step need thresholds other than zero "
            f"(neuron {int((p.v_threshold == 0).argmax())} has zero)"
        )
    if p.reset == "subtract-once":
        raise InputError(
            f"population {p.name}: reset 'subtract-once' is defined for single spikes only; use "
            "reset 'subtract' or single spikes"
        )
