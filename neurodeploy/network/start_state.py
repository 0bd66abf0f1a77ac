"""The membrane that Lava must start with so that a layer's biases act only from its own first step.

On Lava every neuron steps from hardware step 1, but a layer's first input arrives ``latency``
steps later. A population with a bias would already have moved by then. It starts instead at a
preimage of ``v_init`` under ``latency`` bias-only steps. The decay ``D(x, 4096 - decay_v)`` maps
the integers onto the integers for ``decay_v`` < 4096, so a preimage exists unless it leaves the
24-bit range or makes the neuron fire on the way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.arrays import IntArray, frozen
from neurodeploy.network.fixed import ALIGN_BITS, DECAY_BITS, V_MAX, FixedPopulation


def start_v(population: FixedPopulation) -> IntArray:
    """Return the int32 [N] membrane at which Lava must start ``population``.

    For neurons that wait for their first step (``FixedPopulation.waits``: our own processes) this
    is ``v_init`` itself.

    Raises
    ------
    RangeError
        If a neuron has no such state; the message says which neurons and why.
    """
    if population.waits:
        return population.v_init
    v, valid = _preimage(population)
    if not valid.all():
        bad = np.flatnonzero(~valid)
        raise RangeError(
            f"population {population.name}: {bad.size} of {population.size} neurons (first: "
            f"{bad[0]}, bias {population.bias_shifted[bad[0]]}) have no start state from which "
            f"{population.latency} bias-only steps end at v_init without a spike; carry the bias "
            "on an always-on line, or pass --timing aligned"
        )
    return frozen(v.astype(np.int32))


def has_start_v(population: FixedPopulation) -> bool:
    """Return whether ``start_v`` exists for every neuron of ``population``."""
    return bool(with_start_v(population).all())


def with_start_v(population: FixedPopulation) -> NDArray[np.bool_]:
    """Return for each neuron, bool [N], whether it has a start state."""
    if population.waits:
        return np.ones(population.size, dtype=np.bool_)
    return _preimage(population)[1]


def _preimage(population: FixedPopulation) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Step backwards from v_init; return the start and where stepping it forwards is right."""
    bias = population.resting_bias.astype(np.int64)
    factor = 4096 - population.decay_v.astype(np.int64)
    v = population.v_init.astype(np.int64)
    resets = [h for h in range(1, population.latency + 1) if population.resets_at(h)]
    for h in range(population.latency, 0, -1):
        v = _decay_preimage(v - bias, factor)
        if h in resets:
            v = np.zeros_like(v)
    valid = _ends_at_v_init(population, v)
    if resets:
        # Any start will do that stays in range until the reset: zero where the way back does not.
        v = np.where(valid, v, 0)
        valid = _ends_at_v_init(population, v)
    # u must add nothing on the way: it starts at zero, forgets at once, or there is no way.
    forgets = (population.decay_u == 4095) | (population.kind == "dlif")
    return v, valid & ((population.u_init == 0) | forgets | (population.latency == 0))


def _ends_at_v_init(population: FixedPopulation, start: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where ``latency`` bias-only steps lead to v_init within 24 bits, without a spike."""
    bias = population.resting_bias.astype(np.int64)
    factor = 4096 - population.decay_v.astype(np.int64)
    threshold = population.v_threshold.astype(np.int64) << ALIGN_BITS
    valid = np.ones(start.shape, dtype=np.bool_)
    state = start
    for h in range(1, population.latency + 1):
        if population.resets_at(h):
            state = np.zeros_like(state)
        valid &= np.abs(state) <= V_MAX
        product = state * factor
        state = np.sign(product) * (np.abs(product) >> DECAY_BITS) + bias
        valid &= (np.abs(state) <= V_MAX) & (state <= threshold)
    there: NDArray[np.bool_] = valid & (state == population.v_init)
    return there


def _decay_preimage(target: NDArray[np.int64], factor: NDArray[np.int64]) -> NDArray[np.int64]:
    """Smallest |x| with ``D(x, factor) == target``; 0 where the factor is 0 (full decay)."""
    safe = np.maximum(factor, 1)
    magnitude = -((-np.abs(target) << DECAY_BITS) // safe)
    return np.where(factor == 0, 0, np.sign(target) * magnitude)
