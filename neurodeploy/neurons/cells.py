"""LIF and DLIF cells: one time step, in Norse's calling convention.

Both follow the base method ("Robust Stable Spiking Neural Networks", ICML 2024)::

    v = retention * v + p[t] * x        (p is 1 for LIF)
    s = v > v_threshold                 (strict, as in Norse and Lava)
    v = v_reset where s

``retention`` is the share of the membrane kept per step (the base method's tau, 0.99 there). It
carries no unit: a cell does not know how long a step is. Norse's ``LIFBoxCell`` does the same with
``dt * tau_mem_inv = 1 - retention`` when its input is multiplied by ``p[t] / (1 - retention)``;
``as_lif_box`` gives that cell. Spikes and their surrogate gradient are Norse's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.neurons.norse_parts import (
    LIFBoxCell,
    LIFBoxParameters,
    reset_value,
    threshold,
)

#: Range of DLIF's gain. Each value in it has an 8-bit mantissa from 1 to 255 at exponent 4, so
#: that no trained gain is lost in quantisation.
GAIN_MIN = 1 / 16
GAIN_MAX = 255 / 16

SURROGATES = ("triangle", "super", "tanh", "circ", "heavi_erfc")


class CellState(NamedTuple):
    """Membrane ``v`` [B, N] after the last step, and how many steps of the sample are done."""

    v: Tensor
    step: int = 0


class LIFCell(torch.nn.Module):
    """Leaky integrate-and-fire without a current of its own.

    Parameters
    ----------
    retention : float or array [N]
        Share of the membrane kept per step, at least 0 and below 1.
    v_threshold, v_reset : float or array [N]
        In membrane units; ``v_reset`` must lie at or below ``v_threshold``.
    surrogate : str
        Name of Norse's surrogate. "triangle" with ``alpha`` 1 (half-width 1, unit area) is the
        base method's.
    alpha : float
        Steepness or height of the surrogate, as Norse defines it.

    Raises
    ------
    RangeError
        For a parameter outside its range.
    """

    retention: Tensor
    v_threshold: Tensor
    v_reset: Tensor

    def __init__(
        self,
        retention: Any = 0.99,
        v_threshold: Any = 1.0,
        v_reset: Any = 0.0,
        *,
        surrogate: str = "triangle",
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        if surrogate not in SURROGATES:
            raise RangeError(f"surrogate {surrogate!r} is not known; use {', '.join(SURROGATES)}")
        # float64 whatever the weights are: the NIR file then says tau of 0.99, not of float32's
        # 0.9900000095. A step casts them to the dtype of its input.
        for name, value in (
            ("retention", retention),
            ("v_threshold", v_threshold),
            ("v_reset", v_reset),
        ):
            self.register_buffer(name, _parameter(name, value))
        self.surrogate = surrogate
        self.alpha = alpha
        if not bool(((self.retention >= 0) & (self.retention < 1)).all()):
            raise RangeError(f"retention {self.retention.tolist()}: must be in 0 <= r < 1")
        if not bool((self.v_reset <= self.v_threshold).all()):
            raise RangeError(
                f"v_reset {self.v_reset.tolist()} lies above v_threshold "
                f"{self.v_threshold.tolist()}: such a neuron would fire for ever"
            )

    def forward(self, x: Tensor, state: CellState | None = None) -> tuple[Tensor, CellState]:
        """Do one step.

        Parameters
        ----------
        x : tensor [B, N]
            Input current.
        state : CellState or None
            None starts a sample: membrane 0, step 0.

        Returns
        -------
        spikes : tensor [B, N]
            0 or 1, in the dtype of ``x``.
        state : CellState
        """
        state = CellState(torch.zeros_like(x)) if state is None else state
        v = self.retention.to(x.dtype) * state.v + self.drive(x, state.step)
        spikes = threshold(v - self.v_threshold.to(x.dtype), self.surrogate, self.alpha)
        v = reset_value(spikes, v, self.v_reset.to(x.dtype), self.v_threshold)
        return spikes, CellState(v, state.step + 1)

    def drive(self, x: Tensor, step: int) -> Tensor:
        """Return what enters the membrane at 0-based ``step`` for the input current ``x``."""
        del step
        return x

    def drives(self, currents: Tensor) -> Tensor:
        """Return ``drive`` of every step of ``currents`` [T, B, N]."""
        return currents

    def gains(self, steps: int) -> Tensor | None:
        """Return the gain of the first ``steps`` steps, [T] float64, or None where it is 1."""
        del steps
        return None

    def as_lif_box(self, dt: float) -> Any:
        """Return Norse's ``LIFBoxCell`` with the same dynamics at a step of ``dt`` seconds.

        Its input must be multiplied by ``p[t] / (1 - retention)``.
        """
        parameters = LIFBoxParameters(
            tau_mem_inv=(1 - self.retention) / dt,
            v_leak=torch.zeros((), dtype=torch.float64),
            v_th=self.v_threshold,
            v_reset=self.v_reset,
            method=self.surrogate,
            alpha=self.alpha,
        )
        return LIFBoxCell(parameters, dt=dt)

    def extra_repr(self) -> str:
        """Return the parameters for ``repr``."""
        names = ("retention", "v_threshold", "v_reset")
        return ", ".join(f"{name}={_short(getattr(self, name))}" for name in names)


class DLIFCell(LIFCell):
    """LIF with a learnable gain per step, ``p[t]``, on its input (initial value 1).

    One scalar per step, shared by the layer. After the last one the last value holds; a new
    sample (state None) starts again at the first. ``project_`` keeps the gain in its range.

    Parameters
    ----------
    steps : int
        Number of gains, T.
    retention, v_threshold, v_reset, surrogate, alpha
        As for :class:`LIFCell`.
    """

    def __init__(
        self,
        steps: int,
        retention: Any = 0.99,
        v_threshold: Any = 1.0,
        v_reset: Any = 0.0,
        *,
        surrogate: str = "triangle",
        alpha: float = 1.0,
    ) -> None:
        super().__init__(retention, v_threshold, v_reset, surrogate=surrogate, alpha=alpha)
        if steps < 1:
            raise RangeError(f"DLIF: {steps} steps; a gain needs at least one")
        self.gain = torch.nn.Parameter(torch.ones(steps))

    def drive(self, x: Tensor, step: int) -> Tensor:
        """Return ``p[step] * x``; after the last gain the last one holds."""
        return self.gain[min(step, self.gain.numel() - 1)] * x

    def drives(self, currents: Tensor) -> Tensor:
        """Return ``p[t] * x[t]`` of every step of ``currents`` [T, B, N]."""
        return self._held(currents.shape[0])[:, None, None] * currents

    def gains(self, steps: int) -> Tensor:
        """Return ``p`` for the first ``steps`` steps, [T] float64."""
        return self._held(steps).detach().double()

    def _held(self, steps: int) -> Tensor:
        held = self.gain[-1:].expand(max(0, steps - self.gain.numel()))
        return torch.cat([self.gain[:steps], held])

    @torch.no_grad()
    def project_(self) -> None:
        """Clamp the gain to ``GAIN_MIN .. GAIN_MAX``, in place, after an optimiser step.

        Zero or a negative gain is legal in the base method's code but has no 8-bit mantissa of
        the integer rule (1 to 255).
        """
        self.gain.clamp_(GAIN_MIN, GAIN_MAX)


def _parameter(name: str, value: Any) -> Tensor:
    array = np.array(
        value.detach().cpu() if isinstance(value, Tensor) else value, dtype=np.float64, copy=True
    )
    if array.ndim > 1:
        raise ShapeError(f"{name}: shape {array.shape}; give one number or one per neuron [N]")
    if not np.isfinite(array).all():
        raise RangeError(f"{name}: must be finite, is {array.tolist()}")
    return torch.from_numpy(array)


def _short(value: Tensor) -> str:
    return f"{value.item():g}" if value.ndim == 0 else f"[{value.numel()}]"
