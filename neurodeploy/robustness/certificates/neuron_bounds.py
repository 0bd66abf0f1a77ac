"""One step of a population on intervals: three-valued spikes, and every state that may follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodeploy.network import FixedPopulation
from neurodeploy.network.registers import ALIGN_BITS
from neurodeploy.robustness.certificates import intervals
from neurodeploy.robustness.certificates.intervals import ALL, Flags, Integers, Interval

#: |x| from which a dlif's input counts as a wrap.
_X_LIMIT = 2**17


class NeuronBounds(NamedTuple):
    """What a population's states may be after a step; ``wait``: steps left in which it is held."""

    u: Interval
    v: Interval
    wait: Interval


class StepBounds(NamedTuple):
    """What one step may do: state after it, spikes 0..1, v before reset, and where it may wrap."""

    after: NeuronBounds
    spikes: Interval
    v_pre: Interval
    wraps: Flags
    clamps: Flags


def start(
    p: FixedPopulation, shape: tuple[int, ...], cells: slice | Integers = ALL
) -> NeuronBounds:
    """Return the state before the first step; ``shape`` ends in the number of ``cells``."""
    zero = intervals.exactly(np.zeros(shape, np.int64))
    first = (p.u_init[cells], p.v_init[cells])
    u, v = (intervals.exactly(np.broadcast_to(x, shape)) for x in first)
    return NeuronBounds(u, v, zero)


def step(
    p: FixedPopulation,
    state: NeuronBounds,
    a: Interval,
    t: int,
    cells: slice | Integers = ALL,
) -> StepBounds:
    """Bound logical step ``t`` (from 1) of ``p`` under a synaptic input within ``a``.

    ``cells`` says which neuron each last-axis entry is, where that is not all of them in order.
    """
    if p.resets_at(t + p.latency):
        zero = intervals.exactly(np.zeros(state.v.lo.shape, np.int64))
        state = NeuronBounds(zero, zero, zero)
    u, full, wraps = membrane(p, state, a, t, cells)
    return _fire(p, NeuronBounds(u, state.v, state.wait), full, wraps, cells)


def membrane(
    p: FixedPopulation, state: NeuronBounds, a: Interval, t: int, cells: slice | Integers = ALL
) -> tuple[Interval, Interval, Flags]:
    """Return u, v before its clip, and where u or the input may wrap, at logical step ``t``."""
    if p.kind == "dlif":
        return state.u, *_dlif_membrane(p, state.v, a, t, cells)
    return _lif_membrane(p, state, a, cells)


def _lif_membrane(
    p: FixedPopulation, state: NeuronBounds, a: Interval, cells: slice | Integers
) -> tuple[Interval, Interval, Flags]:
    """Return u, v before its clip, and where u or its input may wrap."""
    aligned = intervals.shift(a, ALIGN_BITS)
    current, left = intervals.wrap32(aligned)
    keep_u = 4095 - p.decay_u[cells].astype(np.int64)
    inner = intervals.add(intervals.decay(state.u, keep_u), current)
    u, wrapped = intervals.wrap24_once(intervals.wrap32(inner)[0])
    # The flag goes by the value before the wrap to 32 bits.
    wrapped |= intervals.wrap24_once(inner)[1]
    kept = intervals.decay(state.v, 4096 - p.decay_v[cells].astype(np.int64))
    moved = intervals.offset(u, p.bias_shifted[cells].astype(np.int64))
    full, _ = intervals.wrap32(intervals.add(kept, moved))
    return u, full, left | wrapped


def gain_at(p: FixedPopulation, t: int) -> int:
    """Return the mantissa of a dlif's gain at its step ``t``: after the last entry, the last."""
    assert p.gain is not None  # noqa: S101  (a dlif has one)
    return int(p.gain[min(t, p.gain.size) - 1])


def _dlif_membrane(
    p: FixedPopulation, v: Interval, a: Interval, t: int, cells: slice | Integers
) -> tuple[Interval, Flags]:
    """Return v before its clip, and where the input counts as a wrap."""
    driven = intervals.offset(a, p.bias[cells].astype(np.int64))
    x = intervals.shift(intervals.scale(driven, gain_at(p, t)), -p.gain_shift)
    kept = intervals.decay(v, 4096 - p.decay_v[cells].astype(np.int64))
    wraps = (x.hi >= _X_LIMIT) | (x.lo <= -_X_LIMIT)
    return intervals.add(kept, intervals.shift(x, ALIGN_BITS)), wraps


def _fire(
    p: FixedPopulation, state: NeuronBounds, full: Interval, wraps: Flags, cells: slice | Integers
) -> StepBounds:
    """Bound spikes, v and wait. A neuron that may wait may also be held at the v it had."""
    threshold = p.v_threshold[cells].astype(np.int64) << ALIGN_BITS
    free_v, clamps = intervals.clip(full)
    may_be_free = state.wait.lo <= 0
    may_be_held = state.wait.hi > 0
    clamps &= may_be_free
    above, may_be_above = intervals.exceeds(free_v, threshold)
    may_fire, must_fire = may_be_free & may_be_above, ~may_be_held & above
    may_rest = may_be_free & ~above
    v_pre = _hull((may_be_free, free_v), (may_be_held, state.v))
    v = _hull(
        (may_fire, _after_spike(p, free_v, threshold)),
        (may_rest, Interval(free_v.lo, np.minimum(free_v.hi, threshold))),
        (may_be_held, state.v),
    )
    none, pause = np.zeros_like(threshold), np.full_like(threshold, p.refractory_steps)
    wait = _hull(
        (may_fire, intervals.exactly(pause)),
        (may_rest, intervals.exactly(none)),
        (may_be_held, Interval(np.maximum(state.wait.lo, 1) - 1, state.wait.hi - 1)),
    )
    spikes = Interval(must_fire.astype(np.int64), may_fire.astype(np.int64))
    return StepBounds(NeuronBounds(state.u, v, wait), spikes, v_pre, wraps, clamps)


def _after_spike(p: FixedPopulation, v_pre: Interval, threshold: Integers) -> Interval:
    """Return v after a reset; before it, v was above the threshold."""
    if p.reset == "subtract":
        above = Interval(np.maximum(v_pre.lo, threshold + 1), v_pre.hi)
        return Interval(above.lo - threshold, above.hi - threshold)
    zero = np.zeros_like(v_pre.lo)
    return Interval(zero, zero)


def _hull(*cases: tuple[Flags, Interval]) -> Interval:
    """Return the hull of the cases that may happen; of each neuron, at least one may."""
    return intervals.hull_of([intervals.where_possible(may, x) for may, x in cases])
