"""What sources send to the compiled gradients, and in which order their values are kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed_synapse import ConvLayout, Shape3
from neurodeploy.simulate.fixed_components import Component, Slot
from neurodeploy.simulate.lanes import MASK_ALIGNMENT

Tensor = torch.Tensor


def roomy_masks(batch: int, steps: int, size: int) -> NDArray[np.uint8]:
    """Return zeros [B, T, size padded to MASK_ALIGNMENT], behind which whole words may be read."""
    width = -(-size // MASK_ALIGNMENT) * MASK_ALIGNMENT
    total = batch * steps * width
    return np.zeros(total + MASK_ALIGNMENT, np.uint8)[:total].reshape(batch, steps, width)


class Sent:
    """What a source of ``size`` sent: 0 or 1 in ``roomy_masks``, and payloads if there are any.

    ``masks`` uint8 [B, T or 1, padded], ``payloads`` int32 [B, T or 1, n]; one row where it is the
    same at every step.
    """

    def __init__(
        self, masks: NDArray[np.uint8], size: int, payloads: NDArray[np.int32] | None = None
    ) -> None:
        self.masks, self.size = masks, size
        self.payloads = payloads

    @property
    def held(self) -> bool:
        """Whether there is one row for all steps."""
        return bool(self.masks.shape[1] == 1)

    @cached_property
    def density(self) -> float:
        """Share of the places that sent."""
        places = self.masks.shape[0] * self.masks.shape[1] * self.size
        return int(np.count_nonzero(self.masks)) / float(places)

    @cached_property
    def spikes(self) -> Tensor:
        """0 or 1, float32."""
        return torch.from_numpy(self._marked.astype(np.float32))

    @cached_property
    def values(self) -> Tensor:
        """The payloads, float32."""
        if self.payloads is None:
            return self.spikes
        return torch.from_numpy(self.payloads).to(torch.float32)

    @cached_property
    def whole(self) -> NDArray[np.int32]:
        """The payloads, int32."""
        return self.present if self.payloads is None else self.payloads

    @property
    def present(self) -> NDArray[np.int32]:
        """0 or 1, int32."""
        return self._marked.astype(np.int32)

    @property
    def _marked(self) -> NDArray[np.uint8]:
        return self.masks[:, :, : self.size]


class Orders:
    """In which order the values of each source are kept: as they are, or channels last.

    A convolution runs faster on channels-last values; all weights are then reordered once.
    """

    def __init__(self, found: tuple[Component, ...]) -> None:
        self._shapes: dict[str, Shape3] = {}
        #: Everything that sends events: the input and all populations.
        self.sources = {INPUT, *(name for component in found for name in component.names)}
        for component in found:
            for slot in component.inputs:
                if isinstance(slot.layout, ConvLayout):
                    self._shapes.setdefault(slot.source, slot.layout.input_shape)
                    self._shapes.setdefault(slot.target, slot.layout.output_shape)

    def fits(self, slot: Slot) -> bool:
        """Whether a convolution finds both ends in the shape that it takes."""
        layout = slot.layout
        return (
            isinstance(layout, ConvLayout)
            and self._shapes.get(slot.source) == layout.input_shape
            and self._shapes.get(slot.target) == layout.output_shape
        )

    def shape(self, name: str) -> Shape3 | None:
        """Return (C, H, W) of a source that is kept channels last, else None."""
        return self._shapes.get(name)

    def places(self, name: str, size: int) -> NDArray[np.int64]:
        """Return for each kept place [size] where its value stands in C order."""
        flat = np.arange(size)
        shape = self._shapes.get(name)
        return flat if shape is None else flat.reshape(shape).transpose(1, 2, 0).ravel()
