"""Networks that tests of the simulator build by hand."""

import numpy as np

from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)


def population(name, size, latency=1, **options):
    """Return leaky neurons that fire now and then under weights of some dozens."""
    given = {
        "decay_u": 1500, "decay_v": 300, "bias": 0, "bias_exp": 0, "v_threshold": 900,
        "u_init": 0, "v_init": 0, "shape": (),
    }  # fmt: skip
    given.update(options)
    return FixedPopulation(
        name=name,
        nir_nodes=(name,),
        kind="lif",
        latency=latency,
        scale=1.0,
        **{**given, "decay_v": np.full(size, given["decay_v"])},
    )


def network(populations, synapses, n_input, *, bits=1, steps=40):
    return FixedPointNetwork(
        populations=tuple(populations),
        synapses=tuple(synapses),
        n_input=n_input,
        encoder=ConstantEncoder(bits=bits),
        readout=Readout(populations[-1].name, "count"),
        steps=steps,
    )


def delayed_loop_network(rng, size=30):
    """Two populations in a cycle with delays, one of them also with itself, and a read-out."""

    def weights(n_out, n_in):
        return rng.integers(-60, 70, (n_out, n_in)) * 2

    return network(
        [population("a", size), population("b", size, 2), population("c", 5, 3)],
        [
            FixedSynapse("in", INPUT, "a", weights(size, 20), 0, "mixed"),
            FixedSynapse("skip", INPUT, "b", weights(size, 20), 0, "mixed", delay=5),
            FixedSynapse("ab", "a", "b", weights(size, size), -1, "mixed", delay=2),
            FixedSynapse("ba", "b", "a", weights(size, size), -2, "mixed", delay=7),
            FixedSynapse("aa", "a", "a", weights(size, size), -2, "mixed"),
            FixedSynapse("bc", "b", "c", weights(5, size), 0, "mixed"),
        ],
        20,
    )
