"""A convolution over all steps of all samples at once, where most of its inputs are active.

Event by event, a sum costs as much as there are events. Above some density one float32 convolution
with time folded into the batch is faster (``benchmarks/event_against_folded.py``). It is exact: its
sums stay below 2**24, and every number in them is whole.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.fixed_synapse import ConvLayout

if TYPE_CHECKING:
    import torch

#: Share of active inputs from which on all steps at once are faster than events.
FOLD_FROM = 0.35
#: Values in and out of one call: bounds memory.
_VALUES = 2**19


class FoldedConv:
    """One convolution in the engine's order of values.

    Parameters
    ----------
    weight : int32 [C_out, C_in / groups, h, w]
    layout : ConvLayout
    channels_last : bool
        Whether the source is held (H, W, C); the target always is.
    """

    def __init__(
        self, weight: NDArray[np.int32], layout: ConvLayout, *, channels_last: bool
    ) -> None:
        self._weight, self._layout, self._last = weight, layout, channels_last

    def add(
        self, sent: NDArray[Any], start: NDArray[np.int32], a: NDArray[np.int16 | np.int32]
    ) -> None:
        """Write ``start`` and the sums of ``sent`` to ``a``, or add the sums where start is empty.

        Parameters
        ----------
        sent : uint8 or int32 [B, T, n]
        start : int32 [B, 1, room], or empty
        a : int16 or int32 [B, T, room]
        """
        if start.size:
            a[:] = start
        batch, steps, n = sent.shape
        n_out = int(np.prod(self._layout.output_shape))
        at_once = max(1, _VALUES // (steps * (n + n_out)))
        for first in range(0, batch, at_once):
            some = slice(first, first + at_once)
            sums = self._sums(sent[some].reshape(-1, n))
            a[some, :, :n_out] += sums.reshape(-1, steps, n_out).astype(a.dtype)

    def _sums(self, sent: NDArray[Any]) -> NDArray[np.float32]:
        """Return the sums [images, n_out] of values [images, n_in], outputs (H, W, C)."""
        import torch

        layout = self._layout
        channels, height, width = layout.input_shape
        values = torch.from_numpy(sent.astype(np.float32))
        if self._last:
            images = values.view(-1, height, width, channels).permute(0, 3, 1, 2)
        else:
            images = values.view(-1, channels, height, width)
        with torch.no_grad():
            found = torch.nn.functional.conv2d(
                images, self._kernel, None, layout.stride, layout.padding, layout.dilation,
                layout.groups,
            )  # fmt: skip
        by_place = found.permute(0, 2, 3, 1).reshape(sent.shape[0], -1)
        result: NDArray[np.float32] = by_place.numpy()
        return result

    @cached_property
    def _kernel(self) -> torch.Tensor:
        import torch

        kernel = torch.tensor(self._weight.astype(np.float32))
        # torch 2.13 multiplies one-channel images of permuted strides wrongly; these stay plain.
        last = self._layout.input_shape[0] > 1
        return kernel.contiguous(memory_format=torch.channels_last) if last else kernel


def folds_exactly() -> bool:
    """Whether torch's float32 convolution adds whole numbers exactly here.

    oneDNN does at full precision; another library may choose a transform that adds fractions, and
    a caller may have allowed reduced precision.
    """
    import torch

    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and torch.get_float32_matmul_precision() == "highest"


def folded(
    weight: NDArray[np.int32], layout: ConvLayout, source: NDArray[np.int64]
) -> FoldedConv | None:
    """Return the convolution for a source in the order ``source``; None for any other order.

    Parameters
    ----------
    weight, layout
        As in ``FoldedConv``.
    source : int64 [n]
        Which value in C order each of the engine's is.
    """
    plain = np.arange(source.size)
    if (source == plain).all():
        return FoldedConv(weight, layout, channels_last=False)
    if (source == plain.reshape(layout.input_shape).transpose(1, 2, 0).ravel()).all():
        return FoldedConv(weight, layout, channels_last=True)
    return None
