"""Gradients through the float network: the same shape of backward pass as through the integers."""

from __future__ import annotations

import numpy as np
import torch

from neurodeploy.network.encoding import ConstantEncoder
from neurodeploy.network.floating import Network, Population, Synapse
from neurodeploy.simulate.surrogate import SurrogateShape
from neurodeploy.simulate.unrolled import (
    LayerTrace,
    Tensor,
    UnrolledLayer,
    UnrolledNetwork,
    UnrolledSynapse,
)


class FloatGradient(UnrolledNetwork):
    """Scores of a float network, differentiable with respect to its input codes.

    The forward pass is ``run_float`` in float64 (matrix products may add in another order). A spike
    has the surrogate slope at ``(v - v_threshold) / v_threshold``; the reset is detached and
    parameters are frozen. Scores that grow with the steps are divided by them.

    Parameters
    ----------
    net : Network
    width, shape, device, steps
        As in ``FixedGradient``.
    """

    def __init__(
        self,
        net: Network,
        *,
        width: float = 1.0,
        shape: SurrogateShape = "triangle",
        device: str | torch.device = "cpu",
        steps: int | None = None,
    ) -> None:
        on = torch.device(device)
        layers = tuple(
            _FloatLayer(p, tuple(_FloatSynapse(s, on) for s in net.synapses_into(p.name)), on)
            for p in net.populations
        )
        self._decoder: ConstantEncoder = net.encoder
        super().__init__(
            layers,
            readout=net.readout,
            n_input=net.n_input,
            steps=net.steps if steps is None else steps,
            encoder=net.encoder,
            input_slope=net.encoder.step,
            scale=1.0,
            width=width,
            shape=shape,
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Return the input values that ``codes`` stand for."""
        return self._decoder.low + codes * self._decoder.step


class _FloatSynapse(UnrolledSynapse):
    def __init__(self, synapse: Synapse, device: torch.device) -> None:
        self.source = synapse.source
        self.slope = torch.tensor(synapse.weight, dtype=torch.float64, device=device)

    def sums(self, sent: Tensor) -> Tensor:
        """Return weighted sums."""
        return sent @ self.slope.T


class _FloatLayer(UnrolledLayer):
    def __init__(
        self, p: Population, synapses: tuple[_FloatSynapse, ...], device: torch.device
    ) -> None:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        self.name, self.synapses = p.name, synapses
        self._can_fire = p.kind != "li"
        self.threshold = tensor(p.v_threshold if self._can_fire else np.full(p.size, np.inf))
        # A threshold of zero has no unit of its own; one membrane unit stands in.
        unit = self.threshold.abs()
        self.unit = torch.where(unit > 0, unit, torch.ones_like(unit))
        self._decay_v = tensor(p.decay_v)
        self.keep = 1.0 - self._decay_v
        self._v_leak, self.v_reset = tensor(p.v_leak), tensor(p.v_reset)
        self._v_init, self._bias = tensor(p.v_init), tensor(p.bias)
        gain = np.ones(1) if p.gain is None else p.gain
        self._gain_steps = tensor(p.input_gain * gain[:, None])[:, None, :]

    def run(self, current: Tensor, steps: int) -> LayerTrace:
        """Run on the summed synaptic input."""
        drive = (current + self._bias) * self._gain(steps)
        shape = (steps, *drive.shape[1:])
        v_pre = drive.new_empty(shape)
        v = self._v_init.expand(shape[1:])
        for t in range(steps):
            step = (self._v_leak - v).mul_(self._decay_v).add_(v)
            v = torch.add(step, drive[t if drive.shape[0] > 1 else 0], out=v_pre[t])
            if self._can_fire:
                v = torch.where(v > self.threshold, self.v_reset, v)
        spikes = torch.gt(v_pre, self.threshold).to(v_pre.dtype) if self._can_fire else None
        return LayerTrace(v_pre, spikes, None)

    def by_current(self, by_drive: Tensor) -> Tensor:
        """Backward through the gain."""
        return by_drive.mul_(self._gain(by_drive.shape[0]))

    def _gain(self, steps: int) -> Tensor:
        """Return the factor of each step, [T, 1, N], or [1, 1, N] if it never changes."""
        known = self._gain_steps
        if known.shape[0] == 1:
            return known
        index = torch.arange(steps, device=known.device).clamp(max=known.shape[0] - 1)
        return known[index]
