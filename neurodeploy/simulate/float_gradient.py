"""Gradients through a float network: scores that are differentiable by its input.

Plain networks (feed-forward, matrices, reset to v_reset) have a backward pass written by hand, the
same as that through the integers; all others are differentiated automatically.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from neurodeploy.errors import InputError
from neurodeploy.network.encoding import Encoder
from neurodeploy.network.floating import Network, Population, Synapse
from neurodeploy.simulate.float_general import GeneralGradient
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import SurrogateShape, check_surrogate
from neurodeploy.simulate.torch_devices import checked_device
from neurodeploy.simulate.unrolled import (
    LayerTrace,
    Tensor,
    UnrolledLayer,
    UnrolledNetwork,
    UnrolledSynapse,
)


class FloatGradient:
    """Scores of a float network, differentiable with respect to its input.

    The forward pass is ``run_float`` in float64 (matrix products may add in another order). A spike
    has the surrogate slope at ``(v - v_threshold) / |v_threshold|`` (a threshold of zero: at v, in
    membrane units), several spikes the sum of the slopes at each multiple of the threshold; resets
    are detached and parameters frozen. Scores that grow with the steps are divided by them.

    Parameters
    ----------
    net : Network
    width, shape, adaptive, device
        As in ``FixedGradient``.
    steps : int or None
        Steps of a held input; default ``net.steps``.

    Raises
    ------
    MissingComponentError
        For a device that torch cannot compute on.
    InputError
        For an unknown shape or device, or if neither says for how many steps an input is held,
        once one is.
    """

    def __init__(
        self,
        net: Network,
        *,
        width: float = 1.0,
        shape: SurrogateShape = "triangle",
        adaptive: bool = False,
        device: str | torch.device = "cpu",
        steps: int | None = None,
    ) -> None:
        check_surrogate(width, shape)
        self._net, self._width, self._shape = net, width, shape
        self._adaptive, self._device = adaptive, checked_device(device)
        self._steps = net.steps if steps is None else steps

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

        Raises
        ------
        ShapeError, RangeError
            For codes that do not fit the network.
        """
        # The hand-written pass reads all steps.
        by_hand = self._net.is_plain and self._net.readout.window is None
        path = self._plain if by_hand else self._general
        return path.scores(codes, width)

    def scores_of_values(self, values: Tensor, width: float | None = None) -> Tensor:
        """Return logits of input values, differentiable with respect to them.

        Parameters
        ----------
        values : Tensor [B, n_input] (held) or [T, B, n_input]
            What the network sees, in input units.
        width : float or None
            As in ``scores``.

        Returns
        -------
        Tensor [B, classes], float64
        """
        return self._general.scores_of_values(values, width)

    @cached_property
    def _plain(self) -> _PlainGradient:
        if self._steps is None:
            raise InputError(
                "steps: the network does not say for how many steps an input is held; give steps"
            )
        surrogate = Surrogate(self._width, self._shape, self._adaptive)
        return _PlainGradient(self._net, surrogate, self._device, self._steps)

    @cached_property
    def _general(self) -> GeneralGradient:
        return GeneralGradient(
            self._net,
            width=self._width,
            shape=self._shape,
            adaptive=self._adaptive,
            device=self._device,
            steps=self._steps,
        )


class _PlainGradient(UnrolledNetwork):
    """Scores of a plain network, with a backward pass written by hand."""

    def __init__(self, net: Network, surrogate: Surrogate, on: torch.device, steps: int) -> None:
        layers = tuple(
            _FloatLayer(p, tuple(_FloatSynapse(s, on) for s in net.synapses_into(p.name)), on)
            for p in net.populations
        )
        self._decoder: Encoder = net.encoder
        super().__init__(
            layers,
            readout=net.readout,
            n_input=net.n_input,
            steps=steps,
            encoder=net.encoder,
            input_slope=net.encoder.step,
            scale=1.0,
            width=surrogate.width,
            shape=surrogate.shape,
            adaptive=surrogate.adaptive,
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
