"""The synaptic input of one population over a block of steps, int32 where that is exact.

What does not change from step to step (held codes, the always-on line) is summed once per chunk.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.simulate import event_kernels, folded_conv, int64_kernels
from neurodeploy.simulate.aligned import aligned_zeros
from neurodeploy.simulate.fixed_components import FLOAT32_EXACT
from neurodeploy.simulate.planned_synapse import PlannedSlot, PlannedSynapse
from neurodeploy.simulate.run_plan import PlannedPopulation
from neurodeploy.simulate.run_sources import Sources

_LIMIT_16, _LIMIT_32 = 2**15 - 1, 2**31 - 1
#: Sums of a convolution that its 24 bits hold.
_LIMIT_24 = 2**23 - 1
#: Sources with one list of stretches from which on it pays to look for four at a time.
_MANY = 12
_NOTHING: NDArray[np.int32] = np.empty((0, 0, 0), np.int32)

_Width = TypeVar("_Width", np.int16, np.int32)

#: Masks of a source, the row of the block's first step, weights, bytes in a row, offset, shifts.
DenseSynapse = tuple[NDArray[np.uint8], int, NDArray[np.uint8], int, int, np.int32, np.int32]
_NO_BYTES: NDArray[np.uint8] = np.empty(0, np.uint8)
_NO_SYNAPSE: DenseSynapse = (
    _NO_BYTES.reshape(0, 0, 0), 0, _NO_BYTES, 0, 0, np.int32(0), np.int32(0)
)  # fmt: skip


class NarrowInput(NamedTuple):
    """int16 or int32 [B, T, room], or [B, 1, room] where it is the same at every step.

    ``quiet``: it cannot drive u out of its 24 bits.
    """

    a: NDArray[np.int16 | np.int32]
    quiet: bool


class DenseInput(NamedTuple):
    """A dense synapse, the one by which the neurons hear themselves, and the rest as sums."""

    start: NDArray[np.int32]
    incoming: DenseSynapse
    own: DenseSynapse
    quiet: bool


class WideInput(NamedTuple):
    """int64 [B, T, room], and where a partial sum left its width, uint8."""

    sums: tuple[NDArray[np.int64], NDArray[np.uint8]]


class _Part(NamedTuple):
    """One slot of one synapse."""

    synapse: PlannedSynapse
    slot: PlannedSlot


class PopulationInput:
    """Input of ``plan``'s population for the samples of a chunk.

    Parameters
    ----------
    plan : PlannedPopulation
    sources : Sources
        What was sent.
    max_code : int
        Largest code that the encoder makes.
    saturate : bool
        Clip at 32 bits instead of wrapping; int64 kernels only.
    fold : bool
        Whether a convolution may take all steps at once; it needs memory of its own.
    """

    def __init__(
        self,
        plan: PlannedPopulation,
        sources: Sources,
        max_code: int,
        *,
        saturate: bool,
        fold: bool,
    ) -> None:
        self._plan = plan
        self._sources = sources
        self._saturate, self._max_code, self._fold = saturate, max_code, fold
        parts = [_Part(synapse, slot) for synapse in plan.synapses for slot in synapse.slots]
        self._steady = [p for p in parts if self._is_steady(p.synapse)]
        self._eventful = [p for p in parts if not self._is_steady(p.synapse)]
        self._event_bound = 0
        total = 0
        fits = not saturate and plan.limit >= 0
        for synapse, slot in parts:
            largest = max_code if synapse.graded and synapse.source == INPUT else 1
            total += max(slot.bound, slot.raw_bound) * largest
            fits &= not synapse.is_conv or slot.raw_bound * largest <= _LIMIT_24
            if not self._is_steady(synapse):
                self._event_bound += slot.bound * largest
        self._fits_32_bits = fits and total <= _LIMIT_32
        self._constant: tuple[list[int], NDArray[np.int32]] | None = None
        self._steady_bound = 0

    @property
    def loop(self) -> tuple[PlannedSynapse, PlannedSlot] | None:
        """The one slot by which the population's own spikes return, if there is just one."""
        own = [p for p in self._eventful if p.synapse.source == self._plan.name]
        return own[0] if len(own) == 1 else None

    def over(
        self, t: int, end: int, scratch: NDArray[np.int32], *, exactly: bool
    ) -> NarrowInput | WideInput:
        """Return the input of the logical steps ``t`` .. ``end - 1``, of the sources' block.

        ``scratch``, int32 and 1-D, is large enough and may hold the result. NarrowInput where the
        int32 kernels are exact, unless ``exactly``.
        """
        if self._fits_32_bits and not exactly:
            constant = self._steady_sums(t)
            active = [p for p in self._eventful if self._is_active(p, t, end)]
            a: NDArray[np.int16 | np.int32] = constant
            if active and all(self._fits_16_bits(p) for p in active):
                a = self._summed(active, constant, t, end, scratch.view(np.int16))
            elif active:
                a = self._summed(active, constant, t, end, scratch)
            if self._is_within(a, 0):
                return NarrowInput(a, self._is_quiet)
        return self._exactly(t, end)

    def over_without_loop(self, t: int, end: int, scratch: NDArray[np.int32]) -> NarrowInput | None:
        """Return the input but for the loop's, with a row for each step.

        None where the int32 kernels might not be exact.
        """
        loop = self.loop
        if loop is None or not self._fits_32_bits:
            return None
        active = [p for p in self._eventful if self._is_active(p, t, end)]
        others = [p for p in active if p.synapse.source != self._plan.name]
        a = self._summed(others, self._steady_sums(t), t, end, scratch)
        return NarrowInput(a, False) if self._is_within(a, loop[1].bound) else None

    def dense(
        self, t: int, end: int, scratch: NDArray[np.int32], *, loop: bool
    ) -> DenseInput | None:
        """Return the input for a kernel that does sums and neurons in one pass.

        ``loop``: the population hears what it sends within these steps. None where there is no
        such kernel, or where it might not be exact.
        """
        if not self._fits_32_bits or not self._plan.is_plain_lif:
            return None
        start = self._steady_sums(t)
        if self._steady_bound + self._event_bound > self._plan.limit:
            return None
        active = [p for p in self._eventful if self._is_active(p, t, end)]
        own = [p for p in active if loop and p.synapse.source == self._plan.name]
        others = [p for p in active if not loop or p.synapse.source != self._plan.name]
        dense = [p for p in others if self._is_dense(p)][:1]
        if len(own) > 1 or not all(map(self._is_dense, own)) or not (own or dense):
            return None
        if len(others) > len(dense):
            start = self._summed([p for p in others if p not in dense], start, t, end, scratch)
        incoming, back = (
            self._as_bytes(*parts[0], t) if parts else _NO_SYNAPSE for parts in (dense, own)
        )
        return DenseInput(start, incoming, back, self._is_quiet)

    @property
    def _is_quiet(self) -> bool:
        """Whether the weights alone keep u within its 24 bits."""
        return self._steady_bound + self._event_bound <= self._plan.quiet

    def _is_dense(self, part: _Part) -> bool:
        graded = part.synapse.graded and part.synapse.source == INPUT
        return part.slot.rows is not None and not graded

    def _as_bytes(self, synapse: PlannedSynapse, slot: PlannedSlot, t: int) -> DenseSynapse:
        rows, row = slot.rows, self._sources.row(synapse.source, t - slot.delay)
        if rows is None:
            return _NO_SYNAPSE
        return (
            self._sources.masks(synapse.source), row, rows.pool, rows.row, rows.offset,
            np.int32(rows.left), synapse.right_shift,
        )  # fmt: skip

    def _fits_16_bits(self, part: _Part) -> bool:
        """Whether a part is added in 16 bits: the neurons read them, and no sum leaves them."""
        graded = part.synapse.graded and part.synapse.source == INPUT
        return (
            self._plan.is_plain_lif
            and self._steady_bound + self._event_bound <= _LIMIT_16
            and part.slot.segments.pool.dtype == np.int16
            and not (part.synapse.right_shift or graded)
        )

    def _is_within(self, a: NDArray[Any], more: int) -> bool:
        """Whether the population's limit holds, by its weights or by what there is."""
        if self._steady_bound + self._event_bound <= self._plan.limit:
            return True
        return int(event_kernels.largest_magnitude(a)) + more <= self._plan.limit

    def _summed(
        self, active: list[_Part], start: NDArray[np.int32], t: int, end: int,
        scratch: NDArray[_Width],
    ) -> NDArray[_Width]:  # fmt: skip
        """Return ``start`` and the sums of the ``active`` parts, [B, end - t, room].

        In ``scratch``, whose width holds them.
        """
        shape = (self._sources.samples, end - t, self._plan.room)
        a = scratch[: shape[0] * shape[1] * shape[2]].reshape(shape)
        if not active:
            a[:] = start
        for synapse, slot in active:
            s = slot.segments
            row = self._sources.row(synapse.source, t - slot.delay)
            sent = self._folding(synapse, slot, row, end - t)
            if sent is not None and synapse.folded is not None:
                synapse.folded.add(sent, start, a)
            elif synapse.source == INPUT and synapse.graded:
                if start.size:
                    a[:] = start
                event_kernels.add_payloads(
                    self._sources.payloads, row, s.arrays, s.pool, s.zero, synapse.right_shift, a,
                )  # fmt: skip
            else:
                event_kernels.add_spikes(
                    self._sources.masks(synapse.source), row, s.arrays, s.pool, s.zero, s.period,
                    synapse.right_shift, s.shares >= _MANY, start, a,
                )  # fmt: skip
            start = _NOTHING
        return a

    def _folding(
        self, synapse: PlannedSynapse, slot: PlannedSlot, row: int, steps: int
    ) -> NDArray[Any] | None:
        """Return what was sent, [B, steps, n], where a convolution takes all steps at once."""
        if synapse.folded is None or not self._fold:
            return None
        graded = synapse.source == INPUT and synapse.graded
        every = self._sources.payloads if graded else self._sources.masks(synapse.source)
        sent = every[:, row : row + steps, : synapse.fan_out.size]
        # A sum that float32 holds exactly; what is sparse is quicker event by event.
        largest = self._max_code if graded else 1
        if slot.raw_bound * largest >= FLOAT32_EXACT or not sent.size:
            return None
        dense = int(np.count_nonzero(sent)) >= folded_conv.FOLD_FROM * sent.size
        return sent if dense and folded_conv.folds_exactly() else None

    def _exactly(self, t: int, end: int) -> WideInput:
        """Return the input of the logical steps ``t`` .. ``end - 1``, whatever it is."""
        shape = (self._sources.samples, end - t, self._plan.room)
        sums = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
        for synapse in self._plan.synapses:
            part = np.zeros(shape, np.int64)
            for slot in synapse.slots:
                if self._is_active(_Part(synapse, slot), t, end):
                    s = slot.segments
                    int64_kernels.add_exact(
                        self._sent(synapse, slot, t, end), s.arrays, s.pool, s.left,
                        synapse.exponent, synapse.is_conv, self._saturate, (part, sums[1]),
                    )  # fmt: skip
            int64_kernels.add_synapse(part, self._saturate, sums)
        return WideInput(sums)

    def _sent(
        self, synapse: PlannedSynapse, slot: PlannedSlot, t: int, end: int
    ) -> NDArray[np.int32]:
        """Return what a slot receives over the block, int32 [B, end - t, n]."""
        if self._is_steady(synapse):
            return np.repeat(self._steady_payload(synapse), end - t, axis=1)
        row = self._sources.row(synapse.source, t - slot.delay)
        rows = slice(row, row + end - t)
        if synapse.source == INPUT and synapse.graded:
            return np.ascontiguousarray(self._sources.payloads[:, rows])
        spikes = self._sources.masks(synapse.source)[:, rows, : synapse.fan_out.size]
        return np.ascontiguousarray(spikes, np.int32)

    def _is_steady(self, synapse: PlannedSynapse) -> bool:
        held_input = synapse.source == INPUT and self._sources.held
        return held_input or synapse.source == ALWAYS_ON

    def _is_active(self, part: _Part, t: int, end: int) -> bool:
        """Whether anything that was sent can be felt in steps ``t`` .. ``end - 1``."""
        if part.synapse.source == ALWAYS_ON:
            return True
        if part.synapse.source == INPUT and t - part.slot.delay >= self._sources.steps:
            return False
        return end > part.slot.delay

    def _steady_sums(self, t: int) -> NDArray[np.int32]:
        """Return the steady part of the input, [B, 1, room], in the block that holds step ``t``."""
        active = [i for i, p in enumerate(self._steady) if self._is_active(p, t, t + 1)]
        if self._constant is None or self._constant[0] != active:
            a = aligned_zeros((self._sources.samples, 1, self._plan.room), np.int32)
            for synapse, slot in (self._steady[i] for i in active):
                s = slot.segments
                event_kernels.add_payloads(
                    self._steady_payload(synapse), 0, s.arrays, s.pool, s.zero, synapse.right_shift,
                    a,
                )  # fmt: skip
            self._constant = active, a
            self._steady_bound = int(np.abs(a).max(initial=0))
        return self._constant[1]

    def _steady_payload(self, synapse: PlannedSynapse) -> NDArray[np.int32]:
        if synapse.source == ALWAYS_ON:
            return np.ones((self._sources.samples, 1, 1), np.int32)
        codes = self._sources.held_codes
        return (codes if synapse.graded else codes != 0).astype(np.int32)[:, None, :]
