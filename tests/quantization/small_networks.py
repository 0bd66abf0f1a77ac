"""Networks of single neurons, of which only the wiring matters."""

import numpy as np

from neurodeploy.network import ConstantEncoder, Network, Population, Readout, Synapse


def network_of(names, edges):
    """Return LIF neurons called ``names``, joined by (source, target, delay_steps)."""
    populations = tuple(
        Population(n, (n,), "lif", [0.5], [1.0], [0.0], [1.0], [0.0], [0.0], [0.0]) for n in names
    )
    synapses = []
    for source, target, delay_steps in edges:
        name = f"{source}->{target}"
        dense = Synapse.dense(name, source, target, np.ones((1, 1)))
        synapses.append(Synapse(name, source, target, dense.operators, delay_steps))
    encoder, readout = ConstantEncoder(), Readout(names[-1], "count")
    return Network(populations, tuple(synapses), 1, encoder, readout, 4)
