"""The base method's penalty on integers: how far a perturbation moves the free membrane.

As ``training.losses.perturbation_penalty``, of the last layer that spikes, with the decays of the
integers and in thresholds; a synaptic current passes on what it got as the integers' does. The
clean input is a fixed target.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurodeploy.errors import InputError
from neurodeploy.network import ALIGN_BITS, FixedPointNetwork
from neurodeploy.simulate.fixed_components import NeuronRule
from neurodeploy.simulate.weight_gradient import WeightGradient
from neurodeploy.training.losses import perturbation_penalty


class MembranePenalty:
    """The mean square of what a perturbation adds to the free membrane, in thresholds.

    Parameters
    ----------
    net : FixedPointNetwork
        Its decays and thresholds count; weights and biases may change afterwards.

    Raises
    ------
    InputError
        If no population between the input and the read-out fires.
    """

    def __init__(self, net: FixedPointNetwork) -> None:
        between = WeightGradient(net).between
        rules = [NeuronRule(p) for p in net.populations if p.name in between]
        firing = [rule for rule in rules if rule.can_fire]
        if not firing:
            raise InputError("repair: penalty: nothing between the input and the read-out spikes")
        last = firing[-1]
        #: The population it looks at.
        self.population = last.name
        self._keep_u = torch.from_numpy(last.keep_u / 4096.0)
        self._keep_v = torch.from_numpy(last.keep_v / 4096.0)
        self._unit = torch.from_numpy(2.0**ALIGN_BITS / last.unit)

    def of(self, clean: Tensor, perturbed: Tensor) -> tuple[float, Tensor]:
        """Return the penalty and its gradient by the perturbed input.

        ``clean``, ``perturbed``: synaptic inputs [B, T, N] of the population, float64 integers.
        """
        given = perturbed.detach().clone().requires_grad_()
        value = perturbation_penalty(self._current(clean), self._current(given), self._keep_v)
        (gradient,) = torch.autograd.grad(value, given)
        return float(value.detach()), gradient

    def _current(self, a: Tensor) -> Tensor:
        """Return what enters the membrane at every step, [T, B, N], in thresholds."""
        scaled = a * self._unit
        if not self._keep_u.any():
            return scaled.transpose(0, 1)
        u, steps = torch.zeros_like(scaled[:, 0]), []
        for x in scaled.unbind(1):
            u = self._keep_u * u + x
            steps.append(u)
        return torch.stack(steps)
