"""Accuracy over the strength of faults: counted by hand, its intervals, joint faults, refusals."""

from dataclasses import dataclass

import numpy as np
import pytest
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.attacks import GaussianNoise
from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import decide
from neurodeploy.robustness.faults import (
    DroppedSpikes,
    FaultCurve,
    Joint,
    NetworkFault,
    RunFault,
    StuckAtZero,
    WeightBitFlips,
    bit_curves,
    fault_curve,
    faulty_scores,
)
from neurodeploy.robustness.statistics import wilson
from neurodeploy.simulate import run_fixed


def case(samples=12):
    rng = np.random.default_rng(1)
    net, codes = random_case(rng, pair=PAIRS[0], held=True, samples=samples, layers=2)
    decided = decide(run_fixed(net, codes, threads=1).scores())
    return net, codes, np.maximum(decided, 0)


def test_a_curve_counts_what_each_faulty_network_gets_right():
    net, codes, labels = case()
    strengths, seeds = (0.0, 0.02, 0.3), (1, 2, 9)
    curve = fault_curve(net, WeightBitFlips(), codes, labels, strengths, seeds, threads=1)
    assert (curve.name, curve.unit) == ("weight bit flips", "probability per bit")
    assert (curve.strengths, curve.seeds) == (strengths, seeds)
    for i, strength in enumerate(strengths):
        for k, seed in enumerate(seeds):
            faulty = WeightBitFlips().apply(net, strength, seed)
            right = decide(run_fixed(faulty, codes, threads=1).scores()) == labels
            np.testing.assert_array_equal(curve.right[i, k], right)
            assert curve.per_seed[i, k] == right.mean()
    plain = decide(run_fixed(net, codes, threads=1).scores())
    assert 0 < curve.accuracy[0] == (plain == labels).mean()
    assert curve.spread[0] == 0
    assert curve.accuracy[2] < curve.accuracy[0]


def test_one_curve_for_every_bit_of_the_widest_weight():
    net, codes, labels = case()
    curves = bit_curves(net, codes, labels, (0.5,), (1,), threads=1)
    assert len(curves) == max(s.weight_bits for s in net.synapses)
    for k, curve in enumerate(curves):
        assert curve.name == f"weight bit flips, bit {k}"
        one = fault_curve(net, WeightBitFlips(k), codes, labels, (0.5,), (1,), threads=1)
        np.testing.assert_array_equal(curve.right, one.right)


def test_ties_are_not_right():
    net, codes, labels = case()
    curve = fault_curve(net, DroppedSpikes(), codes, labels, (1.0,), (0,))
    assert not curve.right.any()  # no spike arrives anywhere, so all classes are tied


def test_intervals_take_images_not_draws_as_trials():
    right = np.zeros((2, 4, 50), bool)
    right[0, :, :40] = True
    right[1, 0, :31] = right[1, 1:, :30] = True
    curve = FaultCurve("f", "u", (0.1, 0.2), (0, 1, 2, 3), right)
    first, second = curve.interval(0.9)
    assert first == wilson(40, 50, 0.9)
    assert second == (wilson(30, 50, 0.9)[0], wilson(31, 50, 0.9)[1])
    assert curve.spread[1] == pytest.approx(np.std([0.62, 0.6, 0.6, 0.6], ddof=1))
    one = FaultCurve("f", "u", (0.1, 0.2), (0,), right[:, :1])
    assert np.isnan(one.spread).all()


def test_copies_of_an_image_are_worth_one():
    net, codes, labels = case(samples=40)
    codes, places = np.unique(codes, axis=0, return_index=True)
    labels, n = labels[places], len(places)
    fault, strengths, seeds = StuckAtZero(), (0.0, 0.3), (1, 2)
    once = fault_curve(net, fault, codes, labels, strengths, seeds, threads=1)
    assert once.independent == 1.0
    five = fault_curve(
        net, fault, np.repeat(codes, 5, axis=0), np.repeat(labels, 5), strengths, seeds, threads=1
    )
    assert (five.accuracy == once.accuracy).all()
    counts = once.right.sum(axis=2)
    assert (counts[:, 0] == counts[:, 1]).any()  # a whole number of images: no rounding of counts
    for k, equal in enumerate(counts[:, 0] == counts[:, 1]):
        if equal:
            np.testing.assert_allclose(five.interval()[k], once.interval()[k], rtol=1e-12)
            assert once.interval()[k] == wilson(int(counts[k, 0]), n)


def test_joint_faults_change_codes_and_network():
    net, codes, labels = case()
    noise = GaussianNoise()
    for fault in (WeightBitFlips(), DroppedSpikes()):
        joint = Joint(noise, 20.0, fault)
        keys = np.arange(5, 5 + len(codes))
        points = noise.points(codes, 20.0, 3, net.encoder.max_code, keys=keys)
        expected = faulty_scores(fault, net, points, 0.1, 3, keys=keys)
        found = joint.scores(net, codes, 0.1, 3, keys=keys)
        np.testing.assert_array_equal(found, expected)
        assert joint.name == f"gaussian 20 codes (sigma) + {fault.name}"
        curve = fault_curve(net, joint, codes, labels, (0.1,), (3,), keys=keys)
        np.testing.assert_array_equal(curve.right[0, 0], decide(found) == labels)


def test_a_fault_is_of_the_network_or_of_the_run():
    assert isinstance(StuckAtZero(), NetworkFault)
    assert not isinstance(StuckAtZero(), RunFault)
    for fault in (DroppedSpikes(), Joint(GaussianNoise(), 1.0, StuckAtZero())):
        assert isinstance(fault, RunFault)
        assert not isinstance(fault, NetworkFault)


@dataclass(frozen=True)
class Nothing:
    name: str = "nothing"
    unit: str = "of it"

    def apply(self, net, strength, seed):
        return net


def test_curves_refuse_what_does_not_belong_together():
    net, codes, labels = case(3)
    with pytest.raises(InputError, match="give one"):
        fault_curve(net, Nothing(), codes, labels, (), (0,))
    with pytest.raises(InputError, match="give one"):
        fault_curve(net, Nothing(), codes, labels, (0.1,), ())
    with pytest.raises(ShapeError, match="do not fit"):
        fault_curve(net, Nothing(), codes, labels[:-1], (0.1,), (0,))
    with pytest.raises(RangeError, match="count from 0"):
        fault_curve(net, Nothing(), codes, labels - 99, (0.1,), (0,))
