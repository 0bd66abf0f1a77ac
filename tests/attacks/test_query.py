"""Attacks that see scores alone: against transcriptions for one sample, and what they promise."""

import numpy as np
import pytest
from attacks.query_oracles import rectangles, share_after, spsa, square
from robustness.standins import Blind, Constant, Spy, random_linear, truly_robust

from neurodeploy.attacks import Ball
from neurodeploy.attacks.margin import margins
from neurodeploy.attacks.spsa import SPSA
from neurodeploy.attacks.square import Square
from neurodeploy.attacks.square_windows import Windows, share_of, stack_of_rectangles, two_halves
from neurodeploy.errors import InputError, RangeError, ShapeError

BALLS = [Ball("linf", 0, 255), Ball("linf", 9, 255), Ball("linf", 300, 255),
         Ball("l2", 0.0, 255), Ball("l2", 4.5, 255), Ball("l2", 60.0, 255)]  # fmt: skip
SHAPES = [None, (1, 6, 4), (3, 2, 4), (2, 3, 4), (24, 1, 1)]


class Bumpy:
    """Scores in steps, as integer networks have, of no simple form."""

    max_code = 255

    def __init__(self, seed, n=24, classes=4, step=40.0):
        rng = np.random.default_rng(seed)
        self.first, self.second = rng.normal(0, 1, (30, n)), rng.normal(0, 1, (classes, 30))
        self.step = step

    def predicted_scores(self, codes):
        # One sample at a time: a matrix product may round by how many there are.
        found = []
        for code in np.asarray(codes, np.float64):
            hidden = np.floor(np.maximum((self.first * code).sum(axis=1), 0) / self.step)
            found.append(np.floor((self.second * hidden).sum(axis=1)))
        return np.array(found).reshape(len(codes), -1)

    def predict(self, codes):
        from neurodeploy.network import decide

        return decide(self.predicted_scores(codes))


def samples(seed, classifier, count=6, n=24):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (count, n)).astype(np.int32)
    codes[rng.random(codes.shape) < 0.3] = 0
    return codes, np.maximum(classifier.predict(codes), 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ball", BALLS)
def test_square_is_its_transcription_sample_by_sample(ball, shape):
    classifier = Bumpy(5)
    attack = Square(queries=60, shape=shape)
    codes, labels = samples(1, classifier)
    keys = np.array([7, 0, 123456789012, 3, 4, 2])
    found = attack.run(classifier, codes, labels, ball, 11, keys)
    queries = 0
    for i, key in enumerate(keys):
        best, margin, used = square(attack, classifier, codes[i], labels[i], ball, 11, key)
        np.testing.assert_array_equal(found.codes[i], best)
        assert found.found[i] == (margin <= 0)
        queries += used
    assert found.queries == queries


@pytest.mark.parametrize("ball", BALLS)
def test_spsa_is_its_transcription_sample_by_sample(ball):
    classifier = Bumpy(6)
    for attack in (SPSA(steps=4, pairs=3), SPSA(steps=3, pairs=2, probe=30, step_share=0.7)):
        codes, labels = samples(2, classifier, 4)
        keys = np.array([7, 0, 123456789012, 3])
        found = attack.run(classifier, codes, labels, ball, 11, keys)
        queries = 0
        for i, key in enumerate(keys):
            best, margin, used = spsa(attack, classifier, codes[i], labels[i], ball, 11, key)
            np.testing.assert_array_equal(found.codes[i], best)
            assert found.found[i] == (margin <= 0)
            queries += used
        # Within one step all samples of a batch are probed alike; the transcription too.
        assert found.queries == queries


ATTACKS = [Square(80), Square(80, shape=(1, 4, 3)), SPSA(steps=4, pairs=4)]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_stay_in_the_ball_and_flags_tell_the_truth(attack, norm):
    for seed in range(12):
        classifier = random_linear(seed, 12, 3, max_code=[255, 15, 1][seed % 3])
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, classifier.max_code + 1, (20, 12)).astype(np.int32)
        labels = np.maximum(classifier.predict(codes), 0)
        before = codes.copy()
        for radius in (0, 1, 3, 40):
            ball = Ball(norm, radius, classifier.max_code)
            found = attack.run(classifier, codes, labels, ball, seed)
            assert found.codes.dtype == np.int32
            assert ball.contains(found.codes, codes).all()
            np.testing.assert_array_equal(found.found, classifier.predict(found.codes) != labels)
            assert not found.stuck.any()
            assert found.zero_gradient_share == 0
        np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_subset_alone_gives_the_subset_of_the_outcome(attack):
    classifier = Bumpy(3, n=12)
    codes, labels = samples(4, classifier, 9, 12)
    for ball in (Ball("linf", 20, 255), Ball("l2", 50.0, 255)):
        whole = attack.run(classifier, codes, labels, ball, 5)
        some = np.array([8, 1, 4])
        part = attack.run(classifier, codes[some], labels[some], ball, 5, some)
        np.testing.assert_array_equal(part.codes, whole.codes[some])
        np.testing.assert_array_equal(part.found, whole.found[some])
        other = attack.run(classifier, codes, labels, ball, 6)
        assert (other.codes != whole.codes).any()


