"""A network unrolled over time as one differentiable function of its input codes.

The network is feed-forward, so each population runs over all steps before the next begins: its
synaptic input for all steps is one matrix product, and only the membrane needs a loop over time.
The backward pass is written out: gradients flow to the input alone, parameters are frozen, and
the reset is a constant (detached).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.encoding import Encoder, Readout
from neurodeploy.simulate.surrogate import (
    SurrogateShape,
    check_surrogate,
    mean_distance,
    surrogate_slope,
)

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LayerTrace:
    """What one population did: float64 [T, B, N].

    ``v_pre`` is the membrane before reset, ``spikes`` 0 or 1 (None for a population that cannot
    fire). ``passes`` is 1 where the membrane passes gradients and 0 where it was clipped; None
    where it never was.
    """

    v_pre: Tensor
    spikes: Tensor | None
    passes: Tensor | None


class UnrolledSynapse(ABC):
    """A connection: exact sums forward, a plain matrix backward."""

    source: str
    slope: Tensor  # [out, in], d(sum) / d(sent)

    @abstractmethod
    def sums(self, sent: Tensor) -> Tensor:
        """Return the sums [..., out] of what was sent [..., in]."""


class UnrolledLayer(ABC):
    """A population and the synapses into it."""

    name: str
    synapses: tuple[UnrolledSynapse, ...]
    threshold: Tensor  # [N], in units of v
    unit: Tensor  # [N], positive: measures distance from the threshold
    keep: Tensor  # [N], dv[t] / dv[t-1]
    v_reset: Tensor  # [N]

    @abstractmethod
    def run(self, current: Tensor, steps: int) -> LayerTrace:
        """Run on the summed synaptic input [T or 1, B, N] (1: the same at every step).

        ``current`` may be overwritten.
        """

    @abstractmethod
    def by_current(self, by_drive: Tensor) -> Tensor:
        """Turn the gradient by v's drive [T, B, N] into that by the synaptic input, in place."""


