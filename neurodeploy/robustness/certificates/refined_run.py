"""The refined certificate: after plain intervals, what each population's spike trains may be.

Populations are taken in update order. Each sees its senders' trains as far as they are known by
then (those that feed back: three-valued spikes), and is bounded step by step once more. Then

* a population that nothing but held codes drives has its trains listed, exactly (``drive_table``);
* one that is linear between its resets has its states told apart by the last reset
  (``reset_windows``);
* any other keeps three-valued spikes.

With ``joint`` bounds, neurons with listed trains are not each at their worst at once
(``joint_drive``). That costs most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping

from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, FixedPopulation
from neurodeploy.robustness.certificates import intervals, neuron_bounds
from neurodeploy.robustness.certificates.drive_table import drive_table
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.interval_run import run_intervals
from neurodeploy.robustness.certificates.intervals import Flags, Interval
from neurodeploy.robustness.certificates.joint_drive import JointDrive, joint_drive
from neurodeploy.robustness.certificates.linear_response import alike, is_linear
from neurodeploy.robustness.certificates.neuron_bounds import StepBounds
from neurodeploy.robustness.certificates.reset_windows import reset_bounds
from neurodeploy.robustness.certificates.run_bounds import (
    PopulationBounds,
    RunBounds,
    add_parts,
    population_bounds,
    spikes_of,
)
from neurodeploy.robustness.certificates.synapse_bounds import Slot, slots_into
from neurodeploy.robustness.certificates.trains import FreeTrains, Trains
from neurodeploy.robustness.certificates.weighted_input import messages

#: Longest run, and most groups of neurons with equal decays, for which trains are told apart:
#: the work grows with the square of the one and with the other.
_LONGEST_RUN, _MOST_GROUPS = 32, 16


def run_refined(net: FixedPointNetwork, inputs: InputBounds, *, joint: bool = True) -> RunBounds:
    """Bound ``net`` as ``run_intervals`` does, and at least as tightly.

    Raises
    ------
    RangeError
        As ``run_intervals``.
    """
    trains = run_intervals(net, inputs).trains
    drives: dict[str, JointDrive] = {}
    refined = {}
    for p in net.populations:
        known = _population(p, slots_into(net, p.name), inputs, trains, drives if joint else None)
        refined[p.name] = known
        trains[p.name] = known.trains
    return RunBounds(inputs, refined)


def _population(
    p: FixedPopulation,
    slots: tuple[Slot, ...],
    inputs: InputBounds,
    trains: Mapping[str, Trains],
    drives: dict[str, JointDrive] | None,
) -> PopulationBounds:
    """Bound one population; one with listed trains is added to ``drives`` if there are any."""
    a, left = synaptic_input(p, slots, inputs, trains)
    run = steps_under(p, inputs, a, left)
    if inputs.steps <= _LONGEST_RUN:
        steady = all(s.source in (INPUT, ALWAYS_ON) and s.delay == 0 for s in slots)
        if inputs.is_held and steady:
            table = drive_table(p, a[0], inputs.steps)
            listed = table.trains(a[0])
            if drives is not None:
                drive = joint_drive(listed, table.start, a[0], slots, inputs, left[0])
                drives.update({} if drive is None else {p.name: drive})
            return population_bounds(run, listed)
        if is_linear(p) and len(alike(p)) <= _MOST_GROUPS:
            return reset_bounds(p, slots, inputs, trains, run, a, drives or {})
    spikes = intervals.meet(spikes_of(run), trains[p.name].steps)
    return population_bounds(run, FreeTrains(spikes))


def synaptic_input(
    p: FixedPopulation,
    slots: tuple[Slot, ...],
    inputs: InputBounds,
    trains: Mapping[str, Trains],
) -> tuple[list[Interval], list[Flags]]:
    """Return bounds [B, N] of the synaptic input in each step, and where it may leave its width."""
    sent = {slot: messages(slot, inputs, trains).steps for slot in slots}
    steady: dict[Slot, tuple[Interval, Flags]] = {}

    def part(slot: Slot, t: int) -> tuple[Interval, Flags]:
        lo, hi = sent[slot]
        if slot in steady:
            return steady[slot]
        made = slot.bounds(Interval(lo[t - slot.delay - 1], hi[t - slot.delay - 1]))
        if lo.strides[0] == 0:  # one message for all steps
            steady[slot] = made
        return made

    a, left = [], []
    for t in range(1, inputs.steps + 1):
        parts = [part(slot, t) for slot in slots if t - slot.delay >= 1]
        total, beyond = add_parts((inputs.batch, p.size), parts)
        a.append(total)
        left.append(beyond)
    return a, left


def steps_under(
    p: FixedPopulation, inputs: InputBounds, a: list[Interval], left: list[Flags]
) -> list[StepBounds]:
    """Bound ``p`` step by step under the synaptic input ``a``."""
    state = neuron_bounds.start(p, (inputs.batch, p.size))
    run = []
    for t, (driven, beyond) in enumerate(zip(a, left, strict=True), start=1):
        done = neuron_bounds.step(p, state, driven, t)
        state = done.after
        run.append(done._replace(wraps=done.wraps | beyond))
    return run
