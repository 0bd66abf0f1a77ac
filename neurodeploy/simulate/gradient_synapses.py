"""Dense and sparse matrices of the compiled gradients, and which slot is summed how."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network.arrays import IntArray
from neurodeploy.network.connections import ALWAYS_ON
from neurodeploy.network.fixed_synapse import ConvLayout, SparseLayout
from neurodeploy.simulate import gradient_sums, vector_products
from neurodeploy.simulate.byte_rows import byte_rows
from neurodeploy.simulate.fixed_components import Slot, compressed
from neurodeploy.simulate.gradient_conv import ConvSum
from neurodeploy.simulate.gradient_slots import EVENT_DENSITY, NOTHING, SlotSum
from neurodeploy.simulate.gradient_sources import Orders, Sent, roomy_masks

Tensor = torch.Tensor

#: Share of a sparse matrix's places that are taken from which a dense product is cheaper.
_DENSE_SHARE = 0.25
#: Share of sources that differ up to which those that are alike are computed once.
_DIFFERENT_SHARE = 0.7


class Alike(NamedTuple):
    """Sources with the same weights, as a pool's are: ``first`` of each kind, ``kind`` of each."""

    first: NDArray[np.int64]
    kind: NDArray[np.int32]

    def spread(self, values: Tensor) -> Tensor:
        """Give each source [B, T, n] the value of its kind [B, T, kinds]."""
        out = values.new_empty(*values.shape[:2], self.kind.size)
        flat = values.view(-1, values.shape[2]).numpy()
        gradient_sums.spread(flat, self.kind, out.view(-1, self.kind.size).numpy())
        return out


def alike(weights: Sequence[bytes] | NDArray[np.int64]) -> Alike | None:
    """Group sources by their ``weights``, one item each; None where few are alike."""
    kinds: dict[bytes, int] = {}
    first: list[int] = []
    kind = np.empty(len(weights), np.int32)
    for i, item in enumerate(weights):
        key = item if isinstance(item, bytes) else item.tobytes()
        if key not in kinds:
            kinds[key] = len(first)
            first.append(i)
        kind[i] = kinds[key]
    if len(first) > _DIFFERENT_SHARE * len(weights):
        return None
    return Alike(np.array(first, np.int64), kind)


class _DenseSum(SlotSum):
    def __init__(self, slot: Slot, matrix: IntArray, largest: int, orders: Orders) -> None:
        super().__init__(slot, largest, orders)
        weight = matrix[self.target_order][:, self.source_order].astype(np.int64)
        self._weight = weight
        self._alike = alike(weight.T)
        narrow = np.abs(weight).max(initial=0) < 2**15
        rows = np.ascontiguousarray(weight.T)
        self._bytes = byte_rows(weight, max(slot.exponent, 0))
        self._rows = rows.astype(np.int16 if narrow else np.int32)
        self._matrix = torch.from_numpy(rows.astype(np.float32))

    def _by_events(self, sent: Sent) -> bool:
        if not self.slot.as_spikes and sent.payloads is not None:
            return False
        if self._bytes is not None:
            return True
        return sent.density < EVENT_DENSITY or not self.exact_in_float32

    def _add_events(
        self, sent: Sent, start: NDArray[np.int32], a: NDArray[np.int32], delay: int
    ) -> None:
        found, exponent = self._bytes, self.slot.exponent
        if found is not None:
            gradient_sums.add_bytes(
                sent.masks, sent.size, found.pool, found.row, found.offset, found.left,
                max(-exponent, 0), delay, start, a,
            )  # fmt: skip
            return
        if start.size:
            a[:, :, : start.size] = start
        if delay < a.shape[1]:
            gradient_sums.add_events(sent.masks, sent.size, self._rows, exponent, delay, a)

    def _product(self, values: Tensor) -> Tensor:
        return values @ self._matrix

    def _back(self, by_a: Tensor) -> Tensor:
        size = self.source_order.size if self._alike is None else self._alike.first.size
        out = by_a.new_empty(*by_a.shape[:2], size)
        rows = by_a.view(-1, by_a.shape[2]).numpy()
        weights = self.slopes(by_a.dtype)
        vector_products.multiply(rows, weights, out.view(-1).numpy(), 0, size, size)
        return out if self._alike is None else self._alike.spread(out)

    def _write(self, by_a: Tensor, out: Tensor) -> bool:
        if self._alike is not None:
            return False
        weights = self.slopes(by_a.dtype)
        # ``out`` [B, T, n] is a part of an array whose samples and steps may lie apart.
        first = out.storage_offset()
        whole = out.as_strided((first + _reach(out),), (1,), 0).numpy()
        vector_products.multiply_samples(
            by_a.numpy(), weights, whole, first, out.stride(0), out.stride(1), out.shape[2]
        )
        return True

    def _as_slopes(self, dtype: torch.dtype) -> NDArray[Any]:
        weight = self._weight if self._alike is None else self._weight[:, self._alike.first]
        real = np.float32 if dtype == torch.float32 else np.float64
        return vector_products.panels((weight * 2.0**self.slot.exponent).astype(real))


