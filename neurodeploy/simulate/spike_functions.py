"""From membrane to spikes in torch: exact forward, a surrogate slope backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from neurodeploy.simulate.surrogate import SurrogateShape, surrogate_slope

Tensor = torch.Tensor
#: (membrane [..., N], threshold [N]) to spikes [..., N].
SpikeFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Shape and width (in thresholds) of the slope that stands for a spike's derivative."""

    width: float
    shape: SurrogateShape


def spike_function(multiple: bool, surrogate: Surrogate | None) -> SpikeFunction:
    """Return ``v > threshold``, or ``max(0, floor(v / threshold))`` if ``multiple``.

    With a surrogate the result is differentiable by the membrane. Several spikes have the sum of
    the slopes at 1, 2, ... thresholds; those further from v than the width (and at least a
    threshold) are left out, which only the endless ``superspike`` notices.
    """
    count = _several if multiple else _single
    if surrogate is None:
        return count

    def spikes(v: Tensor, threshold: Tensor) -> Tensor:
        found: Tensor = _Spikes.apply(v, threshold, surrogate, multiple)  # type: ignore[no-untyped-call]
        return found

    return spikes


def _single(v: Tensor, threshold: Tensor) -> Tensor:
    return (v > threshold).to(v.dtype)


def _several(v: Tensor, threshold: Tensor) -> Tensor:
    n = torch.floor(v / threshold)
    return torch.where(n > 0, n, 0.0)


class _Spikes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, threshold: Tensor, surrogate: Surrogate, multiple: bool
    ) -> Tensor:
        ctx.save_for_backward(v, threshold)
        ctx.surrogate, ctx.multiple = surrogate, multiple
        return (_several if multiple else _single)(v, threshold)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        v, threshold = ctx.saved_tensors
        slope = (_slope_of_several if ctx.multiple else _slope)(v, threshold, ctx.surrogate)
        return gradient * slope, None, None, None


def _slope(v: Tensor, threshold: Tensor, surrogate: Surrogate) -> Tensor:
    return surrogate_slope(
        v, threshold, threshold_unit(threshold), surrogate.width, surrogate.shape
    )


def _slope_of_several(v: Tensor, threshold: Tensor, surrogate: Surrogate) -> Tensor:
    nearest = torch.round(v / threshold)
    reach = math.ceil(surrogate.width + 0.5)
    unit = threshold_unit(threshold)
    total = torch.zeros_like(v)
    for offset in range(-reach, reach + 1):
        k = nearest + offset
        slope = surrogate_slope(v, k * threshold, unit, surrogate.width, surrogate.shape)
        total += torch.where(k >= 1, slope, 0.0)
    return total


def threshold_unit(threshold: Tensor) -> Tensor:
    """Return the unit of the distance from a threshold: its magnitude.

    A threshold that is zero or infinite has none; one membrane unit stands in.
    """
    unit = threshold.abs()
    return torch.where((unit > 0) & torch.isfinite(unit), unit, 1.0)
