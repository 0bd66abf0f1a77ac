"""One component of a network over all steps, forward in integers and backward in real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.network.registers import DECAY_BITS, V_MAX
from neurodeploy.simulate import (
    gradient_backward,
    gradient_lanes,
    gradient_neurons,
    gradient_recurrence,
    vector_products,
)
from neurodeploy.simulate.byte_rows import byte_rows
from neurodeploy.simulate.fixed_components import Component, NeuronRule, Slot, compressed
from neurodeploy.simulate.gradient_slots import NOTHING, SlotSum
from neurodeploy.simulate.gradient_sources import Orders, Sent, roomy_masks
from neurodeploy.simulate.gradient_synapses import always_on, slot_sum
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import mean_distance, surrogate_slope
from neurodeploy.simulate.vector_code import LANES

Tensor = torch.Tensor
_SHAPES = {
    "triangle": gradient_lanes.TRIANGLE,
    "rectangle": gradient_lanes.RECTANGLE,
    "superspike": gradient_lanes.SUPERSPIKE,
}


class Marks(NamedTuple):
    """What a component did: marks int32 [B, T, N], spikes uint8 in ``roomy_masks``."""

    marks: NDArray[np.int32]
    masks: NDArray[np.uint8]


class _Steps(NamedTuple):
    """What the rules say of each step, one row per population: gain, reset before it, slope."""

    gain: NDArray[np.int64]
    resets: NDArray[np.bool_]
    slope: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Inner:
    """The weights between a component's own populations, as ``gradient_recurrence`` takes them."""

    table: NDArray[np.int64]
    dense: NDArray[np.int32]
    pool: NDArray[np.uint8]
    dense_slopes: NDArray[np.float64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.int32]
    slopes: NDArray[np.float64]