class _SparseSum(SlotSum):
    def _product(self, values: Tensor) -> Tensor:
        indptr, indices, weights = self._by_target
        out = torch.zeros(*values.shape[:2], self.target_order.size)
        x, y = (
            values.reshape(-1, values.shape[2]).numpy(),
            out.view(-1, self.target_order.size).numpy(),
        )
        vector_products.multiply_sparse(indptr, indices, weights, x, y)
        return out

    @cached_property
    def _by_target(self) -> tuple[NDArray[Any], ...]:
        indptr, target, weights = self.scattered
        source = np.repeat(np.arange(self.source_order.size), np.diff(indptr))
        rows = compressed(
            target.astype(np.int64), source, weights.astype(np.int64), self.target_order.size
        )
        return rows.indptr, rows.indices.astype(np.int32), rows.weights.astype(np.float32)

    @cached_property
    def _alike(self) -> Alike | None:
        indptr, indices, weights = self.scattered
        return alike(
            [
                indices[low:high].tobytes() + weights[low:high].tobytes()
                for low, high in itertools.pairwise(indptr.tolist())
            ]
        )

    def _back(self, by_a: Tensor) -> Tensor:
        size = self.source_order.size if self._alike is None else self._alike.first.size
        out = by_a.new_zeros(*by_a.shape[:2], size)
        x, y = by_a.view(-1, by_a.shape[2]).numpy(), out.view(-1, size).numpy()
        indptr, indices, weights = self.slopes(by_a.dtype)
        vector_products.multiply_sparse(indptr, indices, weights, x, y)
        return out if self._alike is None else self._alike.spread(out)

    def _as_slopes(self, dtype: torch.dtype) -> tuple[NDArray[Any], ...]:
        indptr, indices, weights = self.scattered
        real = np.float32 if dtype == torch.float32 else np.float64
        slopes = (weights * 2.0**self.slot.exponent).astype(real)
        if self._alike is None:
            return indptr, indices, slopes
        lengths = np.diff(indptr)[self._alike.first]
        first = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(indptr[self._alike.first] - first[:-1], lengths) + np.arange(first[-1])
        return first, indices[at], slopes[at]


def _reach(values: Tensor) -> int:
    """Return how many places of its memory an array spans."""
    return 1 + sum((n - 1) * step for n, step in zip(values.shape, values.stride(), strict=True))


def slot_sum(slot: Slot, largest: Mapping[str, int], orders: Orders) -> SlotSum:
    """Return ``slot`` ready to run; ``largest`` payload of each source, 1 unless given."""
    most = largest.get(slot.source, 1)
    if isinstance(slot.layout, ConvLayout) and orders.fits(slot):
        return ConvSum(slot, slot.layout, most, orders)
    if slot.layout is None:
        return _DenseSum(slot, slot.weight, most, orders)
    if isinstance(slot.layout, SparseLayout):
        places = slot.synapse.size_out * slot.synapse.size_in
        if slot.weight.size > _DENSE_SHARE * places:
            return _DenseSum(slot, _written_out(slot), most, orders)
    return _SparseSum(slot, most, orders)


def _written_out(slot: Slot) -> IntArray:
    indptr, source, weight = slot.rows()
    matrix = np.zeros((slot.synapse.size_out, slot.synapse.size_in), np.int32)
    matrix[np.repeat(np.arange(matrix.shape[0]), np.diff(indptr)), source] = weight
    return matrix


def always_on(slots: tuple[Slot, ...], size: int, orders: Orders) -> NDArray[np.int32]:
    """Return what the always-on line adds at every step, int32 [N]; it wraps at 32 bits."""
    total = np.zeros((1, 1, size), np.int32)
    masks = roomy_masks(1, 1, 1)
    masks[:, :, 0] = 1
    line = Sent(masks, 1)
    for slot in slots:
        if slot.source == ALWAYS_ON:
            _SparseSum(slot, 1, orders).add(line, NOTHING, total)
    found: NDArray[np.int32] = total[0, 0]
    return found
