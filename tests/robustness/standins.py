"""Tiny classifiers on a code grid, whose robustness can be known by enumeration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch

from neurodeploy.network import decide


class NoSurrogate:
    """A classifier that has a gradient of its own."""

    def under(self, surrogate):
        return self


@dataclass(frozen=True, eq=False)
class Linear(NoSurrogate):
    """Integer scores ``weight @ codes + bias``; ties are -1. Surrogates do nothing."""

    weight: np.ndarray
    bias: np.ndarray
    max_code: int = 255
    logit_scale: float = 0.01

    def predict(self, codes):
        return decide(self.predicted_scores(codes))

    def predicted_scores(self, codes):
        return (np.asarray(codes, np.int64) @ self.weight.T + self.bias).astype(np.float64)

    def scores(self, codes):
        weight = torch.from_numpy(self.weight.astype(np.float64))
        bias = torch.from_numpy(self.bias.astype(np.float64))
        return (codes @ weight.T + bias) * self.logit_scale


@dataclass(frozen=True, eq=False)
class Blind(Linear):
    """The same decisions, but no gradient ever."""

    def scores(self, codes):
        return super().scores(codes).detach() + 0.0 * codes.sum(dim=1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Constant(NoSurrogate):
    """Always the same class."""

    answer: int
    classes: int
    max_code: int = 255

    def predict(self, codes):
        return np.full(len(codes), self.answer, dtype=np.int64)

    def predicted_scores(self, codes):
        return np.tile(np.eye(self.classes)[self.answer], (len(codes), 1))

    def scores(self, codes):
        scores = torch.zeros(codes.shape[0], self.classes, dtype=torch.float64)
        scores[:, self.answer] = 1.0
        return scores + 0.0 * codes.sum(dim=1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Spy(NoSurrogate):
    """Another classifier, and a list of what was asked of it."""

    inner: object
    asked: list = field(default_factory=list)

    @property
    def max_code(self):
        return self.inner.max_code

    def predict(self, codes):
        self.asked.append(("predict", np.array(codes)))
        return self.inner.predict(codes)

    def predicted_scores(self, codes):
        self.asked.append(("predict", np.array(codes)))
        return self.inner.predicted_scores(codes)

    def scores(self, codes):
        self.asked.append(("scores", codes.detach().numpy().copy()))
        return self.inner.scores(codes)


def random_linear(seed, n_input, classes, max_code=255, largest=9):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-largest, largest + 1, (classes, n_input))
    # Balanced around the middle of the range, so that many samples lie near a border.
    bias = -(weight.sum(axis=1) * max_code) // 2 + rng.integers(-largest, largest + 1, classes)
    return Linear(weight, bias, max_code)


def ball_points(code, radius, max_code):
    """All whole points of the l-infinity ball around one sample, inside the range."""
    axes = [range(max(c - radius, 0), min(c + radius, max_code) + 1) for c in code]
    return np.array(list(itertools.product(*axes)), dtype=np.int32)


def truly_robust(classifier, codes, labels, radius):
    """Right on every point of the ball, by enumeration."""
    return np.array(
        [
            bool((classifier.predict(ball_points(c, radius, classifier.max_code)) == y).all())
            for c, y in zip(codes, labels, strict=True)
        ]
    )
