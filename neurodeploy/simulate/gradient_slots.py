"""One slot of a synapse in the compiled gradients: exact integer sums forward.

Each picks the cheapest way that is exact: weights added event by event, a float32 product where no
partial sum can reach 2^24, else sums in int32 that wrap as Lava's do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.simulate import gradient_sums
from neurodeploy.simulate.fixed_components import FLOAT32_EXACT, Slot, compressed
from neurodeploy.simulate.gradient_sources import Orders, Sent
from neurodeploy.simulate.segments import Segments, listed_segments
from neurodeploy.simulate.torch_synapses import exact_products

Tensor: TypeAlias = torch.Tensor

NOTHING = np.zeros(0, np.int32)
#: Density of events up to which adding weights event by event is cheaper than a product.
EVENT_DENSITY = 0.25
#: Mean number of sources with one list of stretches from which four at a time are cheaper than two.
_MANY_SHARE = 4.0


class SlotSum(ABC):
    """One slot, ready to run."""

    def __init__(self, slot: Slot, largest: int, orders: Orders) -> None:
        self.slot = slot
        self.source, self.delay = slot.source, slot.delay
        size_out, size_in = slot.synapse.size_out, slot.synapse.size_in
        self.target_order = orders.places(slot.target, size_out)
        self.source_order = orders.places(slot.source, size_in)
        self.exact_in_float32 = slot.bound(1 if slot.as_spikes else largest) < FLOAT32_EXACT
        self._slopes: dict[torch.dtype, Any] = {}

    @property
    def plain(self) -> bool:
        """Whether the sum is added as it is: no shift, no wrap at 24 bits, no delay."""
        return self.slot.exponent == 0 and not self.slot.wraps_at_24_bits and self.delay == 0

    def sums(self, sent: Sent) -> Tensor | None:
        """Return the sums before their shift, float32 [B, T, out]; None if not exact so."""
        values = sent.spikes if self.slot.as_spikes else sent.values
        if not self.exact_in_float32:
            return None
        with exact_products():
            return self._product(values)

    def product(self, sent: Sent) -> Tensor | None:
        """Return ``sums`` where a product is also the cheapest way."""
        return None if self._by_events(sent) else self.sums(sent)

    def add(self, sent: Sent, start: NDArray[np.int32], a: NDArray[np.int32]) -> None:
        """Add what was sent to the synaptic input [B, T, at least out].

        ``start`` [out] is what ``a`` is to hold before; where it is empty, ``a`` is added to.
        """
        if sent.held and a.shape[1] > 1:
            once = np.zeros((a.shape[0], 1, a.shape[2]), np.int32)
            self._add(sent, NOTHING, once, 0)
            if start.size:
                a[:, :, : start.size] = start
            a[:, self.delay :] += once
        else:
            self._add(sent, start, a, self.delay)

    def _add(self, sent: Sent, start: NDArray[np.int32], a: NDArray[np.int32], delay: int) -> None:
        if self._by_events(sent):
            self._add_events(sent, start, a, delay)
            return
        if start.size:
            a[:, :, : start.size] = start
            a[:, :, start.size :] = 0
        if delay >= a.shape[1]:
            return
        part = self.sums(sent)
        exponent, at_24_bits = self.slot.exponent, self.slot.wraps_at_24_bits
        if part is not None:
            gradient_sums.add_part(part.numpy(), exponent, at_24_bits, delay, a)
            return
        payloads = sent.present if self.slot.as_spikes else sent.whole
        indptr, indices, weights = self.scattered
        gradient_sums.add_scattered(
            payloads, indptr, indices, weights, exponent, at_24_bits, delay, a
        )

    def _by_events(self, sent: Sent) -> bool:
        """Whether weights are to be added event by event."""
        if sent.payloads is not None and not self.slot.as_spikes:
            return False
        if self.slot.wraps_at_24_bits and self.slot.bound(1) >= 2**23:
            return False
        return sent.density < EVENT_DENSITY and self.segments is not None

    def _add_events(
        self, sent: Sent, start: NDArray[np.int32], a: NDArray[np.int32], delay: int
    ) -> None:
        found = self.segments
        if found is None:  # not by events, then
            return
        right = 0 if self.slot.wraps_at_24_bits else max(-self.slot.exponent, 0)
        gradient_sums.add_stretches(
            sent.masks, found.arrays, found.pool, found.zero, found.period,
            found.shares >= _MANY_SHARE, right, delay, start, a,
        )  # fmt: skip

    @cached_property
    def segments(self) -> Segments | None:
        """The weights as stretches of neighbouring targets; None where they need 64 bits."""
        left = max(self.slot.exponent, 0)
        indptr, target, weight = self.scattered
        source = np.repeat(np.arange(self.source_order.size), np.diff(indptr))
        wide = (target.astype(np.int64), source, weight.astype(np.int64))
        found = listed_segments(*wide, self.source_order.size, left)
        return found if found.left == left else None

    @cached_property
    def scattered(self) -> tuple[NDArray[Any], ...]:
        """Compressed rows by source: int64 indptr, int32 targets and weights."""
        indptr, source, weights = self.slot.rows()
        target = np.repeat(np.arange(self.target_order.size), np.diff(indptr))
        kept_target, kept_source = (
            np.argsort(self.target_order)[target],
            np.argsort(self.source_order)[source],
        )
        rows = compressed(kept_source, kept_target, weights, self.source_order.size)
        return rows.indptr, rows.indices.astype(np.int32), rows.weights.astype(np.int32)

    def back(
        self, by_a: Tensor, held: bool, into: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        """Return the gradient by what was sent, added to ``into`` where that is given.

        ``by_a`` [B, T, out], contiguous; the result is [B, T or 1, in]. Without ``into`` it may
        be written to ``out``, of its shape and type.
        """
        steps = by_a.shape[1]
        felt = by_a[:, self.delay :]
        if held:
            part = self._back(felt.sum(dim=1, keepdim=True))
        elif self.delay == 0:
            if out is not None and into is None and self._write(by_a, out):
                return out
            part = self._back(by_a)
        else:
            part = by_a.new_zeros(by_a.shape[0], steps, self.source_order.size)
            if self.delay < steps:
                part[:, : steps - self.delay] = self._back(felt.contiguous())
        return part if into is None else into.add_(part)

    def slopes(self, dtype: torch.dtype) -> Any:
        """Return the weights, shifted, as real numbers."""
        if dtype not in self._slopes:
            self._slopes[dtype] = self._as_slopes(dtype)
        return self._slopes[dtype]

    @abstractmethod
    def _product(self, values: Tensor) -> Tensor: ...

    @abstractmethod
    def _back(self, by_a: Tensor) -> Tensor: ...

    def _write(self, by_a: Tensor, out: Tensor) -> bool:
        """Write ``_back`` to ``out``, if that saves a copy; return whether it was written."""
        del by_a, out
        return False

    @abstractmethod
    def _as_slopes(self, dtype: torch.dtype) -> Any: ...
