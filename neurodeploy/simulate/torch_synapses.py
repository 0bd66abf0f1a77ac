"""Synapses in plain torch, on any device: exact sums, and the way back. Arrays are [T, B, N]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from neurodeploy.errors import RangeError
from neurodeploy.network.fixed_synapse import ConvLayout, SparseLayout
from neurodeploy.simulate.fixed_components import FLOAT32_EXACT, Slot

Tensor = torch.Tensor

_FLOAT64_EXACT = 2**53


class Part(NamedTuple):
    """What a slot adds, whole float64, and where it left its width on the way (None: nowhere)."""

    values: Tensor
    left: Tensor | None


@contextmanager
def exact_products() -> Iterator[None]:
    """Keep float32 products of whole numbers exact, whatever the caller has allowed.

    Reduced-precision matrix units round them, and a convolution library may choose a transform
    that adds fractions; torch's own convolution multiplies matrices.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def wrap_32(x: Tensor) -> Tensor:
    """Reduce whole numbers to 32 bits."""
    return x - 2.0**32 * torch.floor((x + 2.0**31) / 2.0**32)


def either(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Return ``a | b``, where None is False everywhere."""
    if a is None or b is None:
        return b if a is None else a
    return a | b


class TorchSlot:
    """One slot on a device.

    Parameters
    ----------
    slot : Slot
    largest : int
        Largest payload of its source.
    device : torch.device

    Raises
    ------
    RangeError
        If its sums can leave what float64 holds exactly.
    """

    def __init__(self, slot: Slot, largest: int, device: torch.device) -> None:
        self.slot, self._device = slot, device
        self._bound = slot.bound(1 if slot.as_spikes else largest)
        if self._bound >= _FLOAT64_EXACT:
            raise RangeError(
                f"synapse {slot.synapse.name}: sums of up to {self._bound} leave the 53 bits in "
                "which torch adds whole numbers exactly; run it with the compiled engine"
            )
        exact = self._bound < FLOAT32_EXACT
        self._dtype = torch.float32 if exact else torch.float64

    def part(self, sent: Tensor) -> Part:
        """Return what ``sent`` [T, B, in] adds once it is felt, [T, B, out]."""
        values = (sent != 0) if self.slot.as_spikes else sent
        with exact_products():
            exact = self._product(values.to(self._dtype), self._dtype).to(torch.float64)
        if self.slot.wraps_at_24_bits:
            if self._bound < 2**23:
                return Part(exact, None)
            kept = torch.remainder(exact + 2.0**23, 2.0**24) - 2.0**23
            return Part(kept, kept != exact)
        factor = 2.0**self.slot.exponent
        if max(1.0, factor) * self._bound < 2**31:
            return Part(torch.floor(exact * factor), None)
        total = wrap_32(exact)
        shifted = torch.floor(total * factor)
        kept = wrap_32(shifted)
        return Part(kept, (total != exact) | (kept != shifted))

    def back(self, by_a: Tensor) -> Tensor:
        """Return the gradient by what was sent and felt, for one by the sum."""
        layout, flat = self.slot.layout, by_a.reshape(-1, by_a.shape[-1])
        factor = 2.0**self.slot.exponent
        if isinstance(layout, ConvLayout):
            channels, height, width = layout.input_shape
            gradient = flat.reshape(-1, *layout.output_shape)
            like = gradient.new_empty(1).expand(flat.shape[0], channels, height, width)
            found = torch.ops.aten.convolution_backward(
                gradient, like, self._matrix(by_a.dtype), None, layout.stride, layout.padding,
                layout.dilation, False, [0, 0], layout.groups, [True, False, False],
            )[0]  # fmt: skip
        elif isinstance(layout, SparseLayout):
            found = torch.sparse.mm(self._matrix(by_a.dtype).t(), flat.t()).t() * factor
        else:
            found = (flat @ self._matrix(by_a.dtype)) * factor
        by_sent: Tensor = found.reshape(*by_a.shape[:-1], -1)
        return by_sent

    def _product(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        layout, flat = self.slot.layout, values.reshape(-1, values.shape[-1])
        matrix = self._matrix(dtype)
        if isinstance(layout, ConvLayout):
            images = flat.reshape(-1, *layout.input_shape)
            found = torch.nn.functional.conv2d(
                images, matrix, None, layout.stride, layout.padding, layout.dilation, layout.groups
            )
        elif isinstance(layout, SparseLayout):
            found = torch.sparse.mm(matrix, flat.t()).t()
        else:
            found = flat @ matrix.t()
        return found.reshape(*values.shape[:-1], -1)

    def _matrix(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._matrices:
            self._matrices[dtype] = self._weights(dtype)
        return self._matrices[dtype]

    @cached_property
    def _matrices(self) -> dict[torch.dtype, Tensor]:
        return {}

    def _weights(self, dtype: torch.dtype) -> Tensor:
        layout = self.slot.layout
        weight = torch.tensor(self.slot.weight.astype(np.float64), device=self._device).to(dtype)
        if not isinstance(layout, SparseLayout):
            return weight
        rows = np.repeat(np.arange(layout.indptr.size - 1), np.diff(layout.indptr))
        places = torch.tensor(np.stack([rows, layout.indices]), device=self._device)
        shape = (layout.indptr.size - 1, layout.n_source)
        return torch.sparse_coo_tensor(places, weight, shape, check_invariants=True).coalesce()
