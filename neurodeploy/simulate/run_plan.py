"""A fixed-point network made ready to run: segments of weights, factors, bounds, and an order.

The bounds decide, before a run, which kernels are exact for a population: int32 where no input can
leave what their overflow counts cover, int64 otherwise.

Inside a run, targets of convolutions and of sparse matrices that have channels are held (H, W, C),
so that an event meets few long stretches of neighbouring targets. Records and parameters outside
are in C order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.arrays import IntArray
from neurodeploy.network.connections import ALWAYS_ON
from neurodeploy.network.defined_rules import require_defined
from neurodeploy.network.fixed import (
    ALIGN_BITS,
    V_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)
from neurodeploy.simulate.aligned import aligned_zeros
from neurodeploy.simulate.lanes import LANES
from neurodeploy.simulate.planned_synapse import PlannedSynapse, plan_synapse

#: |a| up to which one wrap brings u back into 24 bits whatever it was before.
_ONE_WRAP_LIMIT = 2**18
#: |a| up to which ``a << 6`` and one more 24-bit number fit 32 bits.
_NO_MEMORY_LIMIT = 2**24
_LIMIT_32 = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPopulation:
    """A population with its factors in the units and the order that the kernels use.

    Rows of parameters and states are padded to whole vectors, with neurons that never fire.
    ``order`` int64 [N] says which neuron in C order each one of the engine is; None if the same.
    ``room`` is the number of values in a row of its synaptic input. ``limit`` is the largest |a|
    for which the int32 kernel is exact in every count; -1 if none. ``quiet`` is the largest |a|
    at which u never leaves 24 bits. ``extension`` is (1 if a spike
    subtracts the threshold else 0, refractory steps).
    """

    population: FixedPopulation
    synapses: tuple[PlannedSynapse, ...]
    order: NDArray[np.int64] | None
    room: int
    keep_u: IntArray
    keep_v: IntArray
    bias: IntArray
    threshold: IntArray
    u_init: IntArray
    v_init: IntArray
    extension: tuple[np.int32, np.int32]
    limit: int
    quiet: int

    @property
    def name(self) -> str:
        """The population's name."""
        return self.population.name

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.population.size

    @property
    def is_plain_lif(self) -> bool:
        """Whether the neurons are Lava's own: a spike resets v to zero, and nothing waits."""
        return self.population.kind != "dlif" and not self.population.is_extended

    def gain(self, first: int, last: int) -> IntArray:
        """Return the ``dlif`` gains of logical steps ``first`` .. ``last - 1`` (from 0)."""
        values = self.population.gain
        if values is None:
            return np.empty(0, np.int32)
        return values[np.minimum(np.arange(first, last), values.size - 1)]

    def resets(self, first: int, last: int) -> NDArray[np.uint8]:
        """Return where a periodic reset opens the logical steps ``first`` .. ``last - 1``."""
        p = self.population
        if p.reset_interval == 0:
            return np.zeros(last - first, np.uint8)
        hardware = np.arange(first + 1, last + 1) + p.latency
        due: NDArray[np.bool_] = hardware % p.reset_interval == p.reset_offset % p.reset_interval
        return due.astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Populations that need each other's past: they run ``span`` steps at a time, in turn.

    ``span`` 0: nothing returns, so that any number of steps will do.
    """

    members: tuple[PlannedPopulation, ...]
    span: int


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """All populations in update order, by group, and how far back each source is read."""

    groups: tuple[Group, ...]
    history: dict[str, int]

    @property
    def populations(self) -> tuple[PlannedPopulation, ...]:
        """All populations, in update order."""
        return tuple(p for group in self.groups for p in group.members)


@lru_cache(maxsize=4)
def plan_run(net: FixedPointNetwork) -> RunPlan:
    """Prepare every population of ``net``; the last few networks' plans are kept.

    Raises
    ------
    RangeError
        If a decay, gain, shift or threshold lies outside what the rules define.
    """
    require_defined(net)
    orders = {p.name: _channels_last(net, p) for p in net.populations}
    planned = tuple(_plan_population(net, p, orders) for p in net.populations)
    history: dict[str, int] = {}
    for made in planned:
        for synapse in made.synapses:
            longest = max(slot.delay for slot in synapse.slots)
            history[synapse.source] = max(history.get(synapse.source, 0), longest)
    return RunPlan(_groups(planned), history)


def _groups(populations: tuple[PlannedPopulation, ...]) -> tuple[Group, ...]:
    """Cut the update order wherever no synapse runs back across the cut."""
    place = {p.name: i for i, p in enumerate(populations)}
    # Each: first and last population of a group, and its shortest way back.
    spans: list[tuple[int, int, int]] = []
    for i, p in enumerate(populations):
        spans.append((i, i, 0))
        for synapse in p.synapses:
            source = place.get(synapse.source, -1)
            if source >= i:
                spans.append((i, source, min(slot.delay for slot in synapse.slots)))
    merged: list[tuple[int, int, int]] = []
    for first, last, span in sorted(spans):
        if merged and first <= merged[-1][1]:
            before = merged.pop()
            shortest = min((s for s in (before[2], span) if s), default=0)
            merged.append((before[0], max(before[1], last), shortest))
        else:
            merged.append((first, last, span))
    return tuple(Group(populations[first : last + 1], span) for first, last, span in merged)


def _channels_last(net: FixedPointNetwork, p: FixedPopulation) -> NDArray[np.int64] | None:
    """Return the order (H, W, C) of a population's neurons where that helps its synapses."""
    into = net.synapses_into(p.name)
    layouts = [s.layout.output_shape for s in into if s.kind == "conv"]  # type: ignore[union-attr]
    shape: tuple[int, ...] = layouts[0] if layouts else p.shape
    if not any(s.kind in ("conv", "sparse") for s in into) or len(shape) != 3:
        return None
    if shape[0] == 1 or shape[1] * shape[2] == 1:
        return None
    return np.arange(p.size).reshape(shape).transpose(1, 2, 0).ravel()


