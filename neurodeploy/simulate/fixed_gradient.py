"""Gradients through the integers: exact forward, straight-through backward."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.simulate.fixed_torch import TorchGradient
from neurodeploy.simulate.gradient_engine import CompiledGradient
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import SurrogateShape, check_surrogate
from neurodeploy.simulate.torch_devices import checked_device

Tensor = torch.Tensor
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class _Engine(Protocol):
    """What computes raw scores and their gradient on one kind of device."""

    def forward(self, codes: Tensor, readout: ReadoutGradient, keep: bool) -> tuple[Tensor, Any]:
        """Return raw scores [B, classes] and what the way back needs."""

    def backward(
        self,
        gradient: Tensor,
        chunks: Any,
        readout: ReadoutGradient,
        surrogate: Surrogate,
        like: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return the gradient by the codes, typed ``like`` them, computed in ``dtype``."""


class FixedGradient:
    """Scores of a fixed-point network, differentiable with respect to its input codes.

    Forward, the integers are those of ``run_fixed`` in aligned timing. The scores are its
    read-out, divided by the read-out's scale and, where they grow with them, by the steps, so that
    they have the size of the float network's.

    Backward, floor, truncation and wrap have slope one, a clipped membrane slope zero, a spike
    the surrogate slope at ``(v - theta) / theta`` (theta zero: one synaptic unit); the reset is
    detached and parameters are frozen. A step in which a refractory neuron keeps v passes the
    gradient on unchanged; a periodic reset ends it. A code that is sent as a spike (no payload)
    counts as if its payload were sent. Every component runs over all steps at once, forward and
    backward.

    Parameters
    ----------
    net : FixedPointNetwork
    width : float
        Surrogate width, in thresholds.
    shape : {"triangle", "superspike", "rectangle", "sigmoid", "gaussian"}
        See ``surrogate_slope``. The last two take longer.
    adaptive : bool
        Whether each sample and neuron has a width of its own: ``width`` times the mean over the
        steps of ``|v - theta| / theta``, without those in which it waits, and of at least 1/64.
    device : str
        Where to compute. On the CPU by compiled kernels, elsewhere by torch, which needs float64
        there.
    steps : int or None
        Steps of held codes; default ``net.steps``.
    precision : {"float32", "float64"} or None
        What the gradient is computed in; default: float64 if the codes are, else float32. On the
        CPU float32 takes about two thirds of the time. Scores are exact either way.

    Raises
    ------
    InputError
        For an unknown shape, precision or device.
    MissingComponentError
        For a device that torch cannot compute on.
    RangeError
        For a decay, gain or shift that the rules do not define.
    """

    def __init__(
        self,
        net: FixedPointNetwork,
        *,
        width: float = 1.0,
        shape: SurrogateShape = "triangle",
        adaptive: bool = False,
        device: str | torch.device = "cpu",
        steps: int | None = None,
        precision: Literal["float32", "float64"] | None = None,
    ) -> None:
        check_surrogate(width, shape)
        if precision not in (None, "float32", "float64"):
            raise InputError(f"precision {precision!r} not known; choose float32 or float64")
        self._dtype = None if precision is None else _DTYPES[precision]
        self._net, self._width, self._shape, self._adaptive = net, width, shape, adaptive
        self._steps = net.steps if steps is None else steps
        on = checked_device(device)
        self._engine: _Engine = (
            CompiledGradient(net) if on.type == "cpu" else TorchGradient(net, on)
        )

    def scores(self, codes: Tensor, width: float | None = None) -> Tensor:
        """Return logits of ``codes``, differentiable with respect to them.

        Parameters
        ----------
        codes : Tensor [B, n_input] (held at every step) or [T, B, n_input]
            Within 0 .. max_code. What is not whole is rounded; the gradient passes straight
            through the rounding.
        width : float or None
            Surrogate width in thresholds; default: that of the constructor.

        Returns
        -------
        Tensor [B, classes], float64
            The read-out, in membrane units, divided by the steps where it grows with them.

        Raises
        ------
        ShapeError, RangeError
            For codes that do not fit the network, or are too short for the read-out's window.
        """
        used = self._width if width is None else width
        check_surrogate(used, self._shape)
        n = self._net.n_input
        if codes.ndim not in (2, 3) or codes.shape[-1] != n or 0 in codes.shape[:-1]:
            raise ShapeError(
                f"codes: shape {tuple(codes.shape)}; gradients need held codes [B, {n}] or a "
                f"sequence [T, B, {n}], with at least one sample and one step"
            )
        steps = codes.shape[0] if codes.ndim == 3 else self._steps
        scale = self._net.population(self._net.readout.population).common_scale
        readout = ReadoutGradient(self._net.readout, steps, scale, self._net.score_offset)
        raw: Tensor = _RawScores.apply(  # type: ignore[no-untyped-call]
            codes, self._engine, readout, Surrogate(used, self._shape, self._adaptive), self._dtype
        )
        return raw / readout.unit


class _RawScores(torch.autograd.Function):
    """An engine's forward pass with its hand-written way back."""

    @staticmethod
    def forward(
        ctx: Any, codes: Tensor, engine: _Engine, readout: ReadoutGradient, surrogate: Surrogate,
        dtype: torch.dtype | None = None,
    ) -> Tensor:  # fmt: skip
        scores, chunks = engine.forward(codes, readout, ctx.needs_input_grad[0])
        ctx.engine, ctx.readout, ctx.surrogate, ctx.chunks = engine, readout, surrogate, chunks
        double = codes.dtype == torch.float64
        ctx.dtype = dtype or (torch.float64 if double else torch.float32)
        # Of the codes only shape and type are needed, not their values.
        ctx.like = torch.empty(1, dtype=codes.dtype, device=codes.device).expand(codes.shape)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        found = ctx.engine.backward(
            gradient, ctx.chunks, ctx.readout, ctx.surrogate, ctx.like, ctx.dtype
        )
        return found, None, None, None, None
