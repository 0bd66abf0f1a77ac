"""What a gain on graded messages adds to a layer: products, their messages, and lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.activity import LayerActivity, SynapseActivity
from neurodeploy.cost.intervals import Count
from neurodeploy.network import ALWAYS_ON, FixedPopulation
from neurodeploy.network.graded_gain import bias_lines

#: ``kind`` of a layer of products.
PRODUCT = "product"


def with_products(
    layer: LayerActivity, population: FixedPopulation, rows: int, hardware_steps: int
) -> tuple[LayerActivity, LayerActivity]:
    """Return the layer of products in front of ``layer``, and the layer of membranes behind it.

    The products get what enters the population, a gain in every step, and the bias's lines. Each
    sends a graded message where its product is not zero, which no run counts: at most in every
    step, which is taken as typical, too.

    Parameters
    ----------
    layer : LayerActivity
        The population's, counted as if each were one neuron.
    rows : int
        Steps on the time axis of the run.
    hardware_steps : int
        Steps of a sample on the chip.
    """
    name, size = f"{layer.name}.gain", layer.size
    samples = layer.neuron_updates.typ.size
    # From its first gain on, one step before the membrane's own first.
    own = min(rows, hardware_steps - population.latency + 1)
    every = np.full(samples, float(own))
    messages = Count(np.zeros(samples), every * size, every * size)
    weights, payloads = bias_lines(population.bias)
    lines = [_line(name, "gain", np.ones((size, 1), np.int32), every)]
    if payloads.size:
        lines.append(_line(name, "bias", weights, np.full(samples, float(rows))))
    incoming = tuple(replace(s, target=name) for s in layer.incoming)
    products = LayerActivity(
        name, PRODUCT, size, (*incoming, *lines), layer.neuron_updates,
        Count.exactly(every * size), messages,
    )  # fmt: skip
    bridge = SynapseActivity(
        f"{name}->{layer.name}", name, layer.name, "sparse", size, size,
        messages, messages, messages, size,
    )  # fmt: skip
    return products, replace(layer, kind="lif", incoming=(bridge,), active_updates=messages)


def _line(
    target: str, carries: str, weights: NDArray[np.int32], steps: NDArray[np.float64]
) -> SynapseActivity:
    """Return a dense synapse each of whose lines sends in every one of ``steps``."""
    size, lines = weights.shape
    return SynapseActivity(
        f"{carries}->{target}", ALWAYS_ON, target, "dense", lines, size,
        Count.exactly(steps * lines),
        Count.exactly(steps * int((weights != 0).sum())),
        Count.exactly(steps * weights.size),
        weights.size,
    )  # fmt: skip
