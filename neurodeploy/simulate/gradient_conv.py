"""Convolutions of the compiled gradients, on channels-last values."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from neurodeploy.network.fixed_synapse import ConvLayout, Shape3
from neurodeploy.simulate.fixed_components import Slot
from neurodeploy.simulate.gradient_slots import SlotSum
from neurodeploy.simulate.gradient_sources import Orders
from neurodeploy.simulate.segments import Segments, conv_segments
from neurodeploy.simulate.torch_synapses import exact_products

Tensor = torch.Tensor


class ConvSum(SlotSum):
    """A convolution whose ends are both kept channels last."""

    def __init__(self, slot: Slot, layout: ConvLayout, largest: int, orders: Orders) -> None:
        super().__init__(slot, largest, orders)
        self._layout = layout
        self._phase_kernels: dict[torch.dtype, Tensor] = {}
        self._kernel = self._as_slopes(torch.float32)

    @cached_property
    def segments(self) -> Segments | None:
        """The weights as stretches of neighbouring targets."""
        return conv_segments(self.slot.weight, self._layout, self.source_order)

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
        with exact_products():
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
