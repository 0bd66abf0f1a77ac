"""Integers that learn: real numbers behind mantissas, and the network that rounding makes of them.

What the quantiser proved about overflow stays true. The largest possible |u| and |v| of a neuron
(``largest_states``) may grow to the largest of its population before, and no further: a neuron
whose states could go beyond keeps its weights and its bias as they were. No bias exceeds the
largest of its population. Where convolutions alone feed a population, a channel's biases move
together, as a convolution's bias does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    DECAY_BITS,
    INPUT,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    with_start_v,
)
from neurodeploy.quantization.incoming import per_weight, row_sums, whole_name
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
    steps : int
        Steps of the longest sample, where they are more than the network's.
    """

    def __init__(
        self, net: FixedPointNetwork, wanted: Mapping[str, Floats], steps: int = 0
    ) -> None:
        self._net, self._count = net, 0
        self._steps = max(steps, net.steps, 1)
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
        #: The largest |u| and |v| that any neuron of a population can reach as it is, [2, 1].
        self._limits = {
            p.name: largest_states(net, p, net.synapses_into(p.name), self._steps).max(
                axis=1, keepdims=True
            )
            for p in net.populations
        }

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
        synapses = {s.name: self._rounded(s) for s in self._net.synapses}
        populations = []
        for p in self._net.populations:
            arriving = tuple(synapses[s.name] for s in self._net.synapses_into(p.name))
            moved, arriving = self._within_limits(p, self._biased(p), arriving)
            populations.append(moved)
            synapses |= {s.name: s for s in arriving}
        return replace(self._net, synapses=tuple(synapses.values()), populations=tuple(populations))

    def _within_limits(
        self, before: FixedPopulation, p: FixedPopulation, arriving: tuple[FixedSynapse, ...]
    ) -> tuple[FixedPopulation, tuple[FixedSynapse, ...]]:
        """Return what was learned, without the neurons whose states could go beyond the limits."""
        back = np.zeros(p.size, np.bool_)
        while True:
            states = largest_states(self._net, p, arriving, self._steps)
            beyond = (states > self._limits[p.name]).any(axis=0) & ~back
            if not beyond.any():
                return p, arriving
            # A neuron that is back where it was stays within. What it shares with others, a kernel
            # or a bias, changes theirs: they are looked at again.
            back |= beyond
            arriving = tuple(_with_rows(s, self._synapse(s.name), back) for s in arriving)
            kept = _of_groups(back, bias_groups(self._net, p))
            p = replace(p, bias=np.where(kept, before.bias, p.bias))

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


def largest_states(
    net: FixedPointNetwork, p: FixedPopulation, arriving: tuple[FixedSynapse, ...], steps: int
) -> Floats:
    """Return the largest |u| and |v| that each neuron can reach within ``steps``, float64 [2, N].

    In units of v, for any input, with ``p`` and the synapses ``arriving`` at it in the place of
    those of ``net``; of a ``dlif``, which has no u, what the gain gives per step stands for it.
    The rule is that of the quantiser's proof (``population_scale.py``), without floors.
    """
    per_step = np.ldexp(_largest_sums(net, p, arriving), ALIGN_BITS)
    bias = np.abs(p.bias_shifted.astype(np.float64))
    if p.gain is not None:
        gained = (per_step + np.ldexp(bias, ALIGN_BITS)) * float(p.gain.max())
        per_step, bias = np.ldexp(gained, -p.gain_shift), np.zeros(p.size)
    one = 2**DECAY_BITS
    u = per_step * (1.0 if p.gain is not None else _held(one - 1 - p.decay_u, steps))
    v = (u + bias) * _held(one - p.decay_v, steps) + np.abs(p.v_init)
    return np.stack([u, v])


def _held(kept: NDArray[np.integer], steps: int) -> Floats:
    """Return ``1 + r + ... + r**(steps - 1)`` for ``r = kept / 4096``."""
    ratio = np.ldexp(kept.astype(np.float64), -DECAY_BITS)
    lost = np.where(ratio < 1, 1 - ratio, 1)
    return np.where(ratio < 1, (1 - ratio**steps) / lost, float(steps))


def _largest_sums(
    net: FixedPointNetwork, p: FixedPopulation, arriving: tuple[FixedSynapse, ...]
) -> Floats:
    """Return the largest possible magnitude of every neuron's synaptic sum, [N]."""
    # What arrives through the two halves of a split matrix is one sum, of one source.
    sides: dict[str, Floats] = {}
    for s in arriving:
        payload = net.encoder.max_code if s.source == INPUT and s.message_bits else 1
        halves = (row_sums(np.maximum(sign * s.weight, 0), s.layout) for sign in (1, -1))
        found = np.stack(list(halves)) * np.ldexp(float(payload), s.weight_exp)
        whole = whole_name(s.name)
        sides[whole] = sides.get(whole, 0.0) + found
    total = np.zeros(p.size)
    for both in sides.values():
        total += both.max(axis=0)
    return total


def _with_rows(
    synapse: FixedSynapse, before: FixedSynapse, rows: NDArray[np.bool_]
) -> FixedSynapse:
    """Return the synapse with the weights of the targets in ``rows`` as they were before."""
    if isinstance(synapse.layout, ConvLayout):
        rows = _of_groups(rows, synapse.layout.output_shape[0])
    back = per_weight(rows.astype(np.float64), synapse.layout) > 0
    return replace(synapse, weight=np.where(back, before.weight, synapse.weight))


def _of_groups(neurons: NDArray[np.bool_], groups: int) -> NDArray[np.bool_]:
    """Return all neurons of every group, or channel, that has one of ``neurons``."""
    return np.repeat(neurons.reshape(groups, -1).any(axis=1), neurons.size // groups)
