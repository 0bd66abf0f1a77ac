"""Planted faults: each must be caught by containment or by enumeration on small networks.

A fault replaces one function of the certificates by a wrong one; the product has no options for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from oracles.contained_runs import points_within, violations
from oracles.enumerate_inputs import all_points, leads, scores, small_network
from oracles.literal_fixed import LiteralRun, run_aligned
from robustness.joint_cases import joint_bounds

from neurodeploy.network import FixedPointNetwork, FixedPopulation
from neurodeploy.robustness.certificates import (
    certificate,
    drive_table,
    interval_run,
    intervals,
    joint_drive,
    linear_response,
    neuron_bounds,
    readout_margins,
    refined_run,
    reset_windows,
    synapse_bounds,
    trains,
    weighted_input,
)
from neurodeploy.robustness.certificates.intervals import Interval

NETWORKS = 160


@dataclass(frozen=True)
class Case:
    """A small network, boxes of inputs, points in each box, and what truly happens there."""

    net: FixedPointNetwork
    centres: np.ndarray
    radius: int
    points: np.ndarray
    sample: np.ndarray
    run: LiteralRun
    scores: np.ndarray


@cache
def case(seed: int) -> Case:
    rng = np.random.default_rng([7, seed])
    net = small_network(rng)
    grid = all_points([0] * net.n_input, [net.encoder.max_code] * net.n_input)
    centres, radius = grid[rng.permutation(len(grid))[:6]], int(rng.integers(1, 4))
    lo, hi = np.maximum(centres - radius, 0), np.minimum(centres + radius, net.encoder.max_code)
    points, sample = points_within(rng, lo, hi, 24)
    run = run_aligned(net, points)
    return Case(net, centres, radius, points, sample, run, scores(net, run))


def caught_on(seed: int) -> bool:
    """Whether the certificates of one case, as they now are, say something untrue."""
    made = case(seed)
    rng = np.random.default_rng(seed)
    codes, classes = made.centres.astype(np.int32), made.net.populations[-1].size
    for method in ("interval", "refined"):
        box = certificate.ball(made.net, codes, made.radius)
        bounds = certificate.bound_run(made.net, box, method)
        if violations(made.net, bounds, made.run, made.sample, rng):
            return True
        for label in range(classes):
            labels = np.full(len(codes), label)
            claim = certificate.certify(made.net, codes, labels, made.radius, method=method)
            if (leads(made.scores, label) < claim.margin[made.sample]).any():
                return True
            if (claim.certified[made.sample] & (leads(made.scores, label) <= 0)).any():
                return True
    return False


def is_caught() -> bool:
    # A fault may leave nothing possible: then bounds are not finite, and hold no run.
    with np.errstate(invalid="ignore"):
        return any(caught_on(seed) for seed in range(NETWORKS))


def test_without_a_fault_nothing_is_caught():
    assert not any(caught_on(seed) for seed in range(20))


def halved_radius(patch):
    true = certificate.ball
    patch(certificate, "ball", lambda net, codes, radius: true(net, codes, radius // 2))


def reset_branch_forgotten(patch):
    def stays(p, v_pre, threshold):
        return Interval(np.minimum(v_pre.lo, threshold), np.minimum(v_pre.hi, threshold))

    patch(neuron_bounds, "_after_spike", stays)


def unspiked_branch_forgotten(patch):
    true = intervals.exceeds

    def surely(x, threshold):
        may = true(x, threshold)[1]
        return may, may

    patch(intervals, "exceeds", surely)


def truncation_is_a_floor(patch):
    patch(intervals, "_decay", lambda x, keep: (x * keep) >> 12)


def threshold_not_strict(patch):
    patch(intervals, "exceeds", lambda x, thr: (x.lo >= thr, x.hi >= thr))


def shift_truncates(patch):
    def toward_zero(x, exponent):
        if exponent >= 0:
            return Interval(x.lo << exponent, x.hi << exponent)
        ends = [np.sign(e) * (np.abs(e) >> -exponent) for e in x]
        return Interval(*ends)

    patch(intervals, "shift", toward_zero)


def negative_weights_forgotten(patch):
    def product(slot, message):
        return Interval(*(synapse_bounds.times(end, slot.weight) for end in message))

    patch(synapse_bounds, "weighted_sum", product)


def no_change(x):
    return x, np.zeros(x.lo.shape, bool)


def wrap_of_32_bits_forgotten(patch):
    patch(intervals, "wrap32", no_change)


def wrap_of_u_forgotten(patch):
    patch(intervals, "wrap24_once", no_change)


def wrap_of_convolution_forgotten(patch):
    patch(intervals, "wrap_convolution", no_change)


def crossing_a_wrap_moves_the_ends(patch):
    def ends(x, half, period):
        moved = [(end + half) % period - half for end in x]
        return Interval(np.minimum(*moved), np.maximum(*moved)), moved[0] != x.lo

    patch(intervals, "_wrap", ends)


def clip_forgotten(patch):
    patch(intervals, "clip", no_change)


def graded_factor_forgotten(patch):
    def binary(self, sent):
        return Interval((sent.lo > 0).astype(np.int64), (sent.hi > 0).astype(np.int64))

    patch(synapse_bounds.Slot, "message", binary)


def spike_payload_for_binary_input(patch):
    patch(synapse_bounds.Slot, "message", lambda self, sent: sent)


def bias_forgotten(patch):
    patch(intervals, "offset", lambda x, number: x)


def gain_starts_again(patch):
    patch(neuron_bounds, "gain_at", lambda p, t: int(p.gain[(t - 1) % p.gain.size]))


def gain_one_step_late(patch):
    patch(neuron_bounds, "gain_at", lambda p, t: int(p.gain[min(max(t - 1, 1), p.gain.size) - 1]))


def union_is_an_intersection(patch):
    def meet(cases):
        lo, hi = (np.stack(ends) for ends in zip(*cases, strict=True))
        return Interval(lo.max(axis=0), hi.min(axis=0))

    patch(intervals, "hull_of", meet)


def delay_slot_dropped(patch):
    true = synapse_bounds.slots_into

    def all_but_the_last(net, name):
        slots = true(net, name)
        return slots[:-1] if len(slots) > 1 else slots

    for module in (interval_run, refined_run, readout_margins):
        patch(module, "slots_into", all_but_the_last)


def hardware_delay_for_logical(patch):
    patch(FixedPointNetwork, "logical_delay", lambda net, synapse: np.asarray(synapse.delay) + 1)


def refractory_wait_forgotten(patch):
    true = neuron_bounds.step

    def free(p, state, a, t, *cells):
        zero = intervals.exactly(np.zeros(state.v.lo.shape, np.int64))
        return true(p, state._replace(wait=zero), a, t, *cells)

    patch(neuron_bounds, "step", free)


def periodic_reset_by_logical_step(patch):
    true = FixedPopulation.resets_at
    patch(FixedPopulation, "resets_at", lambda p, h: true(p, h - p.latency))


def subtraction_sets_to_zero(patch):
    def zero(p, v_pre, threshold):
        return intervals.exactly(np.zeros_like(v_pre.lo))

    patch(neuron_bounds, "_after_spike", zero)


def tie_counts_as_won(patch):
    true = certificate.margins
    patch(certificate, "margins", lambda *arguments: true(*arguments) + 1)


def best_other_class_forgotten(patch):
    def against_the_worst(score, labels):
        rows = np.arange(labels.size)
        others = score.hi.copy()
        others[rows, labels] = 2**61
        return score.lo[rows, labels] - others.min(axis=1)

    patch(readout_margins, "_separate", against_the_worst)


def listed_run_one_short(patch):
    true = drive_table.DriveTable.trains

    def shorter(self, a):
        made = true(self, a)
        last = np.maximum(made.last - 1, made.first)
        return trains.ListedTrains(made.lowest, made.highest, made.first, last)

    patch(drive_table.DriveTable, "trains", shorter)


def window_forgets_truncation(patch):
    patch(linear_response, "_truncates", lambda keep: 0)


def window_forgets_floors(patch):
    nothing = (np.zeros((1, 1, 1)), np.zeros((1, 1, 1)))
    patch(weighted_input.SlotSums, "floors", nothing)


def window_ignores_wraps_and_clips(patch):
    true = reset_windows.membrane_windows

    def cut(*arguments):
        lo, hi = true(*arguments)
        return Interval(np.minimum(lo, hi), hi)

    patch(reset_windows, "membrane_windows", cut)
    patch(intervals, "choose", lambda where, first, second: first)


def window_starts_a_step_late(patch):
    true = reset_windows.response

    def late(p, neurons, t, steps):
        made = true(p, neurons, t, steps)
        rows = np.minimum(np.arange(t) + 1, t - 1)
        return linear_response.Response(made.weights[rows], made.least[rows], made.most[rows])

    patch(reset_windows, "response", late)


def paths_never_spike_twice(patch):
    true = reset_windows.ResetTrains

    def once(follows, ends):
        follows = follows.copy()
        follows[1:] = False
        return true(follows, ends)

    patch(reset_windows, "ResetTrains", once)


def score_forgets_the_rest(patch):
    true = readout_margins._score_response

    def bare(net, steps):
        weights, least, most = true(net, steps)
        return weights, 0 * least, 0 * most

    patch(readout_margins, "_score_response", bare)


def message_delay_forgotten_in_sums(patch):
    def at_once(slot, weights, inputs, known):
        sender = weighted_input.messages(slot, inputs, known)
        return weighted_input.SlotSums(slot, *sender.sums(weights), weights, sender.largest)

    patch(reset_windows, "slot_sums", at_once)
    patch(readout_margins, "slot_sums", at_once)


def joint_bounds_twice_as_good(patch):
    true = joint_drive.JointDrive.gains

    def doubled(self, weights, rows, where):
        rise, fall = true(self, weights, rows, where)
        return 2 * rise, 2 * fall

    patch(joint_drive.JointDrive, "gains", doubled)


def joint_bounds_of_half_the_box(patch):
    true = refined_run.joint_drive

    def smaller(*arguments):
        made = true(*arguments)
        return made and replace(made, radius=made.radius / 2)

    patch(refined_run, "joint_drive", smaller)


def joint_bounds_forget_the_centre(patch):
    true = refined_run.joint_drive

    def elsewhere(*arguments):
        made = true(*arguments)
        return made and replace(made, centre=0 * made.centre)

    patch(refined_run, "joint_drive", elsewhere)


def joint_bounds_of_the_opposite_weights(patch):
    true = joint_drive.JointDrive.gains
    patch(joint_drive.JointDrive, "gains", lambda self, w, rows, where: true(self, w, -rows, where))


def joint_bounds_forget_floors(patch):
    true = refined_run.joint_drive

    def exact(*arguments):
        made = true(*arguments)
        return made and replace(made, floor=-made.floor)

    patch(refined_run, "joint_drive", exact)


def joint_bounds_with_one_intercept(patch):
    true = joint_drive.envelopes

    def through_the_middle(*arguments):
        true(*arguments)
        above, below = (table[:, 1:] for table in arguments[-2:])
        above[:] = below[:] = (above + below) / 2

    patch(joint_drive, "envelopes", through_the_middle)


FAULTS = (
    halved_radius,
    reset_branch_forgotten,
    unspiked_branch_forgotten,
    truncation_is_a_floor,
    threshold_not_strict,
    shift_truncates,
    negative_weights_forgotten,
    wrap_of_32_bits_forgotten,
    wrap_of_u_forgotten,
    wrap_of_convolution_forgotten,
    crossing_a_wrap_moves_the_ends,
    clip_forgotten,
    graded_factor_forgotten,
    spike_payload_for_binary_input,
    bias_forgotten,
    gain_starts_again,
    gain_one_step_late,
    union_is_an_intersection,
    delay_slot_dropped,
    hardware_delay_for_logical,
    refractory_wait_forgotten,
    periodic_reset_by_logical_step,
    subtraction_sets_to_zero,
    tie_counts_as_won,
    best_other_class_forgotten,
    listed_run_one_short,
    window_forgets_truncation,
    window_forgets_floors,
    window_ignores_wraps_and_clips,
    window_starts_a_step_late,
    paths_never_spike_twice,
    score_forgets_the_rest,
    message_delay_forgotten_in_sums,
)


JOINT_FAULTS = (
    joint_bounds_twice_as_good,
    joint_bounds_of_half_the_box,
    joint_bounds_forget_the_centre,
    joint_bounds_of_the_opposite_weights,
    joint_bounds_forget_floors,
    joint_bounds_with_one_intercept,
)


@pytest.mark.parametrize("fault", JOINT_FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_joint_bounds_is_caught(fault, monkeypatch):
    fault(monkeypatch.setattr)
    assert any(joint_bounds(seed)[0] for seed in range(60))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_caught(fault, monkeypatch):
    fault(monkeypatch.setattr)
    synapse_bounds.slots_into.cache_clear()
    try:
        assert is_caught()
    finally:
        monkeypatch.undo()
        synapse_bounds.slots_into.cache_clear()
