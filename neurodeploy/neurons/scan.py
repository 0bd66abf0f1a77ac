"""One cell over all steps, with its back-propagation through time written out.

Stepping a cell under autograd records about ten small operations per step, and their overhead is
most of the training time of a small network. Here the forward steps record nothing, and the
backward pass runs the recursion by hand. Spikes are bit-equal to stepping the cell; gradients are
the same up to rounding (the tests compare both).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from neurodeploy.neurons.cells import LIFCell
from neurodeploy.neurons.norse_parts import threshold


def scan(cell: LIFCell, currents: Tensor) -> Tensor:
    """Run ``cell`` over ``currents`` [T, B, N] from a fresh state; return the spikes [T, B, N].

    Gradients flow through the spikes' surrogate and through the reset, as when stepping the cell.
    """
    dtype = currents.dtype
    constants = (cell.retention, cell.v_threshold, cell.v_reset)
    spikes = _Scan.apply(  # type: ignore[no-untyped-call]
        cell.drives(currents), *(c.to(dtype) for c in constants), cell.surrogate, cell.alpha
    )
    return cast(Tensor, spikes)


class _Scan(torch.autograd.Function):
    """Spikes of ``pre = r * v + drive``, ``s = pre > theta``, ``v = (1 - s) * pre + s * v_reset``.

    With g the gradient of the loss, the surrogate slope h = h(pre - theta) and dv the gradient of
    v from the next step::

        dpre[t] = dv[t] * ((1 - s) + (v_reset - pre) * h) + ds[t] * h
        dv[t-1] = r * dpre[t]
    """

    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        retention: Tensor,
        v_threshold: Tensor,
        v_reset: Tensor,
        surrogate: str,
        alpha: float,
    ) -> Tensor:
        pre = torch.empty_like(drives)
        spikes = torch.empty_like(drives)
        v = torch.zeros_like(drives[0])
        for t, drive in enumerate(drives.unbind(0)):
            torch.add(retention * v, drive, out=pre[t])
            fired = pre[t] > v_threshold
            spikes[t] = fired
            v = torch.where(fired, v_reset, pre[t])
        ctx.save_for_backward(pre, spikes, retention, v_threshold, v_reset)
        ctx.surrogate = (surrogate, alpha)
        return spikes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        pre, spikes, retention, v_threshold, v_reset = ctx.saved_tensors
        slope = _surrogate_slope(pre - v_threshold, *ctx.surrogate)
        through_v = (1 - spikes) + (v_reset - pre) * slope
        grad = grad_spikes * slope
        grad_v = torch.zeros_like(pre[0])
        for t in range(pre.shape[0] - 1, -1, -1):
            grad[t].addcmul_(grad_v, through_v[t])
            grad_v = retention * grad[t]
        return grad, None, None, None, None, None


def _surrogate_slope(distance: Tensor, surrogate: str, alpha: float) -> Tensor:
    """Return the slope that Norse's own ``threshold`` uses at ``distance`` from the threshold."""
    with torch.enable_grad():
        distance = distance.detach().requires_grad_()
        spikes = threshold(distance, surrogate, alpha)
        (slope,) = torch.autograd.grad(spikes.sum(), distance)
    return slope
