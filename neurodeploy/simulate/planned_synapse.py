"""One synapse made ready to run: its weights as segments, one set for each delay, and bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.fixed_synapse import ConvLayout, FixedSynapse
from neurodeploy.simulate.byte_rows import ByteRows, byte_rows
from neurodeploy.simulate.folded_conv import FoldedConv, folded
from neurodeploy.simulate.segments import (
    Segments,
    conv_fan_out,
    conv_segments,
    dense_segments,
    listed_segments,
)

#: Share of weights other than zero below which a matrix is cut into stretches.
_DENSE_FROM = 0.3

Order = NDArray[np.int64] | None


@dataclass(frozen=True, slots=True, eq=False)
class PlannedSlot:
    """The weights of one delay, in logical steps: one sum, with a shift of its own.

    ``bound`` is the largest magnitude of the shifted sum per unit of payload, ``raw_bound`` that
    of the sum before the shift. ``rows`` are the same weights as bytes, where they fit.
    """

    delay: int
    segments: Segments
    bound: int
    raw_bound: int
    rows: ByteRows | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PlannedSynapse:
    """A synapse's slots, by ascending delay.

    ``right_shift`` is minus a negative exponent, else 0 (positive ones are in the weights).
    ``fan_out`` int64 [sources] is in the engine's order of the source. ``folded``: a convolution
    over all steps at once, where there is one.
    """

    name: str
    source: str
    slots: tuple[PlannedSlot, ...]
    exponent: int
    right_shift: np.int32
    graded: bool
    is_conv: bool
    fan_out: NDArray[np.int64]
    folded: FoldedConv | None = None


def plan_synapse(
    synapse: FixedSynapse, source_order: Order, target_order: Order, shift: int
) -> PlannedSynapse:
    """Prepare ``synapse``.

    Parameters
    ----------
    synapse : FixedSynapse
    source_order, target_order : int64 or None
        Which value in C order each of the engine's is.
    shift : int
        Logical minus hardware delay.
    """
    source = np.arange(synapse.size_in) if source_order is None else source_order
    target = np.arange(synapse.size_out) if target_order is None else target_order
    fan_out, all_at_once = None, None
    slots: tuple[PlannedSlot, ...]
    if isinstance(synapse.layout, ConvLayout) and _fits(synapse.layout, target_order):
        slots = (_conv_slot(synapse.weight, synapse.layout, source, shift),)
        fan_out = conv_fan_out(synapse.weight, synapse.layout)
        all_at_once = folded(synapse.weight, synapse.layout, source)
    elif synapse.layout is None:
        slots = tuple(_matrix_slot(synapse, d, source, target, shift) for d in synapse.delays)
    else:
        slots, fan_out = _listed_slots(synapse, source, target, shift)
    return PlannedSynapse(
        name=synapse.name,
        source=synapse.source,
        slots=slots,
        exponent=synapse.weight_exp,
        right_shift=np.int32(max(-synapse.weight_exp, 0)),
        graded=synapse.message_bits > 0,
        is_conv=synapse.kind == "conv",
        fan_out=(synapse.fan_out if fan_out is None else fan_out)[source],
        folded=all_at_once,
    )


def _fits(layout: ConvLayout, target_order: Order) -> bool:
    """Whether the target is held as the convolution's output (H, W, C)."""
    c, h, w = layout.output_shape
    wanted = np.arange(c * h * w).reshape(c, h, w).transpose(1, 2, 0).ravel()
    held = np.arange(wanted.size) if target_order is None else target_order
    return bool((wanted == held).all())


def _slot(
    delay: int, segments: Segments, positive: int, negative: int, exponent: int,
    rows: ByteRows | None = None,
) -> PlannedSlot:  # fmt: skip
    raw = max(positive, negative)
    # A floor can add one to the magnitude of a negative sum.
    bound = raw << exponent if exponent > 0 else (raw >> -exponent) + 1
    return PlannedSlot(delay, segments, bound, raw, rows)


def _conv_slot(
    weight: NDArray[np.int32], layout: ConvLayout, source: NDArray[np.int64], shift: int
) -> PlannedSlot:
    wide = weight.astype(np.int64).reshape(weight.shape[0], -1)
    positive, negative = (np.maximum(sign * wide, 0).sum(axis=1).max() for sign in (1, -1))
    segments = conv_segments(weight, layout, source)
    return _slot(shift, segments, int(positive), int(negative), 0)


def _matrix_slot(
    synapse: FixedSynapse,
    delay: int,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    shift: int,
) -> PlannedSlot:
    weight = synapse.weight.astype(np.int64)
    if not isinstance(synapse.delay, int):
        weight = np.where(synapse.delay == delay, weight, 0)
    weight = weight[target][:, source]
    positive, negative = (np.maximum(s * weight, 0).sum(axis=1).max() for s in (1, -1))
    left = max(synapse.weight_exp, 0)
    rows = None
    if np.count_nonzero(weight) >= _DENSE_FROM * weight.size:
        segments = dense_segments(weight, left)
        rows = byte_rows(weight, left)
    else:
        by_source = np.ascontiguousarray(weight.T)
        sources, targets = np.nonzero(by_source)
        values = by_source[sources, targets]
        segments = listed_segments(targets, sources, values, source.size, left)
    return _slot(delay + shift, segments, int(positive), int(negative), synapse.weight_exp, rows)


def _listed_slots(
    synapse: FixedSynapse, source: NDArray[np.int64], target: NDArray[np.int64], shift: int
) -> tuple[tuple[PlannedSlot, ...], NDArray[np.int64]]:
    """Return the slots of any synapse by its single connections, and its fan-out in C order."""
    c = synapse.connections()
    fan_out = np.bincount(c.source, minlength=source.size).astype(np.int64)
    targets, sources = _inverse(target)[c.target], _inverse(source)[c.source]
    order = np.lexsort((targets, sources))
    targets, sources, weights, delays = (x[order] for x in (targets, sources, c.weight, c.delay))
    slots = []
    for delay in np.unique(delays) if delays.size else np.array(synapse.delays[:1] or (0,)):
        now = delays == delay
        segments = listed_segments(
            targets[now], sources[now], weights[now], source.size, max(synapse.weight_exp, 0)
        )
        positive, negative = (
            np.bincount(
                targets[now], weights=np.maximum(s * weights[now], 0), minlength=target.size
            ).max(initial=0)
            for s in (1, -1)
        )
        slots.append(
            _slot(int(delay) + shift, segments, int(positive), int(negative), synapse.weight_exp)
        )
    return tuple(slots), fan_out


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return inverse
