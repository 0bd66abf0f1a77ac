"""Synapses of the compiled gradients: exact integer sums forward, plain matrices backward.

Each slot picks the cheapest way that is exact: weight rows per event, a float32 product where no
partial sum can reach 2^24, else sums in int32 that wrap as Lava's do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network.arrays import IntArray
from neurodeploy.network.connections import ALWAYS_ON
from neurodeploy.network.fixed_synapse import ConvLayout, Shape3, SparseLayout
from neurodeploy.simulate import gradient_sums, vector_products
from neurodeploy.simulate.fixed_components import FLOAT32_EXACT, Slot, compressed
from neurodeploy.simulate.gradient_sources import Orders, Sent

Tensor: TypeAlias = torch.Tensor

#: Density of events up to which adding weight rows is cheaper than a product.
_EVENT_DENSITY = 0.25
#: Outputs from which our own product is faster than the library's.
_PANEL_DEPTH = 64
#: Share of a sparse matrix's places that are taken from which a dense product is cheaper.
_DENSE_SHARE = 0.25


class SlotSum(ABC):
    """One slot, ready to run."""

    def __init__(self, slot: Slot, largest: int, orders: Orders) -> None:
        self.slot = slot
        self.source, self.delay = slot.source, slot.delay
        size_out, size_in = slot.synapse.size_out, slot.synapse.size_in
        self._to = orders.places(slot.target, size_out)
        self._from = orders.places(slot.source, size_in)
        self._exact_in_float32 = slot.bound(1 if slot.as_spikes else largest) < FLOAT32_EXACT
        self._slopes: dict[torch.dtype, Any] = {}

    @property
    def plain(self) -> bool:
        """Whether the sum is added as it is: no shift, no wrap at 24 bits, no delay."""
        return self.slot.exponent == 0 and not self.slot.wraps_at_24_bits and self.delay == 0

    def sums(self, sent: Sent) -> Tensor | None:
        """Return the sums before their shift, float32 [B, T, out]; None if not exact so."""
        values = sent.spikes if self.slot.as_spikes else sent.values
        return self._product(values) if self._exact_in_float32 else None

    def product(self, sent: Sent) -> Tensor | None:
        """Return ``sums`` where a product is also the cheapest way."""
        return self.sums(sent)

    def add(self, sent: Sent, a: NDArray[np.int32]) -> None:
        """Add what was sent to the synaptic input [B, T, out]."""
        if sent.held and a.shape[1] > 1:
            once = np.zeros((a.shape[0], 1, a.shape[2]), np.int32)
            self._add(sent, once, 0)
            a[:, self.delay :] += once
        else:
            self._add(sent, a, self.delay)

    def _add(self, sent: Sent, a: NDArray[np.int32], delay: int) -> None:
        if delay >= a.shape[1]:
            return
        part = self.sums(sent)
        exponent, at_24_bits = self.slot.exponent, self.slot.wraps_at_24_bits
        if part is not None:
            gradient_sums.add_part(part.numpy(), exponent, at_24_bits, delay, a)
            return
        payloads = sent.masks.astype(np.int32) if self.slot.as_spikes else sent.whole
        indptr, indices, weights = self._scattered
        gradient_sums.add_scattered(
            payloads, indptr, indices, weights, exponent, at_24_bits, delay, a
        )

    @cached_property
    def _scattered(self) -> tuple[NDArray[Any], ...]:
        """Compressed rows by source: int64 indptr, int32 targets and weights."""
        indptr, source, weights = self.slot.rows()
        target = np.repeat(np.arange(self._to.size), np.diff(indptr))
        kept_target, kept_source = np.argsort(self._to)[target], np.argsort(self._from)[source]
        rows = compressed(kept_source, kept_target, weights, self._from.size)
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
            part = by_a.new_zeros(by_a.shape[0], steps, self._from.size)
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


class _DenseSum(SlotSum):
    def __init__(self, slot: Slot, matrix: IntArray, largest: int, orders: Orders) -> None:
        super().__init__(slot, largest, orders)
        weight = matrix[self._to][:, self._from].astype(np.int64)
        self._weight = weight
        narrow = np.abs(weight).max(initial=0) < 2**15
        rows = np.ascontiguousarray(weight.T)
        self._rows = rows.astype(np.int16 if narrow else np.int32)
        self._matrix = torch.from_numpy(rows.astype(np.float32))

    def _by_events(self, sent: Sent) -> bool:
        if not self.slot.as_spikes and sent.payloads is not None:
            return False
        return sent.density < _EVENT_DENSITY or not self._exact_in_float32

    def product(self, sent: Sent) -> Tensor | None:
        return None if self._by_events(sent) else self.sums(sent)

    def _add(self, sent: Sent, a: NDArray[np.int32], delay: int) -> None:
        if self._by_events(sent):
            if delay < a.shape[1]:
                gradient_sums.add_events(sent.masks, self._rows, self.slot.exponent, delay, a)
        else:
            super()._add(sent, a, delay)

    def _product(self, values: Tensor) -> Tensor:
        return values @ self._matrix

    def _back(self, by_a: Tensor) -> Tensor:
        matrix, in_panels = self.slopes(by_a.dtype)
        if by_a.shape[2] < _PANEL_DEPTH:
            found: Tensor = by_a @ matrix
            return found
        size = self._from.size
        out = by_a.new_empty(*by_a.shape[:2], size)
        rows = by_a.view(-1, by_a.shape[2]).numpy()
        vector_products.multiply(rows, in_panels, out.view(-1).numpy(), 0, size, size)
        return out

    def _write(self, by_a: Tensor, out: Tensor) -> bool:
        _, in_panels = self.slopes(by_a.dtype)
        # ``out`` [B, T, n] is a part of an array whose samples and steps may lie apart.
        first = out.storage_offset()
        whole = out.as_strided((first + _reach(out),), (1,), 0).numpy()
        for b, own in enumerate(by_a.numpy()):
            at = first + b * out.stride(0)
            vector_products.multiply(own, in_panels, whole, at, out.stride(1), out.shape[2])
        return True

    def _as_slopes(self, dtype: torch.dtype) -> tuple[Tensor, NDArray[Any]]:
        matrix = torch.from_numpy(self._weight * 2.0**self.slot.exponent).to(dtype)
        return matrix, vector_products.panels(matrix.numpy())


class _SparseSum(SlotSum):
    def _product(self, values: Tensor) -> Tensor:
        indptr, indices, weights = self._by_target
        out = torch.zeros(*values.shape[:2], self._to.size)
        x, y = values.reshape(-1, values.shape[2]).numpy(), out.view(-1, self._to.size).numpy()
        vector_products.multiply_sparse(indptr, indices, weights, x, y)
        return out

    @cached_property
    def _by_target(self) -> tuple[NDArray[Any], ...]:
        indptr, target, weights = self._scattered
        source = np.repeat(np.arange(self._from.size), np.diff(indptr))
        rows = compressed(target.astype(np.int64), source, weights.astype(np.int64), self._to.size)
        return rows.indptr, rows.indices.astype(np.int32), rows.weights.astype(np.float32)

    def _back(self, by_a: Tensor) -> Tensor:
        out = by_a.new_zeros(*by_a.shape[:2], self._from.size)
        x, y = by_a.view(-1, by_a.shape[2]).numpy(), out.view(-1, out.shape[2]).numpy()
        indptr, indices, weights = self.slopes(by_a.dtype)
        vector_products.multiply_sparse(indptr, indices, weights, x, y)
        return out

    def _as_slopes(self, dtype: torch.dtype) -> tuple[NDArray[Any], ...]:
        indptr, indices, weights = self._scattered
        real = np.float32 if dtype == torch.float32 else np.float64
        return indptr, indices, (weights * 2.0**self.slot.exponent).astype(real)


class _ConvSum(SlotSum):
    def __init__(self, slot: Slot, layout: ConvLayout, largest: int, orders: Orders) -> None:
        super().__init__(slot, largest, orders)
        self._layout = layout
        self._phase_kernels: dict[torch.dtype, Tensor] = {}
        self._kernel = self._as_slopes(torch.float32)

    def _product(self, values: Tensor) -> Tensor:
        layout = self._layout
        out = torch.nn.functional.conv2d(
            _image(values, layout.input_shape),
            self._kernel,
            None,
            layout.stride,
            layout.padding,
            layout.dilation,
            layout.groups,
        )
        return _values(out, values.shape[1])

    def _back(self, by_a: Tensor) -> Tensor:
        gradient = _image(by_a, self._layout.output_shape)
        found = self._phases(gradient) if self._has_phases else self._transposed(gradient)
        return _values(found, by_a.shape[1])

    def _transposed(self, gradient: Tensor) -> Tensor:
        layout = self._layout
        channels, height, width = layout.input_shape
        like = gradient.new_empty(1).expand(gradient.shape[0], channels, height, width)
        found: Tensor = torch.ops.aten.convolution_backward(
            gradient, like, self.slopes(gradient.dtype), None, layout.stride, layout.padding,
            layout.dilation, False, [0, 0], layout.groups, [True, False, False],
        )[0]  # fmt: skip
        return found

    @cached_property
    def _has_phases(self) -> bool:
        """Whether the way back is one plain convolution that gives s x s values at each place.

        With strides it is several times faster than torch's own.
        """
        layout = self._layout
        return layout.groups == 1 and layout.dilation == (1, 1) and layout.stride != (1, 1)

    def _phases(self, gradient: Tensor) -> Tensor:
        """Go back through a strided convolution.

        On one axis, an input at ``y`` with ``y + padding = s q + r`` meets the outputs ``q - m``
        with the kernel's elements ``r + s m``: for each r a plain convolution over q.
        """
        layout = self._layout
        kernel = self._phase_kernel(gradient.dtype)
        padding, first = zip(*(self._phase_range(axis) for axis in (0, 1)), strict=True)
        found = torch.nn.functional.conv2d(gradient, kernel, None, 1, padding)
        (sy, sx), (channels, height, width) = layout.stride, layout.input_shape
        rows, columns = found.shape[2:]
        whole = found.permute(0, 2, 3, 1).reshape(-1, rows, columns, sy, sx, channels)
        whole = whole.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * sy, columns * sx, channels)
        top, left = first
        return whole[:, top : top + height, left : left + width].permute(0, 3, 1, 2)

    def _phase_range(self, axis: int) -> tuple[int, int]:
        """Return the padding that reaches every input, and where the first input then stands."""
        layout = self._layout
        stride, before = layout.stride[axis], layout.padding[axis]
        taps = -(-self.slot.weight.shape[2 + axis] // stride)
        lowest, highest = before // stride, (layout.input_shape[1 + axis] - 1 + before) // stride
        left = taps - 1 - lowest
        right = highest - layout.output_shape[1 + axis] + 1
        padding = max(left, right, 0)
        return padding, (padding - left) * stride + before % stride

    def _phase_kernel(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._phase_kernels:
            weight, stride = self.slot.weight, self._layout.stride
            c_out, c_in, *extent = weight.shape
            taps = [-(-extent[i] // stride[i]) for i in (0, 1)]
            padded = np.zeros((c_out, c_in, *(taps[i] * stride[i] for i in (0, 1))))
            padded[:, :, : extent[0], : extent[1]] = weight
            split = padded.reshape(c_out, c_in, taps[0], stride[0], taps[1], stride[1])
            kernel = split[:, :, ::-1, :, ::-1].transpose(3, 5, 1, 0, 2, 4)
            kernel = kernel.reshape(-1, c_out, *taps)
            found = torch.from_numpy(np.ascontiguousarray(kernel)).to(dtype)
            self._phase_kernels[dtype] = found.contiguous(memory_format=torch.channels_last)
        return self._phase_kernels[dtype]

    def _as_slopes(self, dtype: torch.dtype) -> Tensor:
        kernel = torch.from_numpy(self.slot.weight.astype(np.float64)).to(dtype)
        return kernel.contiguous(memory_format=torch.channels_last)


def _reach(values: Tensor) -> int:
    """Return how many places of its memory an array spans."""
    return 1 + sum((n - 1) * step for n, step in zip(values.shape, values.stride(), strict=True))


def _image(values: Tensor, shape: Shape3) -> Tensor:
    """Turn channels-last values [B, T, n] into images [B * T, C, H, W] without a copy."""
    channels, height, width = shape
    if channels == 1:
        # Both orders are one; torch's convolution reads the strides that a permutation would
        # leave here wrongly.
        return values.reshape(-1, channels, height, width)
    return values.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _values(images: Tensor, steps: int) -> Tensor:
    flat = images.permute(0, 2, 3, 1).contiguous()
    return flat.view(-1, steps, flat[0].numel())


def slot_sum(slot: Slot, largest: Mapping[str, int], orders: Orders) -> SlotSum:
    """Return ``slot`` ready to run; ``largest`` payload of each source, 1 unless given."""
    most = largest.get(slot.source, 1)
    if isinstance(slot.layout, ConvLayout) and orders.fits(slot):
        return _ConvSum(slot, slot.layout, most, orders)
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
    line = Sent(np.ones((1, 1, 1), np.uint8))
    for slot in slots:
        if slot.source == ALWAYS_ON:
            _SparseSum(slot, 1, orders).add(line, total)
    found: NDArray[np.int32] = total[0, 0]
    return found