class ComponentRun:
    """A component ready to run on any batch.

    Parameters
    ----------
    component : Component
    largest : mapping of source to int
        Largest payload, where it may be above 1.
    orders : Orders
        In which order every population's values are kept.
    """

    def __init__(self, component: Component, largest: Mapping[str, int], orders: Orders) -> None:
        self.rules = component.rules
        self.names = component.names
        sizes = [rule.size for rule in self.rules]
        self._bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._inputs: dict[str, list[SlotSum]] = {name: [] for name in self.names}
        self._constant: dict[str, NDArray[np.int32]] = {}
        for rule in self.rules:
            into = tuple(s for s in component.inputs if s.target == rule.name)
            self._constant[rule.name] = always_on(into, rule.size, orders)
            fed = [s for s in into if s.source in orders.sources]
            self._inputs[rule.name] = [slot_sum(s, largest, orders) for s in fed]
        self._places = [orders.places(rule.name, rule.size) for rule in self.rules]
        self._inner = _inner(component, orders) if component.loops else None
        self._kinds = np.array([_kind(rule) for rule in self.rules], np.int64)
        self._reals: dict[Any, tuple[NDArray[Any], ...]] = {}
        self._known: _Steps | None = None

    def slice(self, name: str) -> slice:
        """Return where a population stands among the component's neurons."""
        i = self.names.index(name)
        return slice(int(self._bounds[i]), int(self._bounds[i + 1]))

    def forward(self, sent: Mapping[str, Sent], batch: int, steps: int) -> Marks:
        """Run all steps on what the sources sent."""
        size = int(self._bounds[-1])
        marks = np.empty((batch, steps, size), np.int32)
        masks = roomy_masks(batch, steps, size)
        start, rule, over = self._start, self._rule, self._over(steps)
        if self._inner is not None:
            a = self._whole_input(sent, batch, steps)
            inner = self._inner
            gradient_recurrence.step_component(
                a, start, rule, self._kinds, over.gain, over.resets, self._bounds,
                inner.table, (inner.dense, inner.indices, inner.weights, self._sizes), inner.pool,
                inner.indptr, marks, masks,
            )  # fmt: skip
            return Marks(marks, masks)
        drive = self._input(self.rules[0].name, sent, batch, steps)
        gradient_neurons.step_neurons(
            drive, start, rule, self._kinds[0], over.resets[0], over.gain[0], marks, masks
        )
        return Marks(marks, masks)

    def backward(
        self,
        done: Marks,
        by_spikes: Tensor | None,
        by_v: Tensor | None,
        surrogate: Surrogate,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return the gradient by the synaptic input, [B, T, N], from that by spikes and by v."""
        batch, steps, size = done.marks.shape
        own = self._real(surrogate, dtype)
        by_a = torch.empty(batch, steps, size, dtype=dtype)
        nothing = torch.empty(0, 0, 0, dtype=dtype)
        from_spikes, from_v = ((nothing if x is None else x).numpy() for x in (by_spikes, by_v))
        shape = _SHAPES.get(surrogate.shape, gradient_lanes.GIVEN)
        slopes = nothing.numpy()
        if surrogate.adaptive or shape == gradient_lanes.GIVEN:
            shape = gradient_lanes.GIVEN
            if by_spikes is not None or self._inner is not None:
                slopes = self._slopes(done.marks, surrogate, dtype).numpy()
        limits = self._rule[3]
        over = self._over(steps)
        factor = over.slope.astype(own[0].dtype)
        if self._inner is None:
            gradient_backward.back_through_neurons(
                done.marks, from_spikes, from_v, slopes, own, limits, shape,
                int(self.rules[0].subtracts), factor[0], over.resets[0], by_a.numpy(),
            )  # fmt: skip
            return by_a
        inner = self._inner
        real = (
            inner.dense_slopes.astype(own[0].dtype, copy=False),
            inner.slopes.astype(own[0].dtype, copy=False),
        )
        gradient_recurrence.back_through_component(
            done.marks, from_spikes, from_v, slopes, own, limits, shape, self._kinds, factor,
            over.resets, self._bounds, inner.table, real, inner.indices, inner.indptr,
            by_a.numpy(),
        )  # fmt: skip
        return by_a

    def _slopes(self, marks: NDArray[np.int32], surrogate: Surrogate, dtype: torch.dtype) -> Tensor:
        """Return the slopes of all spikes, [B, T, N]."""
        known = torch.from_numpy(marks)
        # Where v was clipped or held, nothing passes whatever the slope is.
        v_pre = known.clamp(-V_MAX, V_MAX).to(dtype)
        threshold, unit = (
            torch.from_numpy(self._side_by_side(x)).to(dtype)
            for x in ([r.full_threshold for r in self.rules], [r.unit for r in self.rules])
        )
        width: float | Tensor = surrogate.width
        if surrogate.adaptive:
            free = known != gradient_lanes.HELD
            width = width * mean_distance(v_pre, threshold, unit, 1, free)
        return surrogate_slope(v_pre, threshold, unit, width, surrogate.shape)

    def back_to_sources(
        self,
        by_a: Tensor,
        wanted: set[str],
        held: Mapping[str, bool],
        by_sent: dict[str, Tensor],
        room: Mapping[str, Tensor],
    ) -> None:
        """Add to ``by_sent`` what the sources in ``wanted`` contributed.

        ``room`` holds where the gradient of a source may be written.
        """
        for name in self.names:
            slots = [s for s in self._inputs[name] if s.source in wanted]
            if not slots:
                continue
            own = by_a if len(self.names) == 1 else by_a[:, :, self.slice(name)].contiguous()
            for slot in slots:
                source = slot.source
                by_sent[source] = slot.back(
                    own, held.get(source, False), by_sent.get(source), room.get(source)
                )

    def _input(self, name: str, sent: Mapping[str, Sent], batch: int, steps: int) -> NDArray[Any]:
        """Return the synaptic input from outside: int32, or whole float32, [B, T or 1, N]."""
        slots, constant = self._inputs[name], self._constant[name]
        if len(slots) == 1 and slots[0].plain and not constant.any():
            product = slots[0].product(sent[slots[0].source])
            if product is not None:
                found: NDArray[Any] = product.numpy()
                return found
        steady = all(s.delay == 0 and sent[s.source].held for s in slots)
        rows = 1 if steady else steps
        room = -(-constant.size // LANES) * LANES
        # One vector more: a stretch of weights may end behind the last row.
        a = np.empty(batch * rows * room + LANES, np.int32)[:-LANES].reshape(batch, rows, room)
        start = constant
        for slot in slots:
            slot.add(sent[slot.source], start, a)
            start = NOTHING
        if start.size:
            a[:, :, : constant.size] = constant
        return a

    def _whole_input(self, sent: Mapping[str, Sent], batch: int, steps: int) -> NDArray[np.int32]:
        a = np.empty((batch, steps, int(self._bounds[-1])), np.int32)
        for name in self.names:
            own = self.slice(name)
            a[:, :, own] = self._input(name, sent, batch, steps)[:, :, : own.stop - own.start]
        return a

    @cached_property
    def _rule(self) -> tuple[NDArray[np.int32], ...]:
        """(keep_u, keep_v, bias, threshold, taken) of all populations side by side, int32."""
        return tuple(
            self._side_by_side(values).astype(np.int32)
            for values in (
                [r.keep_u for r in self.rules],
                [r.keep_v for r in self.rules],
                [r.population.bias_shifted for r in self.rules],
                [r.threshold for r in self.rules],
                [r.full_threshold for r in self.rules],
            )
        )

    @cached_property
    def _start(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        populations = [rule.population for rule in self.rules]
        return (
            self._side_by_side([p.u_init for p in populations]).astype(np.int32),
            self._side_by_side([p.v_init for p in populations]).astype(np.int32),
        )

    @cached_property
    def _sizes(self) -> NDArray[np.int32]:
        return np.diff(self._bounds).astype(np.int32)

    def _side_by_side(self, values: list[NDArray[Any]]) -> NDArray[Any]:
        parts = [v[places] for v, places in zip(values, self._places, strict=True)]
        return np.ascontiguousarray(np.concatenate(parts))

    def _over(self, steps: int) -> _Steps:
        """Return what the rules say of each step; the last answer is kept."""
        if self._known is None or self._known.gain.shape[1] != steps:
            self._known = _Steps(
                np.stack([rule.gain(steps) for rule in self.rules]),
                np.stack([rule.resets(steps) for rule in self.rules]),
                np.stack([rule.input_slope(steps) for rule in self.rules]),
            )
        return self._known

    def _real(self, surrogate: Surrogate, dtype: torch.dtype) -> tuple[NDArray[Any], ...]:
        """Return (threshold, reach, peak, keep_u, keep_v), see ``back_through_neurons``."""
        key = (surrogate, dtype)
        if key not in self._reals:
            real = np.float32 if dtype == torch.float32 else np.float64
            reach = self._side_by_side([rule.unit for rule in self.rules]) * surrogate.width
            peak = reach
            if surrogate.shape == "triangle":
                peak = 1.0 / reach**2
            elif surrogate.shape == "rectangle":
                # Distances are whole, so this limit says the same and does not round.
                peak, reach = 0.5 / reach, np.ceil(reach)
            threshold = self._side_by_side([rule.full_threshold for rule in self.rules])
            keep = [self._rule[i].astype(np.float64) / 2**DECAY_BITS for i in (0, 1)]
            self._reals[key] = tuple(
                np.ascontiguousarray(x, real) for x in (threshold, reach, peak, *keep)
            )
        return self._reals[key]


def _kind(rule: NeuronRule) -> tuple[int, int, int, int]:
    p = rule.population
    if p.kind == "dlif":
        return gradient_neurons.DLIF, 0, 0, p.gain_shift
    kind = gradient_neurons.EXTENDED if p.is_extended else gradient_neurons.PLAIN
    return kind, int(rule.subtracts), p.refractory_steps, 0


def _inner(component: Component, orders: Orders) -> _Inner:
    """Lay out the weights between a component's own populations."""
    index = {name: i for i, name in enumerate(component.names)}
    sizes = {rule.name: rule.size for rule in component.rules}
    table: list[tuple[int, ...]] = []
    dense: list[NDArray[np.int64]] = []
    pool: list[NDArray[np.uint8]] = []
    dense_slopes: list[NDArray[np.float64]] = []
    indptr: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    indices: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.int64]] = []
    slopes: list[NDArray[np.floating]] = []
    for slot in component.loops:
        to, of = (orders.places(n, sizes[n]) for n in (slot.target, slot.source))
        factor = 2.0**slot.exponent
        ends = index[slot.source], index[slot.target], slot.delay
        rule = slot.exponent, int(slot.wraps_at_24_bits)
        if slot.layout is None:
            matrix = slot.weight[to][:, of].astype(np.int64)
            in_bytes = byte_rows(matrix, max(slot.exponent, 0))
            panels_at = sum(x.size for x in dense_slopes)
            dense_slopes.append(vector_products.panels(matrix * factor))
            if in_bytes is None:
                form, first = gradient_recurrence.ROWS_OF_INTEGERS, sum(x.size for x in dense)
                dense.append(matrix.T.ravel())
                table.append((*ends, *rule, form, first, panels_at, 0, 0, 0, 0))
                continue
            form, first = gradient_recurrence.ROWS_OF_BYTES, sum(x.size for x in pool)
            pool.append(in_bytes.pool)
            how = in_bytes.row, in_bytes.offset, in_bytes.left, first + in_bytes.pool.size
            table.append((*ends, *rule, form, first, panels_at, *how))
            continue
        first, entries = sum(x.size for x in indptr) - 1, sum(x.size for x in indices)
        table.append((*ends, *rule, gradient_recurrence.LISTED, first, 0, 0, 0, 0, 0))
        rows = _rows_by_source(slot, to, of)
        indptr.append(rows[0][1:] + entries)
        indices.append(rows[1])
        weights.append(rows[2])
        slopes.append(rows[2] * factor)
    return _Inner(
        table=np.array(table, np.int64).reshape(-1, 12),
        dense=_joined(dense, np.int32),
        pool=_joined(pool, np.uint8),
        dense_slopes=_joined(dense_slopes, np.float64),
        indptr=_joined(indptr, np.int64),
        indices=_joined(indices, np.int32),
        weights=_joined(weights, np.int32),
        slopes=_joined(slopes, np.float64),
    )


def _rows_by_source(
    slot: Slot, to: NDArray[np.int64], of: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    indptr, source, weight = slot.rows()
    target = np.repeat(np.arange(to.size), np.diff(indptr))
    return compressed(np.argsort(of)[source], np.argsort(to)[target], weight, of.size)


def _joined(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)
