"""Perturbed copies of a training batch: Gaussian noise, or one step of the gradient's sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from neurodeploy.neurons import SpikingSequence
    from neurodeploy.training.config import PerturbationConfig


def perturb(
    model: SpikingSequence,
    images: Tensor,
    labels: Tensor,
    config: PerturbationConfig,
    generator: torch.Generator,
) -> Tensor | None:
    """Return a perturbed copy of ``images`` [B, n] (input units, range 0 to 1), or None.

    Parameters
    ----------
    model : SpikingSequence
        Network that the sign step attacks; its parameters get no gradient from this.
    images, labels : tensor [B, n], [B]
    config : PerturbationConfig
        ``none`` gives None.
    generator : torch.Generator
        Source of the noise.
    """
    if config.kind == "none":
        return None
    if config.kind == "gaussian":
        # Not clipped to the input range, as in the base method.
        return images + config.sigma * _normal(images, generator)
    return fgsm(model, images, labels, config.radius, config.jitter, generator)


def fgsm(
    model: SpikingSequence,
    images: Tensor,
    labels: Tensor,
    radius: float,
    jitter: float,
    generator: torch.Generator,
) -> Tensor:
    """Take one step of ``radius`` along the sign of the gradient, from a slightly moved start.

    The start is moved by Gaussian noise of size ``jitter``, as in the base method; the result is
    projected to the l-infinity ball of ``radius`` around the images and to the range 0 to 1.
    """
    start = (images + jitter * _normal(images, generator)).requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model(start), labels), start)
    moved = start.detach() + radius * gradient.sign()
    lower = (images - radius).clamp(min=0)
    upper = (images + radius).clamp(max=1)
    return torch.minimum(torch.maximum(moved, lower), upper)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)
