"""The weights that a network stores, one array after another, and a network with other ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network import Convolution, Dense, FixedSynapse, Sparse, Synapse
from neurodeploy.network.registers import WEIGHT_RANGE
from neurodeploy.robustness.faults.fault import N

#: Called with what holds the weights, and a name for its random numbers.
ChangeFixed = Callable[[FixedSynapse, str], NDArray[np.int32]]
ChangeFloat = Callable[[NDArray[np.float64], str], NDArray[np.float64]]


def with_weights(net: N, fixed: ChangeFixed, floating: ChangeFloat) -> N:
    """Return ``net`` with the weights that the two functions give.

    A fixed-point network stores one array per synapse, lines that are always on included; of a
    convolution its kernel, of a sparse matrix what its layout lists. A float network stores the
    weights of its Dense, Sparse and Convolution operators; biases, scales and pools hold none.
    """
    synapses: list[FixedSynapse | Synapse] = []
    for synapse in net.synapses:
        if isinstance(synapse, FixedSynapse):
            synapses.append(replace(synapse, weight=fixed(synapse, synapse.name)))
            continue
        operators = list(synapse.operators)
        held = [i for i, o in enumerate(operators) if isinstance(o, Dense | Sparse | Convolution)]
        for turn, i in enumerate(held):
            operator = operators[i]
            if isinstance(operator, Dense | Sparse | Convolution):
                # The first has the synapse's name, so that it breaks where its image does.
                place = synapse.name if turn == 0 else f"{synapse.name}/{turn}"
                operators[i] = replace(operator, weight=floating(operator.weight, place))
        synapses.append(replace(synapse, operators=tuple(operators)))
    return replace(net, synapses=tuple(synapses))  # type: ignore[arg-type]


def weight_steps(synapse: FixedSynapse) -> tuple[NDArray[np.int64], int, int, int]:
    """Return a synapse's weights in steps of its declared width: (steps, lowest, highest, step).

    Raises
    ------
    RangeError
        If a weight is not one that the width and sign mode can hold.
    """
    where = f"synapse {synapse.name}"
    if not 1 <= synapse.weight_bits <= 8:
        raise RangeError(f"{where}: weight_bits {synapse.weight_bits}; a weight has 1 to 8 bits")
    low, high, step = WEIGHT_RANGE[synapse.sign_mode]
    step <<= 8 - synapse.weight_bits
    weight = synapse.weight.astype(np.int64)
    if ((weight < low) | (weight > high) | (weight % step != 0)).any():
        raise RangeError(
            f"{where}: holds weights {weight.min()}..{weight.max()}, some of which "
            f"{synapse.weight_bits} bits {synapse.sign_mode} cannot hold (multiples of {step} in "
            f"{low}..{high}); faults of weights need weights that a chip can hold"
        )
    return weight // step, -(-low // step), high // step, step
