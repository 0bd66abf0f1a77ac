"""Auto-PGD against the algorithm of its paper, written down once more for one sample."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from robustness.standins import NoSurrogate, Spy, random_linear, truly_robust

from neurodeploy.attacks import APGD, Ball, SampleRandom, apgd
from neurodeploy.errors import InputError
from neurodeploy.network import decide


@dataclass(frozen=True, eq=False)
class Relu(NoSurrogate):
    """One hidden layer in float64."""

    hidden: torch.Tensor
    out: torch.Tensor
    max_code: int = 255

    def scores(self, codes):
        return torch.relu((codes / self.max_code - 0.5) @ self.hidden.T) @ self.out.T

    def predicted_scores(self, codes):
        return self.scores(torch.from_numpy(np.asarray(codes, np.float64))).numpy()

    def predict(self, codes):
        return decide(self.predicted_scores(codes))


def relu(seed, n=10, hidden=30, classes=5, max_code=255):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return Relu(draw(hidden, n), draw(classes, hidden), max_code)


class WrongError(Exception):
    """The sample is misclassified: the attack is over."""


def objective(classifier, label, loss, target, to_grid, visited):
    """The loss at the nearest whole codes, its slope, and what was visited; plain torch."""

    def f(x):
        whole = to_grid(x)
        visited.append(whole.astype(int).tolist())
        point = torch.tensor(whole, requires_grad=True)
        z = classifier.scores(point[None])[0]
        if int(z.argmax()) != label:
            raise WrongError
        rest = [z[i] for i in range(len(z)) if i != label]
        ranked = sorted(z, reverse=True)
        if loss == "cross_entropy":
            value = -torch.log_softmax(z, 0)[label]
        elif target is None:
            value = -(z[label] - max(rest)) / (ranked[0] - ranked[2] + 1e-12)
        else:
            low = (ranked[2] + ranked[3]) / 2
            value = -(z[label] - z[target]) / (ranked[0] - low + 1e-12)
        return float(value.detach()), torch.autograd.grad(value, point)[0].numpy()

    return f


def algorithm_1(f, x0, project, direction, epsilon, n):
    """Auto-PGD as the paper states it, line by line. Returns how often the step was halved."""
    p = [Fraction(0), Fraction("0.22")]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - Fraction("0.03"), Fraction("0.06")))
    w = [math.ceil(share * n) for share in p]
    w = w[: next(i for i, at in enumerate(w) if at >= n)]
    x, values, slopes, eta, best_value = {}, {}, {}, {}, {}
    x[0] = x0
    values[0], slopes[0] = f(x[0])
    step = 2 * epsilon
    eta[0] = step
    x[1] = project(x[0] + step * direction(slopes[0]))
    values[1], slopes[1] = f(x[1])
    best = max(values[0], values[1])
    at_best = (x[0], slopes[0]) if best == values[0] else (x[1], slopes[1])
    best_value[0], best_value[1] = values[0], best
    halvings = 0
    for k in range(1, n):
        eta[k] = step
        z = project(x[k] + step * direction(slopes[k]))
        x[k + 1] = project(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1]))
        values[k + 1], slopes[k + 1] = f(x[k + 1])
        if values[k + 1] > best:
            best, at_best = values[k + 1], (x[k + 1], slopes[k + 1])
        best_value[k + 1] = best
        if k in w:
            previous = w[w.index(k) - 1]
            rises = sum(values[i + 1] > values[i] for i in range(previous, k))
            first = rises < 0.75 * (k - previous)
            second = eta[previous] == eta[k] and best_value[previous] == best_value[k]
            if first or second:
                step, halvings = step / 2, halvings + 1
                x[k + 1], slopes[k + 1] = at_best
                values[k + 1] = best
    return halvings


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("loss", "targets"), [("cross_entropy", 0), ("dlr", 0), ("dlr", 1)], ids=["ce", "dlr", "t"]
)
@pytest.mark.parametrize("kind", ["relu", "linear"])
def test_it_visits_what_the_paper_s_algorithm_visits(kind, norm, loss, targets):
    make = relu if kind == "relu" else lambda s: random_linear(s, 10, 5, largest=3)
    classifier = make(3)
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (12, 10)).astype(np.int32)
    labels = classifier.predict(codes)
    ball = Ball(norm, 14 if norm == "linf" else 33.3, 255)
    low, high = np.maximum(codes - 14, 0), np.minimum(codes + 14, 255)
    lengths, halvings = set(), 0
    for i in range(12):
        spy = Spy(classifier)
        attack = APGD(steps=32, loss=loss, targets=targets)
        attack.run(spy, codes[[i]], labels[[i]], ball, 77, np.array([i]))
        visited = [p.astype(int).tolist() for kind, (p,) in spy.asked if kind == "scores"]
        start = ball.random(codes[[i]], SampleRandom(77, np.array([i])), stream=0)[0]
        expected = []
        target = None
        if targets:
            z = classifier.predicted_scores(codes[[i]])[0]
            target = int(np.argsort(-z)[1])

        def to_grid(x, i=i):
            # Rounding in an l2 ball has tests of its own.
            return np.rint(x) if norm == "linf" else ball.to_grid(x[None], codes[[i]])[0] * 1.0

        f = objective(classifier, labels[i], loss, target, to_grid, expected)

        def project(x, i=i):
            if norm == "linf":
                return np.clip(x, low[i], high[i])
            offset = np.clip(x, 0, 255) - codes[i]
            return codes[i] + offset * min(1.0, 33.3 / max(np.linalg.norm(offset), 1e-300))

        def direction(g):
            return np.sign(g) if norm == "linf" else g / np.linalg.norm(g)

        with contextlib.suppress(WrongError):
            halvings += algorithm_1(f, start, project, direction, ball.radius, 32)
        assert visited == expected
        lengths.add(len(expected))
    assert 33 in lengths, "some samples must hold out"
    assert halvings > 3


def test_checkpoints_are_those_of_the_paper():
    """p = 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99."""
    assert apgd.checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)
    assert apgd.checkpoints(2) == (1,)


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr", "margin"])
def test_exact_on_two_linear_classes(loss):
    classifier = random_linear(1, 4, 2, max_code=15, largest=3)
    codes = np.random.default_rng(2).integers(0, 16, (60, 4)).astype(np.int32)
    labels = np.maximum(classifier.predict(codes), 0)
    outcome = APGD(steps=10, loss=loss).run(classifier, codes, labels, Ball("linf", 2, 15), 5)
    robust = truly_robust(classifier, codes, labels, 2)
    assert 5 < robust.sum() < 55
    assert (~outcome.found == robust).all()
    assert outcome.queries < 60 * 11


def test_targets_find_what_one_loss_misses_and_are_the_highest_other_classes():
    classifier = relu(0, classes=4)
    codes = np.random.default_rng(3).integers(0, 256, (30, 10)).astype(np.int32)
    labels = classifier.predict(codes)
    order = apgd._other_classes(classifier, codes, labels)
    scores = classifier.predicted_scores(codes)
    for i in range(30):
        assert sorted([*order[i], labels[i]]) == [0, 1, 2, 3]
        assert (np.diff(scores[i, order[i]]) <= 0).all()
    ball = Ball("linf", 30, 255)
    whole = APGD(steps=10, loss="dlr", targets=3).run(classifier, codes, labels, ball, 1)
    part = APGD(steps=10, loss="dlr", targets=1).run(classifier, codes, labels, ball, 1)
    assert (whole.found >= part.found).all()
    chosen = np.array([8, 3, 22])
    again = APGD(steps=10, loss="dlr", targets=3).run(
        classifier, codes[chosen], labels[chosen], ball, 1, chosen
    )
    assert (again.codes == whole.codes[chosen]).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes(classes):
    classifier = random_linear(2, 6, classes, largest=3)
    codes = np.random.default_rng(2).integers(0, 256, (10, 6)).astype(np.int32)
    labels = np.maximum(classifier.predict(codes), 0)
    for targets in (0, 5):
        outcome = APGD(steps=5, loss="dlr", targets=targets).run(
            classifier, codes, labels, Ball("linf", 40, 255), 1
        )
        wrong = classifier.predict(outcome.codes) != labels
        assert (outcome.found == wrong).all()


def test_names_and_bad_settings():
    assert [a.name for a in (APGD(), APGD(loss="dlr"), APGD(loss="dlr", targets=3))] == [
        "apgd-ce",
        "apgd-dlr",
        "apgd-t",
    ]
    for change in ({"steps": 1}, {"restarts": 0}, {"targets": -1}, {"targets": 2}):
        with pytest.raises(InputError, match="APGD"):
            APGD(**change)
