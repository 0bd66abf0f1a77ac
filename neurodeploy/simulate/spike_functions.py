"""From membrane to spikes in torch: exact forward, a surrogate slope backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from neurodeploy.simulate.surrogate import SurrogateShape, adaptive_unit, surrogate_slope

Tensor = torch.Tensor
#: (membrane [..., N], threshold [N]) to spikes [..., N].
SpikeFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Shape and width (in thresholds) of the slope that stands for a spike's derivative.

    ``adaptive``: the width of each sample and neuron is ``width`` times its mean distance from the
    threshold, see ``surrogate.mean_distance``.
    """

    width: float
    shape: SurrogateShape
    adaptive: bool = False


def spike_function(multiple: bool, surrogate: Surrogate | None) -> SpikeFunction:
    """Return ``v > threshold``, or ``max(0, floor(v / threshold))`` if ``multiple``.

    With a surrogate the result is differentiable by the membrane. Several spikes have the sum of
    the slopes at 1, 2, ... thresholds; those further from v than ``surrogate.width`` (and at least
    a threshold) are left out, which only the shapes without an end notice.

    An adaptive width is the mean over all membranes that the function is called with: it serves
    one run.
    """
    count = _several if multiple else _single
    if surrogate is None:
        return count

    distance = _Distance() if surrogate.adaptive else None

    def spikes(v: Tensor, threshold: Tensor) -> Tensor:
        if distance is not None:
            distance.add(v.detach(), threshold)
        found: Tensor = _Spikes.apply(  # type: ignore[no-untyped-call]
            v, threshold, surrogate, multiple, distance
        )
        return found

    return spikes


def _single(v: Tensor, threshold: Tensor) -> Tensor:
    return (v > threshold).to(v.dtype)


def _several(v: Tensor, threshold: Tensor) -> Tensor:
    n = torch.floor(v / threshold)
    return torch.where(n > 0, n, 0.0)


class _Distance:
    """Distances from the threshold, in thresholds, summed over the steps of one run."""

    def __init__(self) -> None:
        self._total: Tensor | float = 0.0
        self._count = 0

    def add(self, v: Tensor, threshold: Tensor) -> None:
        """Count membranes [B, N] of one step, or [T, B, N]."""
        rows = ((v - threshold).abs() / threshold_unit(threshold)).reshape(-1, *v.shape[-2:])
        self._total, self._count = self._total + rows.sum(dim=0), self._count + rows.shape[0]

    @property
    def mean(self) -> Tensor:
        """As ``mean_distance`` gives it, [B, N]."""
        total = torch.as_tensor(self._total)
        return adaptive_unit(total, total.new_tensor(self._count))


class _Spikes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, threshold: Tensor, surrogate: Surrogate, multiple: bool,
        distance: _Distance | None,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(v, threshold)
        ctx.surrogate, ctx.multiple, ctx.distance = surrogate, multiple, distance
        return (_several if multiple else _single)(v, threshold)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        v, threshold = ctx.saved_tensors
        width: float | Tensor = ctx.surrogate.width
        if ctx.distance is not None:
            width = ctx.distance.mean * width
        several = _slope_of_several if ctx.multiple else _slope
        slope = several(v, threshold, ctx.surrogate, width)
        return gradient * slope, None, None, None, None


def _slope(v: Tensor, threshold: Tensor, surrogate: Surrogate, width: float | Tensor) -> Tensor:
    return surrogate_slope(v, threshold, threshold_unit(threshold), width, surrogate.shape)


def _slope_of_several(
    v: Tensor, threshold: Tensor, surrogate: Surrogate, width: float | Tensor
) -> Tensor:
    nearest = torch.round(v / threshold)
    reach = math.ceil(surrogate.width + 0.5)
    unit = threshold_unit(threshold)
    total = torch.zeros_like(v)
    for offset in range(-reach, reach + 1):
        k = nearest + offset
        slope = surrogate_slope(v, k * threshold, unit, width, surrogate.shape)
        total += torch.where(k >= 1, slope, 0.0)
    return total


def threshold_unit(threshold: Tensor) -> Tensor:
    """Return the unit of the distance from a threshold: its magnitude.

    A threshold that is zero or infinite has none; one membrane unit stands in.
    """
    unit = threshold.abs()
    return torch.where((unit > 0) & torch.isfinite(unit), unit, 1.0)
