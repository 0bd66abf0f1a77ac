"""Exact spike trains of neurons that one constant input drives, as a table over that input.

A population that only held codes and the always-on line reach receives the same synaptic input in
every step. Its spike train is then a function of that one integer: constant on stretches, which
are found by halving intervals until each has one train.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodeploy.network import FixedPopulation
from neurodeploy.robustness.certificates import neuron_bounds
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.trains import ListedTrains

#: Intervals tried at most per neuron; beyond it, trains stay three-valued where they are.
_TRIES_PER_NEURON = 2**14


@dataclass(frozen=True, slots=True, eq=False)
class DriveTable:
    """Stretches of the input, by neuron and ascending: where each starts, and its train.

    ``neuron``, ``start`` int64 [S]; ``lowest``, ``highest`` bool [S, T].
    """

    neuron: Integers
    start: Integers
    lowest: Flags
    highest: Flags
    drive: Interval

    def trains(self, a: Interval) -> ListedTrains:
        """Return the trains for inputs within ``a`` [B, N], inside what the table covers."""
        # One ascending key for both: the neuron, then the input above the table's least.
        least = int(self.drive.lo.min())
        width = int(self.drive.hi.max()) - least + 1
        keys = self.neuron * width + (self.start - least)
        neurons = np.arange(a.lo.shape[-1]) * width - least
        first = np.searchsorted(keys, a.lo + neurons, side="right") - 1
        last = np.searchsorted(keys, a.hi + neurons, side="right") - 1
        return ListedTrains(self.lowest, self.highest, first, last)


def drive_table(p: FixedPopulation, a: Interval, steps: int) -> DriveTable:
    """Tabulate the trains of ``p`` for every constant input within ``a`` [B, N] of any sample."""
    drive = Interval(a.lo.min(axis=0), a.hi.max(axis=0))
    neuron, lo, hi = np.arange(p.size), drive.lo, drive.hi
    budget = _TRIES_PER_NEURON * p.size
    found: list[tuple[Integers, Integers, Flags, Flags]] = []
    while neuron.size:
        budget -= neuron.size
        spikes = _spikes(p, neuron, Interval(lo, hi), steps)
        whole = (spikes.lo == spikes.hi).all(axis=0) | (lo == hi) | (budget < 0)
        lowest, highest = spikes.lo.T.astype(np.bool_), spikes.hi.T.astype(np.bool_)
        found.append((neuron[whole], lo[whole], lowest[whole], highest[whole]))
        neuron, lo, hi = neuron[~whole], lo[~whole], hi[~whole]
        middle = lo + (hi - lo) // 2
        neuron = np.concatenate([neuron, neuron])
        lo, hi = np.concatenate([lo, middle + 1]), np.concatenate([middle, hi])
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    neuron, start, lowest, highest = (column[order] for column in columns)
    same = (np.diff(neuron) == 0) & (lowest[1:] == lowest[:-1]).all(axis=1)
    same &= (highest[1:] == highest[:-1]).all(axis=1)
    kept = np.concatenate([[True], ~same])
    return DriveTable(neuron[kept], start[kept], lowest[kept], highest[kept], drive)


def _spikes(p: FixedPopulation, neuron: Integers, a: Interval, steps: int) -> Interval:
    """Return three-valued spikes [T, M] of neurons under constant inputs within ``a`` [M]."""
    state = neuron_bounds.start(p, neuron.shape, neuron)
    lows, highs = [], []
    for t in range(1, steps + 1):
        done = neuron_bounds.step(p, state, a, t, neuron)
        state = done.after
        lows.append(done.spikes.lo)
        highs.append(done.spikes.hi)
    return Interval(np.stack(lows), np.stack(highs))
