"""FGSM, PGD and noise on the code grid, against naive versions and enumeration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from robustness.standins import Blind, Constant, Linear, Spy, random_linear, truly_robust

from neurodeploy.attacks import (
    APGD,
    FGSM,
    PGD,
    Ball,
    Corners,
    GaussianNoise,
    RandomFGSM,
    SampleRandom,
    attack_named,
    gradient,
    loss_gradient,
    perturbation,
)
from neurodeploy.errors import InputError, NeurodeployError, RangeError, ShapeError
from neurodeploy.network import decide

ATTACKS = [FGSM(), PGD(steps=5, step_share=0.07), PGD(steps=3, restarts=2), RandomFGSM()]


def linf(radius, classifier):
    return Ball("linf", radius, classifier.max_code)


def samples(seed, classifier, n, n_input, low=0, high=None):
    rng = np.random.default_rng(seed)
    high = classifier.max_code if high is None else high
    codes = rng.integers(low, high + 1, (n, n_input)).astype(np.int32)
    return codes, classifier.predict(codes)


@settings(max_examples=150, deadline=None)
@given(
    attack=st.sampled_from(ATTACKS),
    max_code=st.sampled_from([1, 7, 255, 65535]),
    radius=st.one_of(st.integers(0, 4), st.integers(0, 70000)),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_no_point_leaves_ball_or_range(attack, max_code, radius, seed, data):
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 6)))
    codes = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(0, max_code)))
    labels = data.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 2)))
    classifier = random_linear(seed, shape[1], 3, max_code)
    outcome = attack.run(classifier, codes, labels, linf(radius, classifier), seed)
    assert outcome.codes.dtype == np.int32
    assert outcome.codes.shape == codes.shape
    assert outcome.codes.min() >= 0
    assert outcome.codes.max() <= max_code
    assert np.abs(outcome.codes.astype(np.int64) - codes).max() <= radius
    if radius == 0:
        assert (outcome.codes == codes).all()
    wrong = classifier.predict(outcome.codes) != labels
    assert (outcome.found == wrong).all()


@pytest.mark.parametrize(
    "attack", [*ATTACKS, APGD(steps=6), APGD(6, loss="dlr", targets=2), Corners()]
)
@pytest.mark.parametrize("radius", [0.0, 0.9, 3.3, 60.0, 1e6])
def test_no_point_leaves_an_l2_ball(attack, radius):
    classifier = random_linear(1, 12, 4, largest=3)
    codes, labels = samples(4, classifier, 40, 12)
    ball = Ball("l2", radius, 255)
    outcome = attack.run(classifier, codes, np.maximum(labels, 0), ball, 3)
    assert ball.contains(outcome.codes, codes).all()
    assert (outcome.found == (classifier.predict(outcome.codes) != np.maximum(labels, 0))).all()
    if radius < 1:
        assert (outcome.codes == codes).all()
    elif radius == 60.0:
        assert 0 < outcome.found.sum() < 40


def naive_fgsm(classifier, code, label, radius):
    """One sample in plain Python, with the cross-entropy gradient written out."""
    scores = (classifier.weight @ code + classifier.bias) * classifier.logit_scale
    share = np.exp(scores - scores.max())
    share /= share.sum()
    point = []
    for j, c in enumerate(code):
        slope = sum((share[k] - (k == label)) * classifier.weight[k, j] for k in range(len(scores)))
        moved = int(c) + (radius if slope > 0 else -radius if slope < 0 else 0)
        point.append(min(max(moved, 0), classifier.max_code))
    return point


def test_fgsm_equals_a_naive_one_sample_by_sample():
    classifier = random_linear(3, 12, 4, largest=2)
    codes, labels = samples(4, classifier, 50, 12)
    labels = np.where(labels < 0, 0, labels)
    labels[:3] = (labels[:3] + 1) % 4
    points = FGSM().run(classifier, codes, labels, linf(26, classifier), 0).codes
    right = classifier.predict(codes) == labels
    assert (~right).sum() == 3
    assert (points[~right] == codes[~right]).all(), "what is wrong already stays"
    for code, label, point in zip(codes[right], labels[right], points[right], strict=True):
        assert point.tolist() == naive_fgsm(classifier, code, label, 26)
    alone = [
        FGSM().run(classifier, codes[[i]], labels[[i]], linf(26, classifier), 0).codes[0]
        for i in range(50)
    ]
    assert (np.array(alone) == points).all()


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_pgd_is_exact_on_two_linear_classes(radius, loss):
    """There the gradient's sign is constant, so PGD must find a wrong point if there is one.

    Steps of radius / 4 are smaller than one code: they only add up in real iterates.
    """
    classifier = random_linear(1, 4, 2, max_code=15, largest=3)
    codes, labels = samples(2, classifier, 60, 4)
    labels = np.where(labels < 0, 1, labels)
    outcome = PGD(losses=(loss,)).run(classifier, codes, labels, linf(radius, classifier), 5)
    robust = truly_robust(classifier, codes, labels, radius)
    assert 5 < robust.sum() < 55
    assert (~outcome.found == robust).all()


def test_pgd_claims_nothing_false_on_many_classes():
    classifier = random_linear(8, 3, 5, max_code=15, largest=4)
    codes, labels = samples(9, classifier, 60, 3)
    labels = np.where(labels < 0, 0, labels)
    outcome = PGD().run(classifier, codes, labels, linf(2, classifier), 5)
    robust = truly_robust(classifier, codes, labels, 2)
    assert not (outcome.found & robust).any()
    assert 0 < robust.sum() < 60


def test_pgd_keeps_the_first_wrong_point_else_the_one_of_largest_loss():
    inner = random_linear(1, 6, 2, max_code=63, largest=3)
    codes, labels = samples(2, inner, 40, 6)
    labels = np.where(labels < 0, 1, labels)
    kinds = set()
    for i in range(40):
        spy = Spy(inner)
        outcome = PGD(restarts=1).run(spy, codes[[i]], labels[[i]], linf(8, spy), i)
        visited = np.concatenate([points for _, points in spy.asked]).astype(np.int64)
        wrong = np.flatnonzero(inner.predict(visited) != labels[i])
        kinds.add(bool(wrong.size))
        if wrong.size:
            assert wrong[0] == len(visited) - 1, "it must stop at the first wrong point"
            assert (outcome.codes[0] == visited[-1]).all()
        else:
            assert len(visited) == 21
            losses = loss_gradient(
                inner,
                visited[:20].astype(np.int32),
                np.repeat(labels[[i]], 20),
                "cross_entropy",
            ).loss
            assert (outcome.codes[0] == visited[np.argmax(losses)]).all()
    assert kinds == {True, False}


@dataclass(frozen=True)
class Ladder:
    """One input; scores [classes] per code from a table, with a slope that always points up."""

    table: np.ndarray
    label: int = 0

    @property
    def max_code(self):
        return len(self.table) - 1

    def predict(self, codes):
        return decide(self.table[codes[:, 0]])

    def scores(self, codes):
        rungs = torch.from_numpy(self.table)[codes.detach()[:, 0].long()]
        slope = torch.zeros(self.table.shape[1], dtype=torch.float64)
        slope[self.label] = -1.0
        return rungs + slope * (codes - codes.detach())


def test_a_wrong_point_is_kept_even_if_a_right_one_had_more_loss():
    table = np.tile([0.40, 0.35, 0.35, 0.35], (9, 1))
    table[7:] = [0.45, 0.46, 0.0, 0.0]  # wrong, with less cross-entropy
    codes, labels = np.full((20, 1), 4, np.int32), np.zeros(20, np.int64)
    outcome = PGD().run(Ladder(table), codes, labels, linf(3, Ladder(table)), 0)
    assert outcome.found.all()
    assert (outcome.codes == 7).all()
    outcome = PGD().run(Ladder(table), codes, labels, linf(2, Ladder(table)), 0)
    assert not outcome.found.any()


def test_the_point_after_the_last_step_counts():
    classifier = random_linear(1, 4, 2, max_code=15, largest=3)
    codes, labels = samples(2, classifier, 60, 4)
    labels = np.where(labels < 0, 1, labels)
    outcome = PGD(steps=1, step_share=2.0).run(classifier, codes, labels, linf(2, classifier), 5)
    robust = truly_robust(classifier, codes, labels, 2)
    assert (~outcome.found == robust).all()
    assert ((classifier.predict(outcome.codes) == labels) == robust).all()


def test_pgd_starts_at_the_nearest_whole_codes_of_a_uniform_point():
    spy = Spy(Constant(0, 2, max_code=255))
    codes = np.random.default_rng(0).integers(0, 256, (50, 30)).astype(np.int32)
    PGD(steps=1).run(spy, codes, np.zeros(50, np.int64), linf(7, spy), 123)
    uniform = SampleRandom(123, np.arange(50)).uniform(30, stream=0)
    start = np.clip(codes + (2 * uniform - 1) * 7, 0, 255)
    assert (spy.asked[0][1] == np.rint(start)).all()


def test_restarts_only_go_on_where_nothing_was_found():
    classifier = random_linear(1, 4, 2, max_code=63, largest=3)
    codes, labels = samples(2, classifier, 30, 4)
    labels = np.where(labels < 0, 1, labels)
    robust = truly_robust(classifier, codes, labels, 3)
    spy = Spy(classifier)
    PGD(steps=20, restarts=3).run(spy, codes, labels, linf(3, spy), 0)
    last_gradients = [points for kind, points in spy.asked if kind == "scores"][-20:]
    assert all(len(points) == robust.sum() for points in last_gradients)


def test_a_tie_is_wrong():
    classifier = Linear(np.array([[1], [0]]), np.array([0, 10]), max_code=20)
    codes, labels = np.array([[12]], np.int32), np.array([0])
    assert classifier.predict(np.array([[10]])) == [-1]
    for attack in (FGSM(), PGD()):
        assert not attack.run(classifier, codes, labels, linf(1, classifier), 0).found[0]
        outcome = attack.run(classifier, codes, labels, linf(2, classifier), 0)
        assert outcome.found[0]
        assert outcome.codes[0, 0] == 10
    wrong = loss_gradient(classifier, np.array([[10]], np.int32), labels, "margin").wrong
    assert wrong[0]


def test_zero_gradients_are_counted():
    classifier = Blind(np.array([[1, 1], [0, 0]]), np.array([0, 4]), max_code=20)
    codes = np.array([[10, 10], [0, 1]], np.int32)
    labels = np.array([0, 1])
    for attack in (FGSM(), PGD()):
        outcome = attack.run(classifier, codes, labels, linf(1, classifier), 0)
        assert outcome.zero_gradient_share == 1.0
        assert outcome.stuck.all()
    seeing = Linear(classifier.weight, classifier.bias, max_code=20)
    assert FGSM().run(seeing, codes, labels, linf(1, seeing), 0).zero_gradient_share == 0.0
    assert not PGD().run(seeing, codes, labels, linf(1, seeing), 0).stuck.any()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_same_seed_same_points_and_the_global_generator_is_left_alone(attack):
    classifier = random_linear(0, 20, 4, largest=2)
    codes, labels = samples(1, classifier, 30, 20)
    labels = np.where(labels < 0, 0, labels)
    before = torch.get_rng_state()
    first = attack.run(classifier, codes, labels, linf(20, classifier), 11)
    second = attack.run(classifier, codes, labels, linf(20, classifier), 11)
    other = attack.run(classifier, codes, labels, linf(20, classifier), 12)
    assert (first.codes == second.codes).all()
    assert (first.found == second.found).all()
    assert (first.codes == other.codes).all() == (attack.name == "fgsm")
    assert torch.equal(before, torch.get_rng_state())


def test_chunks_change_nothing(monkeypatch):
    classifier = random_linear(0, 10, 4, largest=2)
    codes, labels = samples(1, classifier, 25, 10)
    labels = np.where(labels < 0, 0, labels)
    whole = PGD().run(classifier, codes, labels, linf(20, classifier), 11)
    monkeypatch.setattr(gradient, "CHUNK", 4)
    parts = PGD().run(classifier, codes, labels, linf(20, classifier), 11)
    assert (whole.codes == parts.codes).all()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
def test_gradient_equals_a_difference_quotient(loss, targeted):
    classifier = random_linear(5, 6, 4, largest=3)
    codes, labels = samples(7, classifier, 8, 6, low=1, high=254)
    labels = (labels + 1) % 4
    targets = (labels + 2) % 4 if targeted else None
    here = loss_gradient(classifier, codes, labels, loss, targets)
    for j in range(6):
        step = np.zeros(6, np.int32)
        step[j] = 1
        above = loss_gradient(classifier, codes + step, labels, loss, targets).loss
        below = loss_gradient(classifier, codes - step, labels, loss, targets).loss
        np.testing.assert_allclose(here.gradient[:, j], (above - below) / 2, rtol=0.03, atol=2e-4)


def test_noise_is_gaussian_in_codes():
    codes = np.full((200, 300), 30000, np.int32)
    small = GaussianNoise().points(codes, 40, 3, 60000) - codes
    assert abs(small.mean()) < 40 * 4 / np.sqrt(small.size)
    assert abs(small.std() / 40 - 1) < 0.01
    share = (np.abs(small) > 2 * 40).mean()
    assert abs(share - 0.0455) < 0.004
    large = GaussianNoise().points(codes, 400, 3, 60000) - codes
    assert np.abs(large - 10 * small).max() <= 6  # the same directions, each rounded
    subset = np.array([7, 3])
    alone = GaussianNoise().points(codes[subset], 40, 3, 60000, keys=subset) - codes[subset]
    assert (alone == small[subset]).all()


def test_noise_is_clipped_and_not_wrapped():
    codes = np.array([[0, 255, 128]] * 500, np.int32)
    points = GaussianNoise().points(codes, 50, 0, 255)
    assert 0.4 < (points[:, 0] == 0).mean() < 0.6
    assert 0.4 < (points[:, 1] == 255).mean() < 0.6
    assert points[:, 0].max() < 255


def test_names():
    assert perturbation("pgd7", restarts=3) == PGD(steps=7, restarts=3)
    for name in (
        "gaussian",
        "uniform",
        "fgsm",
        "r+fgsm",
        "pgd20",
        "apgd-ce",
        "apgd-dlr",
        "apgd-t",
        "corners",
        "square",
        "spsa",
    ):
        assert perturbation(name).name == name
    assert PGD(20, losses=("margin",)).name == "pgd20-margin"
    assert attack_named("gaussian") is None
    for name in ("pgd", "pgd0", "PGD20", "pgd20x", "autoattack"):
        with pytest.raises(InputError, match="gaussian.*pgd<steps>"):
            perturbation(name)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"codes": np.zeros((2, 3), np.int32)}, ShapeError, "do not fit"),
        ({"codes": np.zeros(3, np.int32)}, ShapeError, "needs"),
        ({"codes": np.full((3, 2), 256)}, RangeError, "leave the range"),
        ({"codes": np.full((3, 2), -1)}, RangeError, "leave the range"),
        ({"codes": np.full((3, 2), 0.5)}, RangeError, "must be integers"),
        ({"codes": np.full((3, 2), np.nan)}, RangeError, "NaN"),
        ({"labels": np.array([0, 1, np.nan])}, RangeError, "NaN"),
        ({"labels": np.array([0, 1, -1])}, RangeError, "negative"),
        ({"labels": np.array([0, 1, 7])}, RangeError, "has no score"),
        ({"keys": np.array([0, 1])}, InputError, "for each of 3 samples"),
        ({"keys": np.array([0, 1, -1])}, InputError, "for each of 3 samples"),
    ],
)
def test_bad_input_is_refused(change, error, words):
    call = {"codes": np.zeros((3, 2), np.int32), "labels": np.array([0, 1, 0])}
    call |= change
    with pytest.raises(error, match=words):
        PGD().run(random_linear(0, 2, 3), ball=Ball("linf", 1, 255), **call, seed=0)
    assert issubclass(error, NeurodeployError)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_subset_has_the_subset_of_the_outcome(attack, norm):
    classifier = random_linear(0, 20, 4, largest=2)
    codes, labels = samples(1, classifier, 40, 20)
    labels = np.where(labels < 0, 0, labels)
    ball = Ball(norm, 12 if norm == "linf" else 40.5, 255)
    whole = attack.run(classifier, codes, labels, ball, 11, np.arange(100, 140))
    chosen = np.array([33, 2, 17, 9])
    part = attack.run(classifier, codes[chosen], labels[chosen], ball, 11, chosen + 100)
    assert (part.codes == whole.codes[chosen]).all()
    assert (part.found == whole.found[chosen]).all()
    assert (part.stuck == whole.stuck[chosen]).all()
    assert 0 < whole.found.sum() < 40


def test_random_fgsm_equals_its_two_steps_written_out():
    classifier = random_linear(3, 12, 4, largest=2)
    codes, labels = samples(4, classifier, 50, 12)
    labels = np.where(labels < 0, 0, labels)
    points = RandomFGSM().run(classifier, codes, labels, linf(25, classifier), 9).codes
    uniform = SampleRandom(9, np.arange(50)).uniform(12, stream=0)
    for code, label, point, u in zip(codes, labels, points, uniform, strict=True):
        first = [
            float(np.rint(c + (-12.5 if x < 0.5 else 12.5))) for c, x in zip(code, u, strict=True)
        ]
        start = np.clip(first, 0, 255).astype(int)
        if classifier.predict(start[None])[0] != label:
            assert (point == start).all()
            continue
        moved = naive_fgsm(classifier, start, label, 12.5)
        low, high = np.maximum(code - 25, 0), np.minimum(code + 25, 255)
        assert point.tolist() == np.rint(np.clip(moved, low, high)).tolist()


@pytest.mark.parametrize("change", [{"steps": 0}, {"restarts": 0}, {"step_share": 0.0}])
def test_pgd_needs_something_to_do(change):
    with pytest.raises(InputError, match="must be positive"):
        PGD(**change)


def test_no_samples_is_no_error():
    codes = np.zeros((0, 3), np.int32)
    for attack in ATTACKS:
        outcome = attack.run(
            random_linear(0, 3, 2), codes, np.zeros(0, np.int64), linf(3, random_linear(0, 3, 2)), 0
        )
        assert outcome.codes.shape == (0, 3)


def test_steps_of_pgd_shrink_from_far_to_fine():
    """Class 0 wins everywhere, so every step goes down, by its own size."""
    spy = Spy(Linear(np.array([[1], [-1]]), np.zeros(2, np.int64), 10_000))
    codes, label = np.full((1, 1), 5_000, np.int32), np.zeros(1, np.int64)
    PGD(steps=4, step_share=0.1, restarts=1).run(spy, codes, label, linf(1_000, spy), 5)
    visited = np.concatenate([points for _, points in spy.asked])[:, 0].astype(np.int64)
    expected = 1_000 * (0.1 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2 + 0.01)
    inside = visited[1:] > 4_000
    assert inside.sum() >= 2
    assert (np.abs(-np.diff(visited) - expected)[inside] <= 1).all()


def test_losses_take_turns_over_restarts(monkeypatch):
    seen = []

    def record(classifier, codes, labels, loss, targets=None):
        seen.append(loss)
        return loss_gradient(classifier, codes, labels, loss, targets)

    monkeypatch.setattr("neurodeploy.attacks.search.loss_gradient", record)
    never = Constant(0, 2)
    codes = np.full((1, 3), 100, np.int32)
    PGD(steps=1, restarts=3).run(never, codes, np.zeros(1, np.int64), linf(1, never), 0)
    assert seen == ["cross_entropy", "margin", "cross_entropy"]
