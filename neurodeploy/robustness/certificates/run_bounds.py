"""What a run may do: spikes, trains, states, and where integers may leave their width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurodeploy.robustness.certificates import intervals
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.neuron_bounds import StepBounds
from neurodeploy.robustness.certificates.trains import Trains


@dataclass(frozen=True, slots=True, eq=False)
class PopulationBounds:
    """One population in steps 1..T; intervals and flags are [T, B, N].

    ``trains``: its spikes, three-valued, and what is known of those that go together. ``u``, ``v``
    after the step and ``v_pre`` before reset (``dlif`` has no u). ``wraps``, ``clamps``: where
    ``run_fixed`` may count one.
    """

    trains: Trains
    u: Interval
    v: Interval
    v_pre: Interval
    wraps: Flags
    clamps: Flags

    @property
    def unknown(self) -> Integers:
        """Spikes of each sample that may come or not, int64 [B]."""
        spikes = self.trains.steps
        return np.asarray((spikes.hi != spikes.lo).sum(axis=(0, 2)))


@dataclass(frozen=True, slots=True, eq=False)
class RunBounds:
    """What every population may do under all inputs within ``inputs``."""

    inputs: InputBounds
    populations: Mapping[str, PopulationBounds]

    @property
    def trains(self) -> dict[str, Trains]:
        """What is known of each population's spikes."""
        return {name: known.trains for name, known in self.populations.items()}


def stacked(parts: Sequence[Interval]) -> Interval:
    """Put intervals of one shape behind each other, along a new first axis."""
    return Interval(np.stack([x.lo for x in parts]), np.stack([x.hi for x in parts]))


def population_bounds(run: Sequence[StepBounds], trains: Trains) -> PopulationBounds:
    """Collect the steps of one population."""
    return PopulationBounds(
        trains=trains,
        u=stacked([s.after.u for s in run]),
        v=stacked([s.after.v for s in run]),
        v_pre=stacked([s.v_pre for s in run]),
        wraps=np.stack([s.wraps for s in run]),
        clamps=np.stack([s.clamps for s in run]),
    )


def spikes_of(run: Sequence[StepBounds]) -> Interval:
    """Return the three-valued spikes of the steps, [T, B, N]."""
    return stacked([s.spikes for s in run])


def add_parts(
    shape: tuple[int, int], parts: Sequence[tuple[Interval, Flags]]
) -> tuple[Interval, Flags]:
    """Return bounds of the sum of all parts as an int32, and where it may leave its width."""
    # Wrapping each partial sum or the whole once is the same: both are sums mod 2^32.
    total, left = intervals.exactly(np.zeros(shape, np.int64)), np.zeros(shape, np.bool_)
    for part, part_left in parts:
        total = intervals.add(total, part)
        left = left | part_left | intervals.wrap32(total)[1]
    return intervals.wrap32(total)[0], left
