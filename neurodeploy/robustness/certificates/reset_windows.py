"""States of a population told apart by the step of the last reset.

Two bounds meet in each state: the step-by-step recursion, and the membrane as one weighted sum of
the input since that reset, which knows which of the senders' spikes go together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurodeploy.network import ALIGN_BITS, FixedPopulation
from neurodeploy.robustness.certificates import intervals, neuron_bounds
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.intervals import Flags, Interval
from neurodeploy.robustness.certificates.joint_drive import JointDrive
from neurodeploy.robustness.certificates.linear_response import alike, response
from neurodeploy.robustness.certificates.neuron_bounds import StepBounds
from neurodeploy.robustness.certificates.run_bounds import PopulationBounds, stacked
from neurodeploy.robustness.certificates.synapse_bounds import Slot
from neurodeploy.robustness.certificates.trains import ResetTrains, Trains
from neurodeploy.robustness.certificates.weighted_input import earlier, mixed, slot_sums

#: Floats above this are cut, far beyond any membrane.
_BEYOND = 2.0**52


class ResetStates:
    """Membranes of a population after some steps, one state for each step of the last reset.

    State q (0 for the start): ``v[q]``, whether it is ``possible[q]`` that the last reset was at
    step q, and whether v may have been ``clipped[q]`` since; all [B, N].
    """

    def __init__(self, p: FixedPopulation, shape: tuple[int, ...]) -> None:
        self._threshold = p.v_threshold.astype(np.int64) << ALIGN_BITS
        self._shape = shape
        self.v = [neuron_bounds.start(p, shape).v]
        self.possible: list[Flags] = [np.ones(shape, np.bool_)]
        self.clipped: list[Flags] = [np.zeros(shape, np.bool_)]

    def advance(self, q: int, full: Interval) -> tuple[Flags, Interval]:
        """Move state ``q`` on to v within ``full``, unclipped; return where it may fire, and v."""
        v_pre, cut = intervals.clip(full)
        here = self.possible[q] & (full.lo <= full.hi)
        above, may_be_above = intervals.exceeds(v_pre, self._threshold)
        self.possible[q] = here & ~above
        self.v[q] = Interval(v_pre.lo, np.minimum(v_pre.hi, self._threshold))
        self.clipped[q] = self.clipped[q] | cut
        return here & may_be_above, intervals.where_possible(here, v_pre)

    def add_reset(self, fired: Flags) -> None:
        """Open the state of a reset in this step, possible where ``fired``."""
        self.v.append(intervals.exactly(np.zeros(self._shape, np.int64)))
        self.possible.append(fired)
        self.clipped.append(np.zeros(self._shape, np.bool_))

    def membrane(self) -> Interval:
        """Return what v may be now, whatever the last reset."""
        states = [
            intervals.where_possible(may, v) for may, v in zip(self.possible, self.v, strict=True)
        ]
        return intervals.hull_of(states)


def reset_bounds(
    p: FixedPopulation,
    slots: tuple[Slot, ...],
    inputs: InputBounds,
    trains: Mapping[str, Trains],
    run: Sequence[StepBounds],
    a: Sequence[Interval],
    drives: Mapping[str, JointDrive],
) -> PopulationBounds:
    """Bound ``p``, which must be linear between resets.

    ``run`` and ``a`` are the step-by-step bounds of its states and its synaptic input; ``drives``
    says of senders how their inputs hang together, where that is to be used.
    """
    threshold = p.v_threshold.astype(np.int64) << ALIGN_BITS
    shape, steps = run[0].v_pre.lo.shape, inputs.steps
    states, before = ResetStates(p, shape), neuron_bounds.start(p, shape)
    wrapped = np.zeros(shape, np.bool_)
    follows = np.zeros((steps, steps, *shape), np.bool_)
    v, v_pre = [], []
    for t in range(1, steps + 1):
        resets = [q for q in range(t) if q == 0 or states.possible[q].any()]
        windows = membrane_windows(p, slots, inputs, trains, t, resets)
        wrapped = wrapped | run[t - 1].wraps
        seen = []
        for q, low, high in zip(resets, *windows, strict=True):
            _, full, _ = neuron_bounds.membrane(p, before._replace(v=states.v[q]), a[t - 1], t)
            known = ~(wrapped | states.clipped[q])
            window = Interval(low, high)
            met = intervals.choose(known, intervals.meet(full, window), full)
            open_yet = known & states.possible[q] & (met.lo <= threshold) & (met.hi > threshold)
            if drives and open_yet.any():
                window = narrowed(p, slots, drives, window, open_yet, (q, t))
                met = intervals.choose(open_yet, intervals.meet(met, window), met)
            follows[q, t - 1], membrane = states.advance(q, met)
            seen.append(membrane)
        states.add_reset(np.asarray(follows[:t, t - 1].any(axis=0)))
        before = run[t - 1].after
        v.append(intervals.meet(states.membrane(), before.v))
        v_pre.append(intervals.meet(intervals.hull_of(seen), run[t - 1].v_pre))
    return PopulationBounds(
        trains=ResetTrains(follows, np.stack(states.possible)),
        u=stacked([s.after.u for s in run]),
        v=stacked(v),
        v_pre=stacked(v_pre),
        wraps=np.stack([s.wraps for s in run]),
        clamps=np.stack([s.clamps for s in run]),
    )


def narrowed(
    p: FixedPopulation,
    slots: tuple[Slot, ...],
    drives: Mapping[str, JointDrive],
    window: Interval,
    where: Flags,
    span: tuple[int, int],
) -> Interval:
    """Return ``window`` [B, N] of last reset and step ``span``, narrowed ``where`` asked for.

    By how much senders that share their codes reach less than each at its own worst.
    """
    rise, fall = np.zeros((2, *where.shape))
    q, t = span
    for neurons in alike(p):
        for slot in slots:
            if slot.source not in drives or not isinstance(slot.weight, np.ndarray):
                continue
            drive = drives[slot.source]
            weights = response(p, neurons, t, drive.listed.lowest.shape[1]).weights[q]
            rows = slot.weight[neurons] * 2.0**slot.exponent
            up, down = drive.gains(earlier(weights[None], slot.delay)[0], rows, where[:, neurons])
            rise[:, neurons] += up
            fall[:, neurons] += down
    # The ends were rounded outward to whole numbers, by less than 1.
    return Interval(
        np.where(rise > 1, window.lo + np.ceil(rise - 1).astype(np.int64), window.lo),
        np.where(fall > 1, window.hi - np.ceil(fall - 1).astype(np.int64), window.hi),
    )


def membrane_windows(
    p: FixedPopulation,
    slots: tuple[Slot, ...],
    inputs: InputBounds,
    trains: Mapping[str, Trains],
    t: int,
    resets: Sequence[int],
) -> Interval:
    """Return bounds [resets, B, N] of v before its clip at step ``t``, for some last resets."""
    low, high = np.empty((2, len(resets), inputs.batch, p.size))
    for neurons in alike(p):
        weights, least, most = (x[resets] for x in response(p, neurons, t, inputs.steps))
        lower, upper = least[:, None], most[:, None]
        for slot in slots:
            sums = slot_sums(slot, weights, inputs, trains)
            less, more = mixed(sums, neurons)
            taken, given = sums.floors
            lower, upper = lower + less - taken, upper + more + given
        low[:, :, neurons], high[:, :, neurons] = lower, upper
    low, high = np.clip(low, -_BEYOND, _BEYOND), np.clip(high, -_BEYOND, _BEYOND)
    return Interval(np.ceil(low).astype(np.int64), np.floor(high).astype(np.int64))