@pytest.mark.parametrize("attack", [Square(400), SPSA(steps=10, pairs=16)])
def test_what_enumeration_breaks_is_mostly_found_and_nothing_else(attack):
    """Without any gradient: the classifier's own slope is zero everywhere."""
    breakable = found_count = 0
    for seed in range(8):
        linear = random_linear(seed, 4, 3, max_code=15)
        blind = Blind(linear.weight, linear.bias, linear.max_code)
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 16, (40, 4)).astype(np.int32)
        labels = np.maximum(blind.predict(codes), 0)
        robust = truly_robust(blind, codes, labels, 3)
        found = attack.run(blind, codes, labels, Ball("linf", 3, 15), seed).found
        assert not (found & robust).any()
        breakable += (~robust).sum()
        found_count += found.sum()
    assert breakable > 100
    assert found_count >= 0.9 * breakable


def test_only_survivors_are_queried_and_no_more_than_the_budget():
    linear = random_linear(1, 12, 3)
    codes, labels = samples(3, linear, 30, 12)
    for attack, budget in ((Square(200), 200), (SPSA(steps=3, pairs=5), 34)):
        spy = Spy(linear)
        found = attack.run(spy, codes, labels, Ball("linf", 25, 255), 0)
        asked = [len(points) for kind, points in spy.asked if kind == "predict"]
        assert sum(asked) == found.queries
        assert len(asked) <= budget
        assert asked == sorted(asked, reverse=True)
        assert len(asked) == budget or found.found.all()
        assert asked[-1] >= (~found.found).sum()
        assert not any(kind == "scores" for kind, _ in spy.asked)


def test_a_constant_classifier_uses_the_whole_budget():
    constant = Constant(1, 3)
    codes, labels = samples(3, constant, 5, 12)
    assert Square(50).run(constant, codes, labels, Ball("linf", 25, 255), 0).queries == 250
    assert SPSA(3, 4).run(constant, codes, labels, Ball("linf", 25, 255), 0).queries == 5 * 28
    empty = Square(5).run(constant, codes[:0], labels[:0], Ball("l2", 2.5, 255), 0)
    assert empty.codes.shape == (0, 12)
    assert SPSA(2, 2).run(constant, codes[:0], labels[:0], Ball("l2", 2.5, 255), 0).queries == 0


def test_shares_and_patterns():
    for queries in (37, 1000, 10000):
        for i in range(0, queries, max(1, queries // 500)):
            assert share_of(i, queries, 0.8) == share_after(i, queries, 0.8)
    for height, width in ((1, 1), (1, 4), (3, 5), (2, 5), (4, 4)):
        np.testing.assert_allclose(stack_of_rectangles(height, width), rectangles(height, width))
        assert (two_halves((height, width)) ** 2).sum() == pytest.approx(1)
    windows = Windows.of(64, (1, 8, 8))
    assert windows.sides(0.8, odd=False) == (7, 7)
    assert windows.sides(1.0, odd=False) == (8, 8)
    assert windows.sides(0.001, odd=False) == (1, 1)
    assert windows.sides(0.001, odd=True) == (3, 3)
    assert windows.sides(0.2, odd=True) == (5, 5)
    assert windows.sides(1.0, odd=True) == (8, 8)
    assert Windows.of(64, None).sides(0.5, odd=False) == (1, 32)
    assert Windows.of(64, None).sides(0.5, odd=True) == (1, 33)


def test_margins_need_a_score_for_every_label():
    scores = random_linear(0, 4, 3)
    codes = np.zeros((2, 4), np.int32)
    with pytest.raises(RangeError, match="label 3 has no score"):
        margins(scores, codes, np.array([0, 3]))


def test_refusals():
    constant = Constant(1, 3)
    codes, labels = samples(3, constant, 5, 12)
    with pytest.raises(ShapeError, match=r"\(1, 8, 8\)"):
        Square(shape=(1, 8, 8)).run(constant, codes, labels, Ball("linf", 5, 255), 0)
    for options in ({"queries": 0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(InputError, match="square attack"):
            Square(**options)
    for options in ({"steps": 0}, {"pairs": 0}, {"step_share": 0.0}, {"probe": 0}):
        with pytest.raises(InputError, match="SPSA"):
            SPSA(**options)
