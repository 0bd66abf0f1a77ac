"""Integers that learn: real numbers behind mantissas, and the network that rounding makes of them.

What the quantiser proved about overflow stays true. No neuron's largest possible synaptic sum may
exceed the largest of its population, and no bias the largest of its population; what would is
kept as it was. Where convolutions alone feed a population, a channel's biases move together, as a
convolution's bias does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    INPUT,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    with_start_v,
)
from neurodeploy.quantization.rounding import weight_limits, weight_step
from neurodeploy.simulate.weight_gradient import ParameterGradients

Floats = NDArray[np.float64]
#: Decay of the mean gradient and of its mean square (Kingma and Ba, ICLR 2015).
_MEMORY = (0.9, 0.999)
_TINY = 1e-12
#: A bias learns in units of its population's threshold over so many.
_BIAS_STEPS = 20.0


@dataclass(slots=True, eq=False)
class _Learner:
    """One array of real numbers with Adam's memories; ``unit``: what one step of size 1 moves."""

    values: Floats
    unit: float
    mean: Floats
    square: Floats

    @staticmethod
    def of(values: Floats, unit: float) -> _Learner:
        return _Learner(values.copy(), unit, np.zeros(values.shape), np.zeros(values.shape))

    def step(self, gradient: Floats, rate: float, count: int) -> None:
        """Take step ``count`` (from 1)."""
        scaled = gradient * self.unit
        self.mean += (1 - _MEMORY[0]) * (scaled - self.mean)
        self.square += (1 - _MEMORY[1]) * (scaled**2 - self.square)
        mean, square = (
            self.mean / (1 - _MEMORY[0] ** count),
            self.square / (1 - _MEMORY[1] ** count),
        )
        self.values -= rate * self.unit * mean / (np.sqrt(square) + _TINY)


