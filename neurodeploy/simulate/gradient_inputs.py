"""The synaptic input of one population, as something that a loss may look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.simulate.fixed_components import Component
from neurodeploy.simulate.gradient_slots import NOTHING
from neurodeploy.simulate.gradient_sources import Orders, Sent
from neurodeploy.simulate.gradient_synapses import always_on, slot_sum
from neurodeploy.simulate.vector_code import LANES

Tensor = torch.Tensor


class SynapticInput:
    """What a population gets at every step, and where a gradient by it goes.

    Parameters
    ----------
    component : Component
        Where the population belongs.
    name : str
    largest : mapping of source to int
        Largest payload, where it may be above 1.
    orders : Orders
    """

    def __init__(
        self, component: Component, name: str, largest: Mapping[str, int], orders: Orders
    ) -> None:
        rule = next(rule for rule in component.rules if rule.name == name)
        into = tuple(s for s in (*component.inputs, *component.loops) if s.target == name)
        self._constant = always_on(into, rule.size, orders)
        self._sums = [slot_sum(s, largest, orders) for s in into if s.source in orders.sources]
        self._loops = [s for s in self._sums if s.source in component.names]
        self._kept = orders.places(name, rule.size)

    def values(self, sent: Mapping[str, Sent], batch: int, steps: int) -> NDArray[np.int32]:
        """Return the sums of all synapses [B, T, N] in C order; they wrap at 32 bits."""
        size = self._constant.size
        room = -(-size // LANES) * LANES
        # One vector more: a stretch of weights may end behind the last row.
        a = np.zeros(batch * steps * room + LANES, np.int32)[:-LANES].reshape(batch, steps, room)
        a[:, :, :size] = self._constant
        for part in self._sums:
            part.add(sent[part.source], NOTHING, a)
        found = np.empty((batch, steps, size), np.int32)
        found[:, :, self._kept] = a[:, :, :size]
        return found

    def kept(self, gradient: Tensor) -> Tensor:
        """Bring a gradient [B, T, N] into the order in which the population is kept."""
        return gradient[:, :, torch.from_numpy(self._kept)].contiguous()

    def back_to_loops(self, by_a: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the sources in the population's own component and the gradients by their spikes.

        ``by_a`` [B, T, N] in the order in which the population is kept.
        """
        for part in self._loops:
            yield part.source, part.back(by_a, False, None)
