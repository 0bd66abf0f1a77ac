"""The torch modules that stand for NIR nodes beside Norse's own cells.

Norse's cells take their parameters as any object with the right attributes. Here that object is a
module with buffers, so that ``.to``, ``.double`` and ``state_dict`` reach the neurons' constants.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.neurons import CellState, DLIFCell
from neurodeploy.neurons.norse_parts import (
    LIFBoxCell,
    LIFBoxFeedForwardState,
    threshold,
)

# Norse itself only after norse_parts, which silences what its import warns of.
# isort: split
from norse.torch.functional.iaf import IAFFeedForwardState
from norse.torch.functional.leaky_integrator import LIState
from norse.torch.functional.leaky_integrator_box import LIBoxState
from norse.torch.functional.lif import LIFFeedForwardState
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.iaf import IAFCell
from norse.torch.module.leaky_integrator import LICell
from norse.torch.module.leaky_integrator_box import LIBoxCell
from norse.torch.module.lif import LIFCell
from norse.torch.module.snn import SNNCell

__all__ = [
    "DelayLine",
    "FloatArray",
    "IAFCell",
    "Integrator",
    "LIBoxCell",
    "LICell",
    "LIFCell",
    "NeuronParameters",
    "PairedLinear",
    "SNNCell",
    "Scale",
    "SpikeThreshold",
    "Stages",
    "State",
    "StepGain",
    "iaf_subtract_step",
    "reset_subtract",
    "reset_subtract_fixed",
    "start_missing",
    "zero_state",
]

FloatArray: TypeAlias = NDArray[np.float64]
#: A cell's state (Norse's named tuples), a past of inputs, or a step count.
State: TypeAlias = Any


class NeuronParameters(torch.nn.Module):
    """Parameters of a Norse cell as buffers, with Norse's attribute names.

    Parameters
    ----------
    surrogate : str
        Norse's surrogate gradient.
    alpha : float
        Its steepness or height, as Norse defines it.
    reset_method : callable or None
        Norse's ``reset_method(z, v, v_reset, v_th)``, where the cell has one.
    **values : array
        ``tau_mem_inv`` (1/s), ``v_th`` and so on, one value per neuron.
    """

    def __init__(
        self, surrogate: str, alpha: float, reset_method: Any = None, **values: FloatArray
    ) -> None:
        super().__init__()
        self.method = surrogate
        self.alpha = alpha
        if reset_method is not None:
            self.reset_method = reset_method
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def extra_repr(self) -> str:
        """Return the parameters' names for ``repr``."""
        return ", ".join([*self._buffers, f"method={self.method}"])