def _plan_population(
    net: FixedPointNetwork, p: FixedPopulation, orders: dict[str, NDArray[np.int64] | None]
) -> PlannedPopulation:
    order = orders[p.name]
    places = np.arange(p.size) if order is None else order
    threshold = np.clip(p.v_threshold.astype(np.int64) << ALIGN_BITS, -V_MAX - 1, V_MAX)

    def ordered(values: NDArray[Any], padding: int = 0) -> IntArray:
        row = aligned_zeros((-(-p.size // LANES) * LANES,), np.int32)
        row[p.size :] = padding
        row[: p.size] = values[places]
        return row

    def planned(synapse: FixedSynapse) -> PlannedSynapse:
        # The same for every weight; the always-on line acts at each step, whatever its delay.
        shifts = np.ravel(net.logical_delay(synapse) - synapse.delay)
        steady = synapse.source == ALWAYS_ON or shifts.size == 0
        shift = 0 if steady else int(shifts[0])
        return plan_synapse(synapse, orders.get(synapse.source), order, shift)

    return PlannedPopulation(
        population=p,
        synapses=tuple(planned(s) for s in net.synapses_into(p.name)),
        order=order,
        # A last stretch may begin anywhere, and whole vectors are added.
        room=-(-(p.size + LANES - 1) // LANES) * LANES,
        keep_u=ordered(4095 - p.decay_u),
        keep_v=ordered(4096 - p.decay_v),
        bias=ordered(p.bias_shifted),
        threshold=ordered(threshold, V_MAX),
        u_init=ordered(p.u_init),
        v_init=ordered(p.v_init),
        extension=(np.int32(p.reset == "subtract"), np.int32(min(p.refractory_steps, _LIMIT_32))),
        limit=_dlif_limit(p) if p.kind == "dlif" else _lif_limit(p),
        quiet=_quiet_limit(p),
    )


def _lif_limit(p: FixedPopulation) -> int:
    if np.abs(p.u_init.astype(np.int64)).max(initial=0) >= 2**23:
        return -1
    if np.abs(p.v_init.astype(np.int64)).max(initial=0) > V_MAX:
        return -1
    return _NO_MEMORY_LIMIT if (p.decay_u == 4095).all() else _ONE_WRAP_LIMIT


def _quiet_limit(p: FixedPopulation) -> int:
    """Largest |a| for which |u| <= V_MAX stays so: what decays and what comes add up to less."""
    if p.kind == "dlif":
        return -1
    kept = V_MAX * (4095 - int(p.decay_u.min(initial=4095))) >> 12
    return (V_MAX - kept - 1) >> ALIGN_BITS


def _dlif_limit(p: FixedPopulation) -> int:
    """Largest |a| for which the product and ``x << 6`` fit 32 bits."""
    if p.gain is None or np.abs(p.v_init.astype(np.int64)).max(initial=0) > V_MAX:
        return -1
    gain = max(1, int(p.gain.max()))
    product = min(_LIMIT_32, _NO_MEMORY_LIMIT << p.gain_shift)
    return product // gain - int(np.abs(p.bias.astype(np.int64)).max(initial=0))
