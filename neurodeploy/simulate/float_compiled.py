"""Membranes of a float run on the CPU, without gradients: compiled, all steps in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network.floating import Population
from neurodeploy.simulate.float_kernels import RESETS, step_membranes
from neurodeploy.simulate.float_neurons import Neurons, NeuronState, NeuronTrace, Wanted, gains

Tensor = torch.Tensor


class CompiledMembrane(Neurons):
    """``lif`` and ``li``, as ``Membrane``."""

    def __init__(self, p: Population, dtype: torch.dtype) -> None:
        super().__init__(p, dtype, torch.device("cpu"))
        self._type = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        rows = (p.decay_v, p.v_leak, p.input_gain, p.bias, p.v_threshold, p.v_reset)
        decay_u = np.zeros(p.size) if p.decay_u is None else p.decay_u
        self._numbers = np.stack([*rows, decay_u]).astype(self._type)
        self._gains = np.ascontiguousarray(gains(p).astype(self._type))
        self._v_min = np.array([] if p.v_min is None else [p.v_min], self._type)
        self._fires = 0 if p.kind == "li" else 2 if p.spikes == "multiple" else 1
        self._nothing = np.empty((0, 0, 0), self._type)

    def start(self, batch: int) -> NeuronState:
        """Return v at ``v_init``, no current, no spike."""
        v = np.zeros((3, batch, self.population.size), self._type)
        v[0] = self.population.v_init
        return NeuronState(v)

    def run(
        self, x: Tensor, state: NeuronState, first: int, steps: int, wanted: Wanted
    ) -> NeuronTrace:
        """Run."""
        p = self.population
        shape = (steps, state.v.shape[1], p.size)
        sent = np.empty(shape, self._type)
        events = np.zeros(shape[1:], self._type)
        traces: list[NDArray[Any]] = []
        returned: dict[str, Tensor] = {}
        for name in ("u", "v", "v_pre"):
            into = wanted.get(name)
            if into is None and name in wanted:
                into = np.empty(shape, self._type)
                returned[name] = torch.from_numpy(into)
            traces.append(self._nothing if into is None else into)
        has_current = int(p.decay_u is not None)
        step_membranes(
            x.expand(x.shape[0], *shape[1:]).contiguous().numpy(), first, self._numbers,
            self._gains, self._v_min, (has_current, self._fires, RESETS[p.reset], steps),
            state.v, sent, events, tuple(traces),
        )  # fmt: skip
        counted = torch.from_numpy(events) if p.kind == "lif" else None
        return NeuronTrace(torch.from_numpy(sent), events=counted, **returned)
