"""The synaptic input of one population over a block of steps, int32 where that is exact.

What does not change from step to step (held codes, the always-on line) is summed once per chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.simulate import synapse_kernels, wide_kernels
from neurodeploy.simulate.fixed_plan import PlannedPopulation, PlannedSynapse
from neurodeploy.simulate.stimulus import Stimulus

_LIMIT_32 = 2**31 - 1
_NOTHING: NDArray[np.int32] = np.empty((0, 0, 0), np.int32)


class NarrowInput(NamedTuple):
    """int32 [B, T, N], or [B, 1, N] where it is the same at every step."""

    a: NDArray[np.int32]


class WideInput(NamedTuple):
    """int64 [B, T, N], and where a partial sum left 32 bits, uint8."""

    sums: tuple[NDArray[np.int64], NDArray[np.uint8]]


class LayerInput:
    """Input of ``plan``'s population for the samples ``first`` .. ``last - 1``.

    Parameters
    ----------
    plan : PlannedPopulation
    stimulus : Stimulus
    first, last : int
        Samples of the chunk.
    max_code : int
        Largest code that the encoder makes.
    saturate : bool
        Clip at 32 bits instead of wrapping; int64 kernels only.
    """

    def __init__(
        self,
        plan: PlannedPopulation,
        stimulus: Stimulus,
        first: int,
        last: int,
        max_code: int,
        saturate: bool,
    ) -> None:
        self._plan = plan
        self._stimulus = stimulus
        self._first, self._last = first, last
        self._saturate = saturate
        self._steady = tuple(s for s in plan.synapses if self._is_steady(s))
        self._eventful = tuple(s for s in plan.synapses if not self._is_steady(s))
        payload = {s.name: max_code if s.graded and s.source == INPUT else 1 for s in plan.synapses}
        self._event_bound = sum(s.bound * payload[s.name] for s in self._eventful)
        bounds = [max(s.bound, s.raw_bound) * payload[s.name] for s in plan.synapses]
        self._may_be_narrow = not saturate and sum(bounds) <= _LIMIT_32 and plan.limit >= 0
        self._constants: dict[bool, NDArray[np.int32]] = {}
        self._scratch = _NOTHING

    def over(
        self, t: int, end: int, masks: Mapping[str, NDArray[np.uint8]]
    ) -> NarrowInput | WideInput:
        """Return the input of the logical steps ``t`` .. ``end - 1``.

        Parameters
        ----------
        t, end : int
            All below the stimulus's length, or none.
        masks : mapping of source to uint8 [B, at least end - t, n padded]
            Spikes of the block, for every source that is not steady.

        Returns
        -------
        NarrowInput where the int32 kernels are exact, else WideInput.
        """
        on = t < self._stimulus.steps
        if self._may_be_narrow:
            constant = self._constant(on)
            largest = int(np.abs(constant).max(initial=0)) + self._event_bound
            if largest <= self._plan.limit:
                return self._narrow(constant, t, end, masks)
        return self._wide(t, end, masks)

    def _is_steady(self, synapse: PlannedSynapse) -> bool:
        held_input = synapse.source == INPUT and self._stimulus.held
        return held_input or synapse.source == ALWAYS_ON

    def _samples(self) -> int:
        return self._last - self._first

    def _constant(self, on: bool) -> NDArray[np.int32]:
        """Return the steady part of the input, [B, 1, N], with the stimulus on or off."""
        if on not in self._constants:
            a = np.zeros((self._samples(), 1, self._plan.size), np.int32)
            for s in self._steady:
                if on or s.source == ALWAYS_ON:
                    synapse_kernels.add_payloads(
                        self._steady_payload(s)[:, None, :], s.rows, s.right_shift, a
                    )
            self._constants[on] = a
        return self._constants[on]

    def _steady_payload(self, synapse: PlannedSynapse) -> NDArray[np.int32]:
        if synapse.source == ALWAYS_ON:
            return np.ones((self._samples(), 1), np.int32)
        codes = self._stimulus.codes[self._first : self._last]
        return (codes if synapse.graded else codes != 0).astype(np.int32)

    def _payloads(
        self, s: PlannedSynapse, t: int, end: int, masks: Mapping[str, NDArray[np.uint8]]
    ) -> NDArray[np.int32]:
        """Return what ``s`` receives over the block, int32 [B, end - t, n]."""
        if s.source == INPUT and s.graded:
            codes = self._stimulus.codes[t:end, self._first : self._last]
            return np.ascontiguousarray(codes.transpose(1, 0, 2).astype(np.int32))
        spikes = masks[s.source][:, : end - t, : s.fan_out.size]
        return np.ascontiguousarray(spikes.astype(np.int32))

    def _silent(self, s: PlannedSynapse, t: int) -> bool:
        return s.source == INPUT and t >= self._stimulus.steps

    def _narrow(
        self, constant: NDArray[np.int32], t: int, end: int, masks: Mapping[str, NDArray[np.uint8]]
    ) -> NarrowInput:
        active = [s for s in self._eventful if not self._silent(s, t)]
        if not active:
            return NarrowInput(constant)
        shape = (self._samples(), end - t, self._plan.size)
        if self._scratch.shape != shape:
            self._scratch = np.empty(shape, np.int32)
        a, start = self._scratch, constant
        for s in active:
            if s.source == INPUT and s.graded:
                if start.size:
                    a[:] = start
                payloads = self._payloads(s, t, end, masks)
                synapse_kernels.add_payloads(payloads, s.rows, s.right_shift, a)
            else:
                synapse_kernels.add_spikes(masks[s.source], s.rows, s.right_shift, start, a)
            start = _NOTHING
        return NarrowInput(a)

    def _wide(self, t: int, end: int, masks: Mapping[str, NDArray[np.uint8]]) -> WideInput:
        shape = (self._samples(), end - t, self._plan.size)
        a, overflowed = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
        for s in self._plan.synapses:
            if self._silent(s, t):
                continue
            if self._is_steady(s):
                steady = self._steady_payload(s)[:, None, :]
                payloads = np.repeat(steady, end - t, axis=1)
            else:
                payloads = self._payloads(s, t, end, masks)
            wide_kernels.add_wide(payloads, s.wide_rows, s.exponent, self._saturate, a, overflowed)
        return WideInput((a, overflowed))
