"""When each layer does its step, and how it starts: NetX's time, or the contract's.

In lava-dl's run every layer steps from step 1 on, from zero states, and every synapse takes one
step; a layer's biases act, and may make it fire, before any input has reached it. ``netx`` keeps
exactly that: all layers share one latency, so a logical step is lava-dl's step and each synapse
brings what was sent one step before. ``aligned`` gives each layer the latency of its depth, so
that step t of the output belongs to step t of the input; the layer then starts with the membrane
that its biases have built up on the way, which is exact as long as none of its neurons fires
before its input arrives.

An input layer with neurons needs no synapse in lava-dl and has one here. It runs one hardware step
later, and everything behind it too.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from neurodeploy.errors import InputError
from neurodeploy.network import ALIGN_BITS, DECAY_BITS, V_MAX, FixedPopulation
from neurodeploy.network.arrays import IntArray

LayerTime = Literal["netx", "aligned"]


def latency_of(depth: int, time: LayerTime, has_input_neurons: bool) -> int:
    """Return the latency of the layer ``depth`` (from 0), counted in layers with neurons."""
    if time == "netx":
        return int(has_input_neurons)
    return depth + 1


def start_membrane(population: FixedPopulation, has_input_neurons: bool) -> IntArray:
    """Return v, int32 [N], after the steps that ``population`` does before its own first.

    Raises
    ------
    InputError
        If a neuron fires in one of them.
    """
    v = np.zeros(population.size, np.int64)
    bias = population.bias_shifted.astype(np.int64)
    factor = 4096 - population.decay_v.astype(np.int64)
    threshold = population.v_threshold.astype(np.int64) << ALIGN_BITS
    for hardware_step in range(1 + has_input_neurons, population.latency + 1):
        if population.resets_at(hardware_step):
            v = np.zeros_like(v)
        kept = np.sign(v) * ((np.abs(v) * factor) >> DECAY_BITS)
        v = np.clip(kept + bias, -V_MAX, V_MAX)
        firing = int((v > threshold).sum())
        if firing:
            raise InputError(
                f"population {population.name}: {firing} of {population.size} neurons fire from "
                "their bias before any input reaches them, so time='aligned' would be another "
                "network; read the file with time='netx'"
            )
    return v.astype(np.int32)