class LatentIntegers:
    """The weights and biases of a fixed-point network as real numbers that learn.

    Parameters
    ----------
    net : FixedPointNetwork
        Where it starts: rounding the latent numbers gives exactly its integers.
    wanted : mapping of synapse to float64, of its weights' shape
        What float weights would be in units of its mantissas; latent weights start as near to
        that as their mantissas allow.
    """

    def __init__(self, net: FixedPointNetwork, wanted: Mapping[str, Floats]) -> None:
        self._net, self._count = net, 0
        self._weights: dict[str, _Learner] = {}
        for s in net.synapses:
            # What stands for no NIR node, as the gates of a gain, says when and not how much.
            learns = s.source != ALWAYS_ON and net.population(s.target).nir_nodes
            if s.name in wanted and learns:
                step = weight_step(s.sign_mode, s.weight_bits)
                mantissa = s.weight.astype(np.float64)
                near = np.clip(wanted[s.name] - mantissa, -0.49 * step, 0.49 * step)
                self._weights[s.name] = _Learner.of(mantissa + near, float(step))
        #: What is added to the biases, per neuron or per channel.
        self._biases = {
            p.name: _Learner.of(np.zeros(bias_groups(net, p)), _bias_unit(p))
            for p in net.populations
            if p.bias.any()
        }
        self._sums = {p.name: _largest_sums(net, p, net.synapses) for p in net.populations}

    def step(self, gradients: ParameterGradients, rate: float) -> None:
        """Go down the gradients: a weight by about ``rate`` steps of its mantissa."""
        self._count += 1
        for name, learner in self._weights.items():
            learner.step(gradients.weights[name], rate, self._count)
            synapse = self._synapse(name)
            low, high = weight_limits(synapse.sign_mode, synapse.weight_bits)
            # Beyond half a step outside the range nothing would change but the way back.
            half = learner.unit / 2
            np.clip(learner.values, low - half, high + half, out=learner.values)
        for name, learner in self._biases.items():
            together = gradients.biases[name].reshape(learner.values.size, -1).sum(axis=1)
            learner.step(together, rate, self._count)
            most = 2.0 * np.abs(self._net.population(name).bias).max()
            np.clip(learner.values, -most, most, out=learner.values)

    def network(self) -> FixedPointNetwork:
        """Return the fixed-point network of the rounded numbers."""
        synapses = tuple(self._rounded(s) for s in self._net.synapses)
        populations = []
        for p in self._net.populations:
            sums = _largest_sums(self._net, p, synapses)
            before = self._sums[p.name]
            too_large = sums > before.max(initial=0.0)
            if too_large.any():
                synapses = tuple(
                    _with_rows(s, self._synapse(s.name), too_large) if s.target == p.name else s
                    for s in synapses
                )
            populations.append(self._biased(p))
        return replace(self._net, synapses=synapses, populations=tuple(populations))

    def _synapse(self, name: str) -> FixedSynapse:
        return next(s for s in self._net.synapses if s.name == name)

    def _rounded(self, synapse: FixedSynapse) -> FixedSynapse:
        learner = self._weights.get(synapse.name)
        if learner is None:
            return synapse
        step = weight_step(synapse.sign_mode, synapse.weight_bits)
        low, high = weight_limits(synapse.sign_mode, synapse.weight_bits)
        mantissa = np.clip(np.rint(learner.values / step) * step, low, high)
        return replace(synapse, weight=mantissa.astype(np.int32))

    def _biased(self, p: FixedPopulation) -> FixedPopulation:
        learner = self._biases.get(p.name)
        if learner is None:
            return p
        added = np.repeat(learner.values, p.size // learner.values.size)
        most = np.abs(p.bias).max()
        bias = np.clip(np.rint(p.bias + added), -most, most)
        moved = replace(p, bias=bias.astype(np.int32))
        # A bias must not act before the layer's own first step: some have no start state for it.
        starts = with_start_v(moved)
        return replace(moved, bias=np.where(starts, moved.bias, p.bias))


def bias_groups(net: FixedPointNetwork, p: FixedPopulation) -> int:
    """Return how many biases of ``p`` may move on their own: one per neuron, or per channel."""
    layouts = [s.layout for s in net.synapses_into(p.name) if s.source != ALWAYS_ON]
    channels = {x.output_shape[0] for x in layouts if isinstance(x, ConvLayout)}
    plain = any(not isinstance(x, ConvLayout) for x in layouts)
    return p.size if plain or len(channels) != 1 else channels.pop()


def _bias_unit(p: FixedPopulation) -> float:
    """Return what a bias moves by in one step of size 1, in mantissas, at least one."""
    size = float(p.v_threshold.max()) * 2.0**ALIGN_BITS if p.kind != "readout" else p.common_scale
    if p.kind == "dlif":
        size /= 2.0**ALIGN_BITS
    return max(size / 2.0**p.bias_exp / _BIAS_STEPS, 1.0)


def _largest_sums(
    net: FixedPointNetwork, p: FixedPopulation, synapses: tuple[FixedSynapse, ...]
) -> Floats:
    """Return the largest possible magnitude of every neuron's synaptic sum, [N]."""
    total = np.zeros(p.size)
    for s in synapses:
        if s.target != p.name:
            continue
        ends = s.connections()
        payload = net.encoder.max_code if s.source == INPUT and s.message_bits else 1
        weight = ends.weight * np.ldexp(float(payload), s.weight_exp)
        sides = [
            np.bincount(ends.target, np.maximum(sign * weight, 0), minlength=p.size)
            for sign in (1, -1)
        ]
        total += np.maximum(*sides)
    return total


def _with_rows(
    synapse: FixedSynapse, before: FixedSynapse, rows: NDArray[np.bool_]
) -> FixedSynapse:
    """Return the synapse with the weights of the targets in ``rows`` as they were before."""
    numbers = np.arange(1, synapse.weight.size + 1, dtype=np.int32).reshape(synapse.weight.shape)
    ends = replace(synapse, weight=numbers, sign_mode="excitatory").connections()
    back = np.zeros(synapse.weight.size, np.bool_)
    back[ends.weight[rows[ends.target]] - 1] = True
    kept = np.where(back.reshape(synapse.weight.shape), before.weight, synapse.weight)
    return replace(synapse, weight=kept)
