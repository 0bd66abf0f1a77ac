"""By how much the label's read-out leads every other class at least."""

from __future__ import annotations

import numpy as np

from neurodeploy.network import FixedPointNetwork, Readout
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.linear_response import alike, is_linear, response
from neurodeploy.robustness.certificates.run_bounds import PopulationBounds, RunBounds
from neurodeploy.robustness.certificates.synapse_bounds import slots_into
from neurodeploy.robustness.certificates.trains import Reals
from neurodeploy.robustness.certificates.weighted_input import mixed, slot_sums

_UNIT = 2.0**-52


def margins(net: FixedPointNetwork, bounds: RunBounds, labels: Integers) -> Integers:
    """Return a lower bound of score[label] - max(score[other]) over all inputs, int64 [B].

    Above 0, the network decides for the label on each of them: a tie is no decision for it.
    """
    readout = bounds.populations[net.readout.population]
    offset = _score_offset(net, bounds.inputs.steps)
    score = scores(net.readout, readout)
    separate = _separate(Interval(score.lo + offset, score.hi + offset), labels)
    return np.maximum(separate, _pairwise(net, bounds, readout, labels))


def scores(readout: Readout, bounds: PopulationBounds) -> Interval:
    """Return bounds [B, classes] of what ``network.read_out`` makes of a run without offsets."""
    steps = bounds.v.lo.shape[0]
    if readout.kind == "count":
        weights = np.zeros((1, steps))
        weights[0, slice(*readout.window or (0, steps))] = 1
        low, high = bounds.trains.sums(weights)
        # Sums of at most T ones are exact in floats.
        return Interval(low[0].astype(np.int64), high[0].astype(np.int64))
    start, stop = readout.window or (0, steps)
    lowest, highest = bounds.v.lo[start:stop], bounds.v.hi[start:stop]
    if readout.kind == "max_v":
        return Interval(lowest.max(axis=0), highest.max(axis=0))
    if readout.kind == "mean_v":
        return Interval(lowest.sum(axis=0), highest.sum(axis=0))
    if readout.kind == "sum" and start:
        return Interval(lowest[-1] - bounds.v.hi[start - 1], highest[-1] - bounds.v.lo[start - 1])
    return Interval(lowest[-1], highest[-1])


def _separate(score: Interval, labels: Integers) -> Integers:
    """Return the margin if every class went its own way."""
    rows = np.arange(labels.size)
    others = score.hi.copy()
    others[rows, labels] = -(2**61)
    return np.asarray(score.lo[rows, labels] - others.max(axis=1))


def _pairwise(
    net: FixedPointNetwork, bounds: RunBounds, readout: PopulationBounds, labels: Integers
) -> Integers:
    """Return the margin by differences of membranes, far below 0 where they say nothing.

    With equal decays, the difference of two membranes that never fire is one weighted sum of the
    senders' messages, by the differences of weights.
    """
    p, inputs = net.population(net.readout.population), bounds.inputs
    found = np.full(labels.size, -(2**61), np.int64)
    if net.readout.kind in ("count", "max_v") or not is_linear(p) or len(alike(p)) > 1:
        return found
    weights, least, most = _score_response(net, inputs.steps)
    slots = slots_into(net, p.name)
    sums = [slot_sums(slot, weights, inputs, bounds.trains) for slot in slots]
    floors = sum((taken + given).item() for taken, given in (s.floors for s in sums))
    quiet = _quiet(readout)
    for label in np.unique(labels):
        mine = np.flatnonzero(quiet & (labels == label))
        if mine.size == 0 or p.size == 1:
            continue
        mixture = np.delete(np.eye(p.size)[label] - np.eye(p.size), label, axis=0)
        lead = np.delete(least[label] - most, label) - floors
        low = lead + sum(mixed(s, mixture, mine)[0][0] for s in sums)
        found[mine] = np.ceil(low.min(axis=1)).astype(np.int64)
    return found


def _quiet(readout: PopulationBounds) -> Flags:
    """Return the samples [B] in which the read-out surely neither fires, wraps nor is clipped."""
    trouble = readout.wraps | readout.clamps | (readout.trains.steps.hi > 0)
    return np.asarray(~trouble.any(axis=(0, 2)))


def _score_offset(net: FixedPointNetwork, steps: int) -> Integers:
    """Return what different origins add to the scores, int64 [classes], as ``read_out`` does."""
    start, stop = net.readout.window or (0, steps)
    if net.readout.kind == "mean_v":
        return net.score_offset * (stop - start)
    return net.score_offset * (net.readout.kind != "sum" or start == 0)


def _score_response(net: FixedPointNetwork, steps: int) -> tuple[Reals, Reals, Reals]:
    """Return what the score is: weights [1, T] of the input, and bounds [classes] of the rest."""
    p, readout = net.population(net.readout.population), net.readout
    start, stop = readout.window or (0, steps)
    read = {stop: 1.0}
    if readout.kind == "mean_v":
        read = dict.fromkeys(range(start + 1, stop + 1), 1.0)
    elif readout.kind == "sum" and start:
        read[start] = -1.0
    weights, least = np.zeros(steps), _score_offset(net, steps).astype(np.float64)
    most = least
    for t, sign in read.items():
        made = response(p, np.arange(p.size), t, steps)
        weights += sign * made.weights[0]
        ends = (sign * made.least[0], sign * made.most[0])
        least, most = least + np.minimum(*ends), most + np.maximum(*ends)
    slack = (np.abs(least) + np.abs(most)) * (8 * steps + 64) * _UNIT
    return weights[None], least - slack, most + slack
