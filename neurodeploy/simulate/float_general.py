"""Gradients through any float network, by automatic differentiation of the run itself.

The run is ``run_float``'s, with membranes made of torch operations: populations on no cycle over
all steps at once, cycles step by step. Spikes have a surrogate slope, resets are detached,
parameters are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network.connections import INPUT
from neurodeploy.network.encoding import Readout
from neurodeploy.network.floating import Network, Population
from neurodeploy.simulate.float_chunk import FloatChunk
from neurodeploy.simulate.float_network import Connection, OnEntering, ReadyNetwork, ready_network
from neurodeploy.simulate.float_neurons import NeuronTrace, Wanted
from neurodeploy.simulate.float_records import output_key
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import SurrogateShape, check_surrogate

Tensor = torch.Tensor


class GeneralGradient:
    """Scores of any float network, differentiable with respect to its input.

    Parameters
    ----------
    net : Network
    width : float
        Default surrogate width, in thresholds.
    shape, adaptive, device
        As in ``FloatGradient``.
    steps : int or None
        Steps of a held input.
    """

    def __init__(
        self,
        net: Network,
        *,
        width: float,
        shape: SurrogateShape,
        device: str | torch.device,
        steps: int | None,
        adaptive: bool = False,
    ) -> None:
        check_surrogate(width, shape)
        self._adaptive = adaptive
        self._net, self._steps = net, steps
        self._width, self._shape, self._device = width, shape, torch.device(device)
        # Adaptive widths belong to one run, and with them the network that is made ready for it.
        self._ready = self._build if adaptive else lru_cache(maxsize=8)(self._build)

    def scores(self, codes: Tensor, width: float | None = None) -> Tensor:
        """Return logits [B, classes] of held codes [B, n_input]; as ``FloatGradient.scores``."""
        encoder, n_input = self._net.encoder, self._net.n_input
        if codes.ndim != 2 or codes.shape[1] != n_input or codes.shape[0] == 0:
            raise ShapeError(
                f"codes: shape {tuple(codes.shape)}; gradients need held codes [B, {n_input}] "
                "with at least one sample"
            )
        low, high = (float(x) for x in codes.detach().aminmax())
        if not (low >= 0 and high <= encoder.max_code):
            raise RangeError(
                f"codes: range {low}..{high} leaves the encoder's 0..{encoder.max_code}; clip "
                "them first"
            )
        exact = codes.to(torch.float64)
        whole = exact + (torch.round(exact) - exact).detach()
        return self.scores_of_values(encoder.low + whole * encoder.step, width)

    def scores_of_values(self, values: Tensor, width: float | None = None) -> Tensor:
        """Return logits [B, classes] of values [B, n_input] (held) or [T, B, n_input]."""
        used = self._width if width is None else width
        check_surrogate(used, self._shape)
        if values.ndim not in (2, 3) or values.shape[-1] != self._net.n_input or not values.numel():
            n_input = self._net.n_input
            raise ShapeError(
                f"values: shape {tuple(values.shape)}; this network needs [B, {n_input}] (held) "
                f"or [T, B, {n_input}], with at least one sample"
            )
        steps = self._steps if values.ndim == 2 else values.shape[0]
        if steps is None:
            raise InputError(
                "steps: the network does not say for how many steps an input is held; give steps"
            )
        rows = values[None] if values.ndim == 2 else values
        observer = _OutputObserver(self._net, steps)
        limits = {INPUT: steps, **{p.name: steps for p in self._net.populations}}
        chunk = FloatChunk(self._ready(used), rows.shape[1], limits, observer)
        chunk.run_block(0, steps, rows.to(self._device, torch.float64))
        return read_scores(observer.output, self._net.readout)

    def _build(self, width: float) -> ReadyNetwork:
        return ready_network(
            self._net,
            torch.float64,
            self._device,
            Surrogate(width, self._shape, self._adaptive),
            differentiable=True,
        )


class _OutputObserver:
    """Keeps the output of a run, and counts nothing."""

    keeps_sources = False

    def __init__(self, net: Network, steps: int) -> None:
        self._name, self._quantity = output_key(net).rsplit("/", 1)
        self._steps = steps
        self.output = torch.empty(0)

    def wanted(self, p: Population, first: int, steps: int) -> Wanted:
        """Return the state that is read out."""
        reads = p.name == self._name and self._quantity in ("u", "v", "v_pre")
        return {self._quantity: None} if reads else {}

    def observe(self, p: Population, first: int, steps: int, trace: NeuronTrace) -> None:
        """Keep the output [T, B, N]."""
        if p.name != self._name:
            return
        found = trace.v if self._quantity == "v" else trace.sent
        if found is None or (self._quantity == "spikes" and not p.fires):
            found = torch.zeros_like(trace.sent)
        self.output = found.expand(self._steps, *found.shape[1:])

    def entering(self, c: Connection, steps: int, events: Tensor | None) -> OnEntering | None:
        """Count nothing."""
        return None

    def end_of_block(self, first: int, steps: int, sources: Mapping[str, Tensor]) -> None:
        """Need nothing."""


def read_scores(output: Tensor, readout: Readout) -> Tensor:
    """Reduce an output [T, B, classes] as ``read_out`` does; sums are divided by their steps."""
    start, stop = readout.window or (0, output.shape[0])
    if stop > output.shape[0]:
        raise ShapeError(
            f"read-out: window {start}:{stop} ends after the run's {output.shape[0]} steps"
        )
    seen = output[start:stop]
    if readout.kind == "last_v":
        return seen[-1]
    if readout.kind == "max_v":
        return seen.max(dim=0).values
    if readout.kind == "sum":
        before = output[start - 1] if start else torch.zeros_like(seen[-1])
        return (seen[-1] - before) / (stop - start)
    return seen.sum(dim=0) / (stop - start)
