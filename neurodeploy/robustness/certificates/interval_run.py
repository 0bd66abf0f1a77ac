"""Interval bounds of a whole run, step by step: the plain certificate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork
from neurodeploy.network.defined_rules import require_defined
from neurodeploy.robustness.certificates import intervals, neuron_bounds
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.intervals import Flags, Interval
from neurodeploy.robustness.certificates.neuron_bounds import NeuronBounds, StepBounds
from neurodeploy.robustness.certificates.run_bounds import (
    RunBounds,
    add_parts,
    population_bounds,
    spikes_of,
)
from neurodeploy.robustness.certificates.synapse_bounds import Slot, slots_into
from neurodeploy.robustness.certificates.trains import FreeTrains


@dataclass(slots=True, eq=False)
class _Underway:
    """One population so far."""

    slots: tuple[Slot, ...]
    state: NeuronBounds
    run: list[StepBounds] = field(default_factory=list)


def run_intervals(net: FixedPointNetwork, inputs: InputBounds) -> RunBounds:
    """Bound every step of ``net`` in aligned timing, under all inputs within ``inputs``.

    Sound for the integers that ``run_fixed(net, codes)`` computes: every u, v and spike of every
    such run lies in its interval. Populations may feed back: bounds are made in the order of time.

    Raises
    ------
    RangeError
        If a number lies outside what the rules define, or a sum can leave 60 bits.
    """
    require_defined(net)
    underway = {
        p.name: _Underway(slots_into(net, p.name), neuron_bounds.start(p, (inputs.batch, p.size)))
        for p in net.populations
    }
    steady: dict[Slot, tuple[Interval, Flags]] = {}
    for t in range(1, inputs.steps + 1):
        for p in net.populations:
            mine = underway[p.name]
            # Nothing arrives from before step 1.
            felt = [slot for slot in mine.slots if t - slot.delay >= 1]
            parts = [_part(slot, t - slot.delay, inputs, underway, steady) for slot in felt]
            a, left = add_parts((inputs.batch, p.size), parts)
            done = neuron_bounds.step(p, mine.state, a, t)
            mine.state = done.after
            mine.run.append(done._replace(wraps=done.wraps | left))
    return RunBounds(
        inputs,
        {
            name: population_bounds(mine.run, FreeTrains(spikes_of(mine.run)))
            for name, mine in underway.items()
        },
    )


def _part(
    slot: Slot,
    sent: int,
    inputs: InputBounds,
    underway: dict[str, _Underway],
    steady: dict[Slot, tuple[Interval, Flags]],
) -> tuple[Interval, Flags]:
    """Return what the slot brings of what was sent in step ``sent``."""
    if slot.source in underway:
        return slot.bounds(underway[slot.source].run[sent - 1].spikes)
    if slot.source == INPUT and not inputs.is_held:
        return slot.bounds(slot.message(inputs.at(sent)))
    if slot not in steady:
        one = intervals.exactly(np.ones((inputs.batch, 1), np.int64))
        message = one if slot.source == ALWAYS_ON else slot.message(inputs.codes)
        steady[slot] = slot.bounds(message)
    return steady[slot]
