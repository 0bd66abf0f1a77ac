"""How many spikes rounding will turn, from a run of the float network alone.

On every sample the float network's membranes and spikes are known, and so is what the integers'
weights, biases, thresholds, decays and gains would add to each membrane on the same input. A spike
turns where that is more than the distance to the threshold. Spikes that turned in earlier layers
arrive as noise, taken as independent and Gaussian. A neuron that once turned has been reset at
another step and goes on out of step: it then fires by chance at its own rate on the sample, until
both fire together.

Measured on digit networks (LIF and DLIF, trained plainly, with noise and against attacks) at 8, 6
and 4 bits, nearest and adaptive: predicted turns are 0.6 to 1.1 times the counted ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from neurodeploy.errors import InputError
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    INPUT,
    FixedPointNetwork,
    FixedPopulation,
    Network,
    Population,
)
from neurodeploy.quantization.incoming import drive_of
from neurodeploy.quantization.plain import reset_origin, threshold_distance
from neurodeploy.quantization.rounded_weights import RoundedSynapse, rounded_synapse
from neurodeploy.quantization.sign_split import as_split
from neurodeploy.simulate import run_float

Floats = NDArray[np.float64]
#: What is rounded: all of it at once, or some of it with the rest as in float.
ROUNDINGS = ("weights", "bias", "threshold", "decay", "gain", "floors")
#: A noise too small to matter: keeps quotients finite.
_TINY = 1e-12
#: Rounds through a network with feedback.
_ROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class PredictedLayer:
    """One population that fires; values [T, B, N] over the samples of the prediction.

    Parameters
    ----------
    turned : float64
        Probability that the integer spike is not the float one.
    margin : float64
        Float membrane minus threshold, before the reset, in membrane units.
    deviation : float64
        Expected integer minus float membrane, for neurons in step, in membrane units.
    """

    name: str
    turned: Floats
    margin: Floats
    deviation: Floats


def predict(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    *,
    roundings: Collection[str] = ROUNDINGS,
) -> tuple[PredictedLayer, ...]:
    """Predict which spikes of ``network`` turn in ``net``, without running ``net``.

    Parameters
    ----------
    network, net
        The composed float network and the integers made from it, on the same time.
    codes : int array [B, n_input] (held) or [T, B, n_input]
    roundings : collection of str
        Those of ``ROUNDINGS`` that are switched on; ``floors`` are those of shifted sums.

    Raises
    ------
    InputError
        If the integers lack a synapse, or for another rounding.
    """
    if unknown := set(roundings) - set(ROUNDINGS):
        raise InputError(f"roundings {sorted(unknown)} not known; choose of {', '.join(ROUNDINGS)}")
    network = as_split(network, net)
    steps = len(codes) if codes.ndim == 3 else network.steps or 1
    records = run_float(network, codes, record=("spikes", "v_pre")).records
    held = codes if codes.ndim == 3 else np.broadcast_to(codes, (steps, *codes.shape))
    sent: dict[str, Floats] = {INPUT: np.asarray(held, np.float64)}
    turned: dict[str, Floats] = {}
    firing = [p for p in network.populations if p.fires]
    for p in firing:
        sent[p.name] = np.asarray(records[f"{p.name}/spikes"], np.float64)
    layers: dict[str, PredictedLayer] = {}
    # What comes back through feedback is known from the round before.
    for _ in range(_ROUNDS if any(s.late for s in network.synapses) else 1):
        for p in firing:
            margin = np.asarray(records[f"{p.name}/v_pre"], np.float64) - p.v_threshold
            walk = _Walk(network, net, p, sent, turned, frozenset(roundings))
            layers[p.name] = walk.along(margin, sent[p.name] > 0)
            turned[p.name] = layers[p.name].turned
    return tuple(layers.values())


class _Walk:
    """One population, step by step."""

    def __init__(
        self,
        network: Network,
        net: FixedPointNetwork,
        population: Population,
        sent: Mapping[str, Floats],
        turned: Mapping[str, Floats],
        roundings: frozenset[str],
    ) -> None:
        self._p, self._fixed = population, net.population(population.name)
        self._sent, self._turned = sent, turned
        self._synapses = [
            rounded_synapse(network, net, population, s)
            for s in network.synapses_into(population.name)
            if s.source != ALWAYS_ON
        ]
        if "weights" not in roundings:
            self._synapses = [replace(s, stored=s.weight) for s in self._synapses]
        drive = drive_of(network, population)
        own_bias = drive.into_sum + drive.into_v
        stored = stored_biases(net, population) if "bias" in roundings else own_bias
        self._bias = (own_bias, stored)
        #: One unit of the synaptic sum, in membrane units.
        self._unit = 2.0**ALIGN_BITS / self._fixed.scale
        own = np.where(np.isfinite(threshold_distance(population)), population.v_threshold, 0.0)
        meant = self._fixed.v_threshold * self._unit + reset_origin(population)
        moved = (own != 0) & ("threshold" in roundings)
        self._threshold_error = np.where(moved, meant - own, 0.0)
        self._decay = self._fixed.decay_v / 4096 if "decay" in roundings else population.decay_v
        gain = np.ones(1) if population.gain is None else population.gain
        self._gain = (gain, gain)
        if self._fixed.gain is not None and "gain" in roundings:
            self._gain = (gain, np.ldexp(self._fixed.gain, -self._fixed.gain_shift))
        floors = sum(s.floors for s in self._synapses) + (self._fixed.gain is not None)
        self._floors = floors if "floors" in roundings else 0

    def along(self, margin: Floats, fired: NDArray[np.bool_]) -> PredictedLayer:
        """Return the layer's turns, given what its neurons do in float."""
        p = self._p
        keep, keep_fixed = 1 - p.decay_v, 1 - self._decay
        rate = fired.mean(axis=0)
        state = _Deviation(margin.shape[1:], p, self._fixed)
        apart = np.zeros(margin.shape[1:])
        turned, deviation = np.empty(margin.shape), np.empty(margin.shape)
        before = np.broadcast_to(p.v_init - reset_origin(p), margin.shape[1:])
        for t, error, variance in self._arriving(len(margin)):
            state.step(error + (keep_fixed - keep) * before, variance)
            deviation[t] = state.v
            above = margin[t] + state.v - self._threshold_error
            z = above / np.sqrt(state.spread + _TINY)
            in_step = np.where(fired[t], ndtr(-z), ndtr(z))
            # Without noise the strict comparison decides, at the threshold itself, too.
            in_step = np.where(state.spread == 0, (above > 0) != fired[t], in_step)
            by_chance = np.where(fired[t], 1 - rate, rate)
            turned[t] = (1 - apart) * in_step + apart * by_chance
            apart = (1 - apart) * in_step + apart * np.where(fired[t], 1 - rate, 1.0)
            state.reset(fired[t], self._threshold_error)
            after = margin[t] + p.v_threshold - reset_origin(p)
            left = after - p.v_threshold if p.reset == "subtract" else 0.0
            before = np.where(fired[t], left, after)
        return PredictedLayer(p.name, turned, margin, deviation)

    def _arriving(self, steps: int) -> Iterator[tuple[int, Floats, Floats]]:
        """Yield step, expected error and variance of what enters, [B, N], in membrane units."""
        p, floors = self._p, self._floors
        own, stored = self._gain
        batch = next(iter(self._sent.values())).shape[1]
        for t in range(steps):
            g, g_fixed = own[min(t, own.size - 1)], stored[min(t, stored.size - 1)]
            error = np.zeros((batch, p.size)) + g_fixed * self._bias[1] - g * self._bias[0]
            # What is floored loses half a unit, evenly spread.
            error -= 0.5 * self._unit * floors
            variance = np.full((batch, p.size), floors * self._unit**2 / 12)
            for s in self._synapses:
                self._add(s, t, g, g_fixed, error, variance)
            yield t, error, variance

    def _add(
        self, s: RoundedSynapse, t: int, g: float, g_fixed: float, error: Floats, variance: Floats
    ) -> None:
        """Add what one synapse brings at step ``t``."""
        if t < s.delay_steps:
            return
        x = self._sent[s.source][t - s.delay_steps]
        error += x @ (g_fixed * s.stored - g * s.weight).T
        flips = self._turned.get(s.source)
        if flips is not None:
            f = flips[t - s.delay_steps]
            error += g_fixed * ((f * (1 - 2 * x)) @ s.stored.T)
            variance += g_fixed**2 * ((f * (1 - f)) @ s.stored.power(2).T)


