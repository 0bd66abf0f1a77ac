"""Exact spike trains of neurons that one constant input drives, as a table over that input.

A population that only held codes and the always-on line reach receives the same synaptic input in
every step. Its spike train is then a function of that one integer: constant on stretches, which
are found by halving intervals until each has one train. Equal neurons share their part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodeploy.network import FixedPopulation
from neurodeploy.robustness.certificates import neuron_bounds
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.trains import ListedTrains

#: Intervals tried at most; beyond it, trains stay three-valued where they are.
_TRIES = 2**21
_PARAMETERS = ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init")


@dataclass(frozen=True, slots=True, eq=False)
class DriveTable:
    """Stretches of the input by kind of neuron, ascending: where each starts, and its train.

    ``kind``, ``start`` int64 [S]; ``lowest``, ``highest`` bool [S, T]; ``kinds`` int64 [N]: the
    kind of each neuron; ``drive``: the inputs covered.
    """

    kind: Integers
    start: Integers
    lowest: Flags
    highest: Flags
    kinds: Integers
    drive: Interval

    def trains(self, a: Interval) -> ListedTrains:
        """Return the trains for inputs within ``a`` [B, N], inside what the table covers."""
        # One ascending key for both: the kind, then the input above the table's least.
        least = int(self.drive.lo.min())
        width = int(self.drive.hi.max()) - least + 1
        keys = self.kind * width + (self.start - least)
        neurons = self.kinds * width - least
        first = np.searchsorted(keys, a.lo + neurons, side="right") - 1
        last = np.searchsorted(keys, a.hi + neurons, side="right") - 1
        return ListedTrains(self.lowest, self.highest, first, last)


def drive_table(p: FixedPopulation, a: Interval, steps: int) -> DriveTable:
    """Tabulate the trains of ``p`` for every constant input within ``a`` [B, N] of any sample."""
    every = np.stack([getattr(p, name) for name in _PARAMETERS])
    _, model, kinds = np.unique(every, axis=1, return_index=True, return_inverse=True)
    kinds = np.ravel(kinds)
    drive = Interval(np.full(model.size, a.lo.max()), np.full(model.size, a.hi.min()))
    np.minimum.at(drive.lo, kinds, a.lo.min(axis=0))
    np.maximum.at(drive.hi, kinds, a.hi.max(axis=0))
    kind, (lo, hi), left = np.arange(model.size), drive, _TRIES
    found: list[tuple[Integers, Integers, Flags, Flags]] = []
    while kind.size:
        left -= kind.size
        spikes = _spikes(p, model[kind], Interval(lo, hi), steps)
        whole = (spikes.lo == spikes.hi).all(axis=0) | (lo == hi) | (left < 0)
        lowest, highest = spikes.lo.T.astype(np.bool_), spikes.hi.T.astype(np.bool_)
        found.append((kind[whole], lo[whole], lowest[whole], highest[whole]))
        kind, lo, hi = kind[~whole], lo[~whole], hi[~whole]
        middle = lo + (hi - lo) // 2
        kind = np.concatenate([kind, kind])
        lo, hi = np.concatenate([lo, middle + 1]), np.concatenate([middle, hi])
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    kind, start, lowest, highest = (column[order] for column in columns)
    same = (np.diff(kind) == 0) & (lowest[1:] == lowest[:-1]).all(axis=1)
    same &= (highest[1:] == highest[:-1]).all(axis=1)
    kept = np.concatenate([[True], ~same])
    return DriveTable(kind[kept], start[kept], lowest[kept], highest[kept], kinds, drive)


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
