"""Surrogate slopes of a spike, at the distance from the threshold in thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from neurodeploy.errors import InputError

if TYPE_CHECKING:
    import torch

SurrogateShape = Literal["triangle", "superspike", "rectangle"]


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
    width: float,
    shape: SurrogateShape,
) -> torch.Tensor:
    """Return the slope that stands for d(spike) / d(v_pre), a new tensor.

    With ``x = (v_pre - threshold) / unit`` and the width w, all divided by ``unit`` (the inner
    derivative): ``triangle`` is ``max(0, 1 - |x|/w) / w``, area 1; ``rectangle`` is ``1/(2w)`` for
    |x| < w, area 1; ``superspike`` is ``1 / (w (1 + |x|/w)^2)``, never zero. Source of the last:
    Zenke and Ganguli, Neural Computation 2018.

    Parameters
    ----------
    v_pre : Tensor [..., N]
    threshold, unit : Tensor [N]
        ``unit`` is positive: the threshold's magnitude.
    width : float
        In units.
    """
    # Divided, not multiplied by a reciprocal: v_pre = 0 at width 1 must be at distance 1 exactly.
    reach = unit * width
    distance = (v_pre - threshold).abs_().div_(reach)
    if shape == "triangle":
        return distance.neg_().add_(1.0).clamp_(min=0.0).div_(reach)
    if shape == "rectangle":
        return (distance < 1.0).to(v_pre.dtype).div_(2.0 * reach)
    return distance.add_(1.0).square_().reciprocal_().div_(reach)
