"""Random fixed-point populations of every kind, and the threshold at which they fire. Plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from oracles.literal_fixed import NeuronState

from neurodeploy.network.fixed import V_MAX, V_THRESHOLD_MAX, FixedPopulation
from neurodeploy.network.start_state import with_start_v

#: lif: no memory in u; if: no leak either; cuba: u has memory.
NEURONS = ("lif", "if", "cuba", "dlif", "subtract", "refractory", "periodic", "readout")
LOWEST_RATE, HIGHEST_RATE = 0.01, 0.5
_CANDIDATES = np.unique(np.rint(np.geomspace(1, V_THRESHOLD_MAX, 20)).astype(np.int64) - 1)


def random_decays(rng, size, highest):
    """Per neuron over the whole register, uniform, or at its ends."""
    style = rng.integers(0, 4)
    if style == 0:
        return rng.integers(0, highest + 1, size)
    if style == 1:
        return np.full(size, rng.integers(0, highest + 1))
    if style == 2:
        return np.full(size, rng.choice([0, highest, 4095]))
    return rng.choice([0, 1, 409, 2048, highest - 1, highest], size)


def random_population(
    rng, name, neuron, shape, latency, a, *, hardware=True, extreme=False
) -> FixedPopulation:
    """Draw a population for the input ``a`` [T, B, N]; its threshold is out of reach."""
    size, dlif = int(np.prod(shape)), neuron == "dlif"
    # Biases on the scale of the input, so that neither drowns the other.
    scale = max(4.0, float(np.abs(a).mean()))
    extension = _extension(rng, neuron, a.shape[0])
    waits = dlif or extension["reset"] == "subtract" or extension["refractory_steps"] > 0
    bias, bias_exp = _random_bias(rng, size, scale, dlif)
    if not hardware and not dlif and rng.random() < 0.2:
        bias_exp = -int(rng.integers(1, 5))
        bias = rng.integers(-(2**17), 2**17, size)  # wraps at 16 bits
    v_init, u_init = np.zeros(size), np.zeros(size)
    if rng.random() < 0.3:
        v_init = np.clip(np.rint(rng.normal(0, 16 * scale, size)), -V_MAX, V_MAX)
    if rng.random() < 0.4 and (latency == 0 or not hardware or waits):
        u_init = rng.integers(-V_MAX, V_MAX + 1, size)
        if not extreme:
            u_init = u_init // 2**10
    memory = neuron == "cuba" or (neuron not in ("lif", "if", "dlif") and rng.random() < 0.5)
    gain = rng.integers(1, 256, int(rng.integers(1, a.shape[0] + 3))) if dlif else None
    return FixedPopulation(
        name=name, nir_nodes=(name,), kind=neuron if neuron in ("dlif", "readout") else "lif",
        decay_u=random_decays(rng, size, 4095) if memory else np.full(size, 4095),
        decay_v=np.zeros(size) if neuron == "if" else random_decays(rng, size, 4096),
        bias=bias, bias_exp=bias_exp, v_threshold=np.full(size, V_THRESHOLD_MAX + 1),
        u_init=u_init, v_init=v_init, latency=latency, scale=1.0, shape=tuple(shape),
        gain=gain, gain_shift=int(rng.integers(0, 8)) if dlif else 0, **extension,
    )  # fmt: skip


def _extension(rng, neuron, steps):
    """Draw the reset, the refractory steps and the periodic reset."""
    fields = {"reset": "zero", "refractory_steps": 0, "reset_interval": 0, "reset_offset": 0}
    if neuron == "subtract":
        fields["reset"] = "subtract"
    if neuron == "refractory" or (neuron == "subtract" and rng.random() < 0.3):
        fields["refractory_steps"] = int(rng.integers(1, 7))
    if neuron == "periodic" or (neuron != "dlif" and rng.random() < 0.12):
        fields["reset_interval"] = int(rng.integers(2, steps + 1))
        fields["reset_offset"] = int(rng.integers(0, 2 * steps))
    return fields


def _random_bias(rng, size, scale, dlif):
    bias_exp = 0 if dlif else int(rng.integers(0, 8))
    limit = V_MAX if dlif else 4095
    spread = scale if dlif else 64 * scale / 2**bias_exp
    bias = np.clip(np.rint(rng.normal(0, 0.3 * spread, size)), -limit, limit)
    some = rng.random(size) < 0.7 if rng.random() < 0.6 else np.zeros(size, bool)
    return np.where(some, bias, 0), bias_exp


def fitting(rng, population: FixedPopulation, a, *, hardware=True) -> FixedPopulation | None:
    """Return it with thresholds at which ``a`` makes it fire at a useful rate; None if none do."""
    if population.kind == "readout":
        return startable(population) if hardware else population
    steps, batch, _ = a.shape
    count = _CANDIDATES.size
    thresholds = _CANDIDATES.repeat(batch)[:, None]
    state = NeuronState(
        population, population.v_init, count * batch, threshold=thresholds, record=("spikes",)
    )
    for t in range(steps):
        state.step(np.tile(a[t], (count, 1)), False, t + 1 + population.latency)
    fired = np.stack(state.spikes).reshape(steps, count, -1)
    rates = fired.mean(axis=(0, 2))
    usable = np.flatnonzero((rates > 1.5 * LOWEST_RATE) & (rates < 0.9 * HIGHEST_RATE))
    if usable.size == 0:
        return None
    wanted = rng.uniform(np.log(0.02), np.log(0.45))
    best = usable[np.argmin(np.abs(np.log(rates[usable]) - wanted))]
    varied = _CANDIDATES[best] * (1 + rng.choice([0.0, 0.2]) * rng.uniform(-1, 1, population.size))
    thresholds = np.clip(np.rint(varied), 0, V_THRESHOLD_MAX)
    population = replace(population, v_threshold=thresholds)
    return startable(population) if hardware else population


def spikes_of(population: FixedPopulation, a) -> np.ndarray:
    """Return the spikes [T, B, N] that ``a`` makes it fire."""
    state = NeuronState(population, population.v_init, a.shape[1], record=("spikes",))
    for t in range(a.shape[0]):
        state.step(a[t], False, t + 1 + population.latency)
    return np.stack(state.spikes)


def startable(population: FixedPopulation) -> FixedPopulation:
    """Take bias and start values from neurons that have no start state on Lava."""
    keep = with_start_v(population)
    taken = {name: np.where(keep, getattr(population, name), 0) for name in ("bias", "v_init")}
    return population if keep.all() else replace(population, **taken)
