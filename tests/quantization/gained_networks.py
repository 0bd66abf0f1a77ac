"""Random float networks of two DLIF layers: codes or spikes in, feedback, delays, biases."""

from dataclasses import replace

import numpy as np
from quantization.test_quantize import population

from neurodeploy.network import INPUT, ConstantEncoder, Network, Readout, Synapse


def gained_network(
    seed, *, code_bits=8, low=0.0, feedback=False, delay=0, v_reset=0.0, steps=8, gain_steps=5
):
    """Return a network a -> b -> read; with ``delay`` also input -> b and a -> read, that late.

    Gains have ``gain_steps`` values of 0.4..1.9 and end before a sample of ``steps`` does.
    """
    rng = np.random.default_rng(seed)
    sizes = {INPUT: int(rng.integers(5, 20)), "read": 3}
    sizes |= {name: int(rng.integers(5, 16)) for name in ("a", "b")}
    populations = []
    for name in ("a", "b"):
        p = population(name, sizes[name], rng, gain=rng.uniform(0.4, 1.9, gain_steps))
        start = np.full(p.size, v_reset)
        populations.append(
            replace(p, v_reset=start, v_leak=start, v_init=np.zeros(p.size), bias=p.bias / 2)
        )
    populations.append(population("read", sizes["read"], rng, "li"))

    def synapse(source, target, late=0):
        weight = rng.normal(0.1, 2 / np.sqrt(sizes[source]), (sizes[target], sizes[source]))
        name = f"{source}->{target}" + (".late" if late else "")
        return replace(Synapse.dense(name, source, target, weight), delay_steps=late)

    synapses = [synapse(INPUT, "a"), synapse("a", "b"), synapse("b", "read")]
    if feedback:
        synapses += [synapse("a", "a", 1), synapse("b", "a", 2)]
    if delay:
        synapses += [synapse(INPUT, "b", delay), synapse("a", "read", delay)]
    return Network(
        tuple(populations), tuple(synapses), sizes[INPUT],
        ConstantEncoder(low, low + 1.0, code_bits), Readout("read", "sum"), steps,
    )  # fmt: skip
