"""Surrogate slopes of a spike, at the distance from the threshold in thresholds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

from neurodeploy.errors import InputError

if TYPE_CHECKING:
    import torch

SurrogateShape = Literal["triangle", "superspike", "rectangle", "sigmoid", "gaussian"]

#: Least mean distance, in thresholds, that an adaptive width takes.
_LEAST = 2.0**-6


def check_surrogate(width: float, shape: str) -> None:
    """Raise InputError for a width that is not positive or an unknown shape."""
    if not width > 0:
        raise InputError(f"surrogate: width {width}; it must be positive, in thresholds")
    if shape not in get_args(SurrogateShape):
        known = ", ".join(get_args(SurrogateShape))
        raise InputError(f"surrogate: shape {shape!r} not known; choose from {known}")


def surrogate_slope(
    v_pre: torch.Tensor,
    threshold: torch.Tensor,
    unit: torch.Tensor,
    width: float | torch.Tensor,
    shape: SurrogateShape,
) -> torch.Tensor:
    """Return the slope that stands for d(spike) / d(v_pre), a new tensor.

    With ``x = (v_pre - threshold) / unit``, the width w and ``z = |x| / w``, all divided by
    ``unit`` (the inner derivative):

    - ``triangle``: ``max(0, 1 - z) / w``;
    - ``rectangle``: ``1 / (2 w)`` for z < 1, else 0;
    - ``sigmoid``: ``1 / (w cosh(2 z)^2)``, the derivative of ``1 / (1 + exp(-4 x / w))``;
    - ``gaussian``: ``exp(-pi z^2) / w``;
    - ``superspike``: ``1 / (w (1 + z)^2)``. Source: Zenke and Ganguli, Neural Computation 2018.

    All but the last have area 1, all but the rectangle the peak ``1 / w``.

    Parameters
    ----------
    v_pre : Tensor [..., N]
    threshold, unit : Tensor [N]
        ``unit`` is positive: the threshold's magnitude.
    width : float, or Tensor that broadcasts to v_pre
        In units.
    """
    # Divided, not multiplied by a reciprocal: v_pre = 0 at width 1 must be at distance 1 exactly.
    reach = unit * width
    distance = (v_pre - threshold).abs_().div_(reach)
    if shape == "triangle":
        return distance.neg_().add_(1.0).clamp_(min=0.0).div_(reach)
    if shape == "rectangle":
        return (distance < 1.0).to(v_pre.dtype).div_(2.0 * reach)
    if shape == "gaussian":
        return distance.square_().mul_(-math.pi).exp_().div_(reach)
    if shape == "sigmoid":
        low = distance.mul_(-4.0).exp_()  # cosh itself would overflow
        return (4.0 * low).div_((low + 1.0).square_()).div_(reach)
    return distance.add_(1.0).square_().reciprocal_().div_(reach)


def mean_distance(
    v_pre: torch.Tensor,
    threshold: torch.Tensor,
    unit: torch.Tensor,
    dim: int,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean of ``|v_pre - threshold| / unit`` over the steps, which ``dim`` holds.

    It is the unit of adaptive widths: one for each sample and neuron, so that a neuron whose
    membrane stays far from its threshold has a wide slope. After the width of adaptive spike
    surrogate gradients (SA-PGD, 2025), there also by steps.

    Parameters
    ----------
    v_pre : Tensor
        Without a gradient, with one axis of steps.
    counted : bool Tensor or None
        Which steps count: not those in which a refractory neuron waits. All by default.
    """
    distance = (v_pre - threshold).abs_().div_(unit)
    if counted is None:
        total, count = distance.sum(dim, keepdim=True), distance.new_tensor(v_pre.shape[dim])
    else:
        total = distance.mul_(counted).sum(dim, keepdim=True)
        count = counted.sum(dim, keepdim=True)
    return adaptive_unit(total, count)


def adaptive_unit(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Return ``total / count`` of distances, within 1/64 threshold and what is finite (else 1)."""
    mean = (total / count).clamp_(min=_LEAST)
    return mean.where(mean.isfinite(), mean.new_ones(()))