class UnrolledNetwork:
    """Populations in update order; scores of codes and their gradient.

    Parameters
    ----------
    layers : tuple of UnrolledLayer
    readout : Readout
    n_input, steps : int
    encoder : Encoder
        For the range of codes.
    input_slope : float
        d(what the first synapse receives) / d(code).
    scale : float
        Units of v per membrane unit in the read-out population.
    """

    def __init__(
        self,
        layers: tuple[UnrolledLayer, ...],
        *,
        readout: Readout,
        n_input: int,
        steps: int,
        encoder: Encoder,
        input_slope: float,
        scale: float,
        width: float,
        shape: SurrogateShape,
        adaptive: bool = False,
    ) -> None:
        check_surrogate(width, shape)
        self._adaptive = adaptive
        self._layers = layers
        self._readout = readout
        self._n_input, self._steps = n_input, steps
        self._encoder = encoder
        self._input_slope = input_slope
        grows = readout.kind in ("count", "sum", "mean_v")
        in_v = readout.kind != "count"
        self._score_unit = (scale if in_v else 1.0) * (steps if grows else 1)
        self._width, self._shape = width, shape

    def scores(self, codes: Tensor, width: float | None = None) -> Tensor:
        """Return logits of ``codes``, differentiable with respect to them.

        Parameters
        ----------
        codes : Tensor [B, n_input]
            Held at every step, within 0 .. max_code. What is not whole is rounded; the gradient
            passes straight through the rounding.
        width : float or None
            Surrogate width in thresholds; default: that of the constructor.

        Returns
        -------
        Tensor [B, classes], float64
            The read-out, in membrane units, divided by the steps where it grows with them.

        Raises
        ------
        ShapeError, RangeError
            For codes that do not fit the network.
        """
        used = self._width if width is None else width
        check_surrogate(used, self._shape)
        self._check(codes)
        read: Tensor = _Unrolled.apply(codes, self, used)  # type: ignore[no-untyped-call]
        return read / self._score_unit

    def decode(self, codes: Tensor) -> Tensor:
        """Return what the input sends for whole codes."""
        return codes

    def forward(self, codes: Tensor) -> tuple[Tensor, dict[str, LayerTrace]]:
        """Return the read-out [B, classes] and every trace; ``mean_v`` is summed over time."""
        whole = torch.round(codes.detach().to(self._layers[0].threshold))
        steady = {
            INPUT: self.decode(whole)[None],
            ALWAYS_ON: whole.new_ones(1, whole.shape[0], 1),
        }
        traces: dict[str, LayerTrace] = {}
        for layer in self._layers:
            current: Tensor | None = None
            for synapse in layer.synapses:
                sent = steady.get(synapse.source)
                if sent is None:
                    spikes = traces[synapse.source].spikes
                    if spikes is None:
                        continue
                    sent = spikes
                part = synapse.sums(sent)
                current = part if current is None else _added(current, part)
            if current is None:
                current = whole.new_zeros(1, whole.shape[0], layer.threshold.shape[0])
            traces[layer.name] = layer.run(current, self._steps)
        last = next(x for x in self._layers if x.name == self._readout.population)
        return self._read_out(last, traces[last.name]), traces

    def backward(self, gradient: Tensor, traces: dict[str, LayerTrace], width: float) -> Tensor:
        """Return the gradient by the codes [B, n_input] for a gradient by the raw scores."""
        by_spikes: dict[str, Tensor] = {}
        by_input = gradient.new_zeros(gradient.shape[0], self._n_input)
        for layer in reversed(self._layers):
            trace = traces[layer.name]
            by_v: Tensor | None = None
            if layer.name == self._readout.population:
                own = self._by_read_out(layer, gradient, trace)
                if self._readout.kind != "count":
                    by_v = own
                elif layer.name in by_spikes:
                    by_spikes[layer.name] = by_spikes[layer.name] + own
                else:
                    by_spikes[layer.name] = own
            if by_v is None and layer.name not in by_spikes:
                continue  # nothing that was read depends on it
            by_drive = self._by_drive(layer, trace, by_spikes.pop(layer.name, None), by_v, width)
            by_current = layer.by_current(by_drive)
            for synapse in layer.synapses:
                if synapse.source == INPUT:
                    by_input += by_current.sum(dim=0) @ synapse.slope
                elif synapse.source != ALWAYS_ON:
                    part = by_current @ synapse.slope
                    known = by_spikes.get(synapse.source)
                    by_spikes[synapse.source] = part if known is None else known.add_(part)
        return by_input * self._input_slope

    def _by_drive(
        self,
        layer: UnrolledLayer,
        trace: LayerTrace,
        by_spikes: Tensor | None,
        by_v: Tensor | None,
        width: float,
    ) -> Tensor:
        """Return the gradient by the drive: everything added to v before it is clipped.

        With g[t] that gradient: ``g[t] = passes[t] * (by_spikes[t] * slope[t]
        + (1 - s[t]) * (by_v[t] + keep * g[t+1]))``.
        """
        if trace.spikes is None:
            by_drive = torch.zeros_like(trace.v_pre) if by_v is None else by_v
            carried = layer.keep.expand(by_drive.shape)
        else:
            alive = 1.0 - trace.spikes
            by_drive = torch.zeros_like(alive) if by_v is None else by_v * alive
            if by_spikes is not None:
                own: float | Tensor = width
                if self._adaptive:
                    own = width * mean_distance(trace.v_pre, layer.threshold, layer.unit, 0)
                slope = surrogate_slope(trace.v_pre, layer.threshold, layer.unit, own, self._shape)
                by_drive = slope.mul_(by_spikes).add_(by_drive)
            carried = alive.mul_(layer.keep)
        if trace.passes is not None:
            by_drive, carried = by_drive * trace.passes, carried * trace.passes
        for t in range(by_drive.shape[0] - 2, -1, -1):
            by_drive[t].addcmul_(carried[t], by_drive[t + 1])
        return by_drive

    def _read_out(self, layer: UnrolledLayer, trace: LayerTrace) -> Tensor:
        kind = self._readout.kind
        if kind == "count":
            if trace.spikes is None:
                return torch.zeros_like(trace.v_pre[0])
            return trace.spikes.sum(dim=0)
        v = _after_reset(layer, trace)
        if kind in ("sum", "last_v"):
            return v[-1].clone()
        return v.amax(dim=0) if kind == "max_v" else v.sum(dim=0)

    def _by_read_out(self, layer: UnrolledLayer, gradient: Tensor, trace: LayerTrace) -> Tensor:
        """Return the gradient by spikes (``count``) or by v after reset, [T, B, classes]."""
        kind = self._readout.kind
        if kind in ("count", "mean_v"):
            return gradient.expand(trace.v_pre.shape).clone()
        by_v = torch.zeros_like(trace.v_pre)
        if kind == "max_v":
            highest = _after_reset(layer, trace).argmax(dim=0, keepdim=True)
            by_v.scatter_(0, highest, gradient[None])
        else:
            by_v[-1] = gradient
        return by_v

    def _check(self, codes: Tensor) -> None:
        if codes.ndim != 2 or codes.shape[1] != self._n_input or codes.shape[0] == 0:
            raise ShapeError(
                f"codes: shape {tuple(codes.shape)}; gradients need held codes "
                f"[B, {self._n_input}] with at least one sample"
            )
        low, high = (float(x) for x in codes.detach().aminmax())
        if not (low >= 0 and high <= self._encoder.max_code):
            raise RangeError(
                f"codes: range {low}..{high} leaves the encoder's 0..{self._encoder.max_code}; "
                "clip them first"
            )


def _added(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a + b``, in one of them where it has the shape of the sum."""
    if a.shape[0] < b.shape[0]:
        a, b = b, a
    return a.add_(b)


def _after_reset(layer: UnrolledLayer, trace: LayerTrace) -> Tensor:
    if trace.spikes is None:
        return trace.v_pre
    return torch.where(trace.spikes == 0, trace.v_pre, layer.v_reset)


class _Unrolled(torch.autograd.Function):
    """``UnrolledNetwork.forward`` with its hand-written backward pass."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, network: UnrolledNetwork, width: float) -> Tensor:
        scores, traces = network.forward(codes)
        ctx.network, ctx.width, ctx.dtype = network, width, codes.dtype
        ctx.traces = traces if ctx.needs_input_grad[0] else None
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        by_codes = ctx.network.backward(gradient, ctx.traces, ctx.width)
        return by_codes.to(ctx.dtype), None, None