class Scale(torch.nn.Module):
    """``factor * x``, element by element; a parameter, or a constant (a buffer)."""

    factor: Tensor

    def __init__(self, factor: FloatArray, *, constant: bool = False) -> None:
        super().__init__()
        value = torch.tensor(factor, dtype=torch.float64)
        if constant:
            self.register_buffer("factor", value)
        else:
            self.factor = torch.nn.Parameter(value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, [B, *shape]."""
        return self.factor * x


class PairedLinear(torch.nn.Module):
    """One matrix per leading index: weight [.., out, in] on x [B, .., in], plus bias [.., out]."""

    def __init__(self, weight: FloatArray, bias: FloatArray | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
        self.bias = None
        if bias is not None:
            self.bias = torch.nn.Parameter(torch.tensor(bias, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, .., out]."""
        y = torch.matmul(self.weight, x.unsqueeze(-1)).squeeze(-1)
        return y if self.bias is None else y + self.bias


class SpikeThreshold(torch.nn.Module):
    """1 where ``x > threshold``, with Norse's surrogate gradient; no state."""

    threshold: Tensor

    def __init__(self, value: FloatArray, surrogate: str, alpha: float) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(value, dtype=torch.float64))
        self.method = surrogate
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return 0 or 1 in the dtype of ``x``."""
        spikes: Tensor = threshold(x - self.threshold, self.method, self.alpha)
        return spikes


class DelayLine(torch.nn.Module):
    """``y[t] = x[t - steps]``, zero before; ``steps`` [*shape], one whole number per element.

    The state is the tuple of past inputs, the last one first.
    """

    def __init__(self, steps: NDArray[np.int32]) -> None:
        super().__init__()
        self.longest = int(steps.max())
        self.lengths = tuple(int(n) for n in np.unique(steps))
        for length in self.lengths[1:]:
            self.register_buffer(f"is_{length}", torch.tensor(steps == length))

    def forward(self, x: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Do one step."""
        return self._pick((x, *past)), self.push(x, past)

    def read(self, past: tuple[Tensor, ...]) -> Tensor:
        """Return this step's output before its input is known; every delay is at least 1."""
        return self._pick((past[0], *past))

    def push(self, x: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the past that the next step needs."""
        return (x, *past)[: self.longest]

    def _pick(self, seen: tuple[Tensor, ...]) -> Tensor:
        y = seen[self.lengths[0]]
        for length in self.lengths[1:]:
            y = torch.where(getattr(self, f"is_{length}"), seen[length], y)
        return y


class StepGain(torch.nn.Module):
    """DLIF's gain on any neuron's input: ``gain[t] * x``; after the last one the last holds."""

    def __init__(self, gain: FloatArray) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain, dtype=torch.float64))

    def forward(self, x: Tensor, step: int) -> tuple[Tensor, int]:
        """Do 0-based ``step`` of the sample."""
        return self.gain[min(step, self.gain.numel() - 1)] * x, step + 1


class Integrator(torch.nn.Module):
    """``v + x``: NIR's I, which has no leak and never fires. Norse has no such cell."""

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Do one step; the output is v."""
        v = v + x
        return v, v


def reset_subtract_fixed(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Reset method of a Norse cell: subtract ``v_reset``, whatever the threshold is."""
    del th
    return v - z * reset


def iaf_subtract_step(
    x: Tensor, state: Any, p: NeuronParameters, dt: float
) -> tuple[Tensor, IAFFeedForwardState]:
    """Do one step of Norse's IAF with Norse's subtractive reset, which its own cell lacks."""
    del dt
    v = state.v + x
    z = threshold(v - p.v_th, p.method, p.alpha)
    return z, IAFFeedForwardState(v=reset_subtract(z, v, p.v_reset, p.v_th))


def start_missing(x: Tensor) -> IAFFeedForwardState:
    """Return that cell's state where none is given: zero."""
    return IAFFeedForwardState(v=torch.zeros_like(x))


class Stages(torch.nn.ModuleList):
    """Modules in a row that make up one node; each may keep a state."""

    def forward(self, x: Tensor, states: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Do one step of all stages."""
        after = []
        for stage, state in zip(self, states, strict=True):
            if state is None:
                x = stage(x)
            else:
                x, state = stage(x, state)
            after.append(state)
        return x, tuple(after)


def zero_state(module: torch.nn.Module, zero: Tensor) -> State:
    """Return a module's state at the start of a sample; ``zero`` [B, *shape] of its input.

    All membranes and currents are zero, whatever v_leak and v_reset are: Norse's own start values
    are not the execution contract's. None for a module without a state.
    """
    if isinstance(module, Stages):
        return tuple(zero_state(stage, zero) for stage in module)
    if isinstance(module, DelayLine):
        return (zero,) * module.longest
    if isinstance(module, StepGain):
        return 0
    if isinstance(module, Integrator):
        return zero
    if isinstance(module, DLIFCell):
        return CellState(zero)
    if isinstance(module, LIFBoxCell):
        return LIFBoxFeedForwardState(v=zero)
    if isinstance(module, LIFCell):
        return LIFFeedForwardState(v=zero, i=zero)
    if isinstance(module, LIBoxCell):
        return LIBoxState(v=zero)
    if isinstance(module, LICell):
        return LIState(v=zero, i=zero)
    # The subtracting cell is a plain SNNCell.
    return IAFFeedForwardState(v=zero) if isinstance(module, (IAFCell, SNNCell)) else None
