"""The base method's loss: clean and perturbed cross-entropy, and the perturbation penalty.

Source: "Robust Stable Spiking Neural Networks", ICML 2024, and its public code. The paper calls
the mixing factor chi and the weight of the penalty rho; the code calls them kappa and alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from neurodeploy.neurons import SequenceOutput


@dataclass(frozen=True, slots=True)
class LossParts:
    """Total loss and its parts, all scalars; ``perturbed`` and ``penalty`` are 0 without noise."""

    total: Tensor
    clean: Tensor
    perturbed: Tensor
    penalty: Tensor


def perturbation_penalty(
    clean_current: Tensor, perturbed_current: Tensor, retention: Tensor
) -> Tensor:
    """Return the mean of Y squared over steps, batch and neurons.

    Y follows the free membrane under the perturbation, without gain and without reset::

        Y[t] = retention * Y[t-1] + (perturbed[t] - clean[t])

    Parameters
    ----------
    clean_current, perturbed_current : tensor [T, B, N]
        Input current of the last spiking layer (before DLIF's gain). The clean one is a fixed
        target: no gradient flows into it.
    retention : tensor, scalar or [N]
        Share of the membrane kept per step.
    """
    difference = perturbed_current - clean_current.detach()
    retention = retention.to(difference.dtype)
    y = torch.zeros_like(difference[0])
    steps = []
    for current in difference.unbind(0):
        y = retention * y + current
        steps.append(y)
    return torch.stack(steps).square().mean()


def mixed_loss(
    clean: SequenceOutput,
    perturbed: SequenceOutput | None,
    labels: Tensor,
    *,
    kappa: float,
    alpha: float,
    retention: Tensor,
) -> LossParts:
    """Return ``kappa * CE(clean) + (1 - kappa) * CE(perturbed) + alpha * mean(Y**2)``.

    With ``perturbed`` None the loss is the plain clean cross-entropy.

    Parameters
    ----------
    clean, perturbed : SequenceOutput
        The same images without and with perturbation.
    labels : tensor [B]
    kappa, alpha : float
        Share of the clean cross-entropy; weight of the penalty.
    retention : tensor
        Of the last spiking layer.
    """
    clean_loss = cross_entropy(clean.scores, labels)
    if perturbed is None:
        zero = torch.zeros_like(clean_loss)
        return LossParts(clean_loss, clean_loss, zero, zero)
    perturbed_loss = cross_entropy(perturbed.scores, labels)
    total = kappa * clean_loss + (1 - kappa) * perturbed_loss
    if alpha == 0:
        return LossParts(total, clean_loss, perturbed_loss, torch.zeros_like(total))
    penalty = perturbation_penalty(clean.currents[-1], perturbed.currents[-1], retention)
    return LossParts(total + alpha * penalty, clean_loss, perturbed_loss, penalty)
