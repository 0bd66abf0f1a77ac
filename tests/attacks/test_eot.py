"""Expectation over draws, on a spiking rate code with known probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from neurodeploy.attacks import PGD, Ball, BernoulliCode, Expectation, loss_gradient
from neurodeploy.errors import InputError


@dataclass(frozen=True, eq=False)
class Counter:
    """Linear in the spike counts of a rate code: the mean of its scores is known."""

    weight: torch.Tensor
    code: BernoulliCode

    @property
    def max_code(self):
        return self.code.max_code

    def scores_of_draw(self, codes, seed):
        return self.code.spikes(codes, seed).mean(dim=0) @ self.weight.T


@pytest.fixture
def counter():
    weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Counter(weight, BernoulliCode(8, 255))


def codes_and_labels(n=20):
    codes = np.random.default_rng(1).integers(0, 256, (n, 6)).astype(np.int32)
    return codes, np.arange(n) % 3


def test_spikes_are_bernoulli():
    code = BernoulliCode(steps=4000, max_code=255)
    codes = torch.tensor([[0.0, 255.0, 51.0, 204.0]], dtype=torch.float64)
    spikes = code.spikes(codes, 3)
    assert spikes.shape == (4000, 1, 4)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    rate = spikes.mean(dim=0)[0]
    assert rate[0] == 0
    assert rate[1] == 1
    assert abs(rate[2] - 0.2) < 0.03
    assert abs(rate[3] - 0.8) < 0.03
    assert not torch.equal(spikes, code.spikes(codes, 4))


def test_a_draw_does_not_hang_on_the_batch(counter):
    codes, _ = codes_and_labels()
    point = torch.from_numpy(codes.astype(np.float64))
    together = counter.code.spikes(point, 5)
    assert torch.equal(together[:, [7, 2]], counter.code.spikes(point[[7, 2]], 5))


def test_gradient_is_the_mean_over_draws(counter):
    codes, labels = codes_and_labels()
    seeds = (3, 8, 21)
    mean = loss_gradient(Expectation(counter, seeds), codes, labels, "margin")
    point = torch.from_numpy(codes.astype(np.float64)).requires_grad_(True)
    scores = sum(counter.scores_of_draw(point, s) for s in seeds) / 3
    picked = scores[torch.arange(20), torch.from_numpy(labels)]
    masked = scores.detach().clone()
    masked[torch.arange(20), torch.from_numpy(labels)] = -torch.inf
    rival = scores[torch.arange(20), masked.argmax(dim=1)]
    (expected,) = torch.autograd.grad((rival - picked).sum(), point)
    np.testing.assert_allclose(mean.gradient, expected.numpy(), atol=1e-15)
    # The slope of every spike is that of its probability.
    weight = counter.weight.numpy()
    rows = weight[masked.argmax(dim=1).numpy()] - weight[labels]
    np.testing.assert_allclose(mean.gradient, rows / 255, atol=1e-15)


def test_decides_by_the_mean_and_the_same_each_time(counter):
    codes, _ = codes_and_labels()
    expectation = Expectation(counter, (0, 1, 2, 3))
    assert (expectation.predict(codes) == expectation.predict(codes)).all()
    assert (expectation.predict(codes) == expectation.predicted_scores(codes).argmax(axis=1)).all()
    tied = Counter(torch.zeros(3, 6, dtype=torch.float64), counter.code)
    assert (Expectation(tied, (0,)).predict(codes) == -1).all()


def test_more_draws_break_more_of_the_mean_classifier(counter):
    """Judged by many fresh draws, points found with many draws hold better than with one."""
    codes, _ = codes_and_labels(150)
    fresh = Expectation(counter, tuple(range(1000, 1400)))
    labels = fresh.predict(codes)
    broken = []
    for seeds in ((1,), tuple(range(32))):
        outcome = PGD(steps=5, restarts=1).run(
            Expectation(counter, seeds), codes, labels, Ball("linf", 20, 255), 0
        )
        broken.append((fresh.predict(outcome.codes) != labels).mean())
    assert broken[1] > broken[0] + 0.02


def test_bad_settings(counter):
    with pytest.raises(InputError, match="at least one"):
        Expectation(counter, ())
    with pytest.raises(InputError, match="at least 1"):
        BernoulliCode(0, 255)
