"""The base method's loss against literal loops."""

import math

import pytest
import torch

from neurodeploy.neurons import SequenceOutput
from neurodeploy.training.losses import mixed_loss, perturbation_penalty


def random_currents(seed, shape=(8, 5, 7)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def literal_penalty(clean, perturbed, retention):
    steps, batch, size = clean.shape
    total = 0.0
    for b in range(batch):
        for n in range(size):
            y = 0.0
            for t in range(steps):
                y = retention * y + float(perturbed[t, b, n]) - float(clean[t, b, n])
                total += y * y
    return total / (steps * batch * size)


@pytest.mark.parametrize("retention", [0.99, 0.5, 0.0])
def test_penalty_equals_a_literal_loop(retention):
    clean, perturbed = random_currents(0), random_currents(1)
    found = perturbation_penalty(clean, perturbed, torch.tensor(retention, dtype=torch.float64))
    assert found.item() == pytest.approx(literal_penalty(clean, perturbed, retention), rel=1e-12)


def test_penalty_has_no_gradient_into_the_clean_branch():
    clean, perturbed = random_currents(0).requires_grad_(), random_currents(1).requires_grad_()
    perturbation_penalty(clean, perturbed, torch.tensor(0.9)).backward()
    assert clean.grad is None
    assert perturbed.grad.abs().min() > 0


def test_penalty_of_a_constant_difference():
    """Y[t] = d (1 - r^(t+1)) / (1 - r), the geometric sum."""
    clean = torch.zeros(8, 1, 1, dtype=torch.float64)
    y = [0.3 * (1 - 0.5 ** (t + 1)) / 0.5 for t in range(8)]
    found = perturbation_penalty(clean, clean + 0.3, torch.tensor(0.5))
    assert found.item() == pytest.approx(sum(v * v for v in y) / 8, rel=1e-6)


def cross_entropy(scores, labels):
    rows = [
        math.log(sum(math.exp(s) for s in row)) - row[label]
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    return sum(rows) / len(rows)


def output(seed):
    scores = random_currents(seed, (5, 3))
    return SequenceOutput(scores, (random_currents(seed + 50), random_currents(seed + 60)), ())


@pytest.mark.parametrize(("kappa", "alpha"), [(0.5, 0.0), (0.25, 1.5), (0.0, 0.1), (1.0, 2.0)])
def test_mixed_loss(kappa, alpha):
    clean, perturbed = output(1), output(2)
    labels = torch.tensor([0, 2, 1, 1, 0])
    retention = torch.tensor(0.99, dtype=torch.float64)
    parts = mixed_loss(clean, perturbed, labels, kappa=kappa, alpha=alpha, retention=retention)
    a, b = cross_entropy(clean.scores, labels), cross_entropy(perturbed.scores, labels)
    y = literal_penalty(clean.currents[-1], perturbed.currents[-1], 0.99)
    expected = kappa * a + (1 - kappa) * b + alpha * y
    assert parts.total.item() == pytest.approx(expected, rel=1e-10)
    assert (parts.clean.item(), parts.perturbed.item()) == pytest.approx((a, b), rel=1e-10)
    assert parts.penalty.item() == pytest.approx(y if alpha else 0, rel=1e-10)


def test_without_perturbation_the_loss_is_clean():
    labels = torch.tensor([0, 2, 1, 1, 0])
    parts = mixed_loss(output(1), None, labels, kappa=0.5, alpha=0.0, retention=torch.tensor(0.9))
    assert parts.total.item() == pytest.approx(cross_entropy(output(1).scores, labels), rel=1e-10)
