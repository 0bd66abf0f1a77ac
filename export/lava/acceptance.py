"""Refuses networks of which Lava would silently compute another one.

Lava checks hardly anything: it clips and rounds weights, drops what a mode cannot hold, cuts
biases to 16 bits, and starts every layer at the first hardware step. A network must come through
all that unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.fixed import WEIGHT_RANGE, FixedPointNetwork, FixedSynapse, SignMode
from neurodeploy.network.start_state import start_v
from neurodeploy.simulate.fixed_plan import require_layered


def require_faithful(net: FixedPointNetwork) -> None:
    """Raise if Lava would change a number of ``net`` before or while running it.

    Raises
    ------
    RangeError
        For a weight that Lava's preparation would change, a bias beyond 16 bits, or a population
        without a start state.
    InputError
        If a synapse does not bridge exactly one hardware step.
    """
    for synapse in net.synapses:
        _check_weight(synapse)
    limits = np.iinfo(np.int16)
    for population in net.populations:
        low, high = int(population.bias.min()), int(population.bias.max())
        if population.kind != "dlif" and (low < limits.min or high > limits.max):
            raise RangeError(
                f"population {population.name}: bias {low}..{high} would wrap to 16 bits in Lava; "
                "use a larger bias_exp"
            )
        if population.gain is not None and population.gain.size == 0:
            raise RangeError(f"population {population.name}: its gain has no entry")
        start_v(population)
    require_layered(net)


def lava_prepared(weight: NDArray[Any], sign_mode: SignMode, weight_bits: int) -> NDArray[np.int64]:
    """Return what Lava's Dense makes of ``weight`` at its first step: clipped, then rounded.

    Mixed and excitatory weights are rounded down, inhibitory ones toward zero. Source: lava-nc
    0.10.0, ``clip_weights`` and ``truncate_weights``.
    """
    sign = -1 if sign_mode == "inhibitory" else 1
    mixed = sign_mode == "mixed"
    magnitude = np.clip(sign * weight.astype(np.int64), -256 if mixed else 0, 255)
    dropped = 8 - weight_bits + mixed
    return sign * ((magnitude >> dropped) << dropped)


def _check_weight(synapse: FixedSynapse) -> None:
    where = f"synapse {synapse.name}"
    if not 1 <= synapse.weight_bits <= 8:
        raise RangeError(f"{where}: weight_bits {synapse.weight_bits}; Lava rounds right for 1..8")
    if synapse.message_bits < 0:
        raise RangeError(f"{where}: message_bits {synapse.message_bits}; 0 or more")
    prepared = lava_prepared(synapse.weight, synapse.sign_mode, synapse.weight_bits)
    changed = np.argwhere(prepared != synapse.weight)
    if changed.size:
        i, j = (int(k) for k in changed[0])
        low, high, step = WEIGHT_RANGE[synapse.sign_mode]
        raise RangeError(
            f"{where}: Lava would change {len(changed)} of {synapse.weight.size} weights (first: "
            f"[{i}, {j}] from {synapse.weight[i, j]} to {prepared[i, j]}); {synapse.sign_mode} "
            f"weights of {synapse.weight_bits} bits lie in {low}..{high} in steps of "
            f"{step * 2 ** (8 - synapse.weight_bits)}: prepare them before"
        )