class _Deviation:
    """Mean and variance of the integer minus the float membrane, of neurons in step."""

    def __init__(
        self, shape: tuple[int, ...], population: Population, fixed: FixedPopulation
    ) -> None:
        self.v, self.spread = np.zeros(shape), np.zeros(shape)
        self._u, self._spread_u, self._between = (np.zeros(shape) for _ in range(3))
        self._keep = 1 - fixed.decay_v / 4096
        self._keep_u = None
        if population.decay_u is not None:
            self._keep_u = np.maximum(4095 - fixed.decay_u, 0) / 4096
        self._subtracts = population.reset == "subtract"

    def step(self, error: Floats, variance: Floats) -> None:
        """Let one step's errors in."""
        if self._keep_u is None:
            self.v = self._keep * self.v + error
            self.spread = self._keep**2 * self.spread + variance
            return
        self._u = self._keep_u * self._u + error
        self._spread_u = self._keep_u**2 * self._spread_u + variance
        between = self._keep_u * self._between
        self.v = self._keep * self.v + self._u
        self.spread = self._keep**2 * self.spread + 2 * self._keep * between + self._spread_u
        self._between = self._keep * between + self._spread_u

    def reset(self, fired: NDArray[np.bool_], threshold_error: Floats) -> None:
        """Forget, or take off the threshold, where both fired."""
        if self._subtracts:
            self.v = np.where(fired, self.v - threshold_error, self.v)
            return
        self.v, self.spread, self._between = (
            np.where(fired, 0.0, x) for x in (self.v, self.spread, self._between)
        )


def stored_biases(net: FixedPointNetwork, population: Population) -> Floats:
    """Return what integers add at every step whatever comes in [N], in membrane units.

    Register and always-on lines together: with a current, a bias of the membrane counts as one of
    the current.
    """
    fixed = net.population(population.name)
    stored = fixed.bias_shifted / fixed.scale
    if fixed.gain is not None:
        stored = stored * 2.0**ALIGN_BITS
    for s in net.synapses_into(population.name):
        if s.source == ALWAYS_ON:
            line = np.ldexp(s.weight[:, 0].astype(np.float64), s.weight_exp + ALIGN_BITS)
            stored = stored + line / fixed.scale
    return np.asarray(stored, np.float64)
