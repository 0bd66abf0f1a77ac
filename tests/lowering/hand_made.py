"""Networks written by hand: populations with short defaults, delays, the whole."""

import numpy as np

from neurodeploy.network import ConstantEncoder, Network, Population, Readout, stateless


def lif(name, size, shape=(), **changes):
    numbers = {
        "decay_v": 0.25, "input_gain": 0.5, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0,
        "v_init": 0.0, "bias": np.zeros(size), "kind": "lif",
    }  # fmt: skip
    numbers = {k: np.full(size, v) if isinstance(v, float) else v for k, v in numbers.items()}
    return Population(name=name, nir_nodes=(name,), shape=shape, **(numbers | changes))


def network(populations, synapses, n_input, **changes):
    readout = Readout(populations[-1].name, "count")
    fields = {"steps": 8, "encoder": ConstantEncoder(), "readout": readout} | changes
    return Network(tuple(populations), tuple(synapses), n_input, **fields)


def delay(name, steps, bias=0.0):
    steps = np.asarray(steps)
    return stateless(name, "delay", np.full(steps.size, bias), delay_steps=steps)
