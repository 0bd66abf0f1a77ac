"""Refuses integers for which the rules define no result, on a chip or off it."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation
from neurodeploy.network.registers import V_THRESHOLD_MAX

_SHIFT_MAX = 31


def require_defined(net: FixedPointNetwork) -> None:
    """Raise RangeError for a decay, gain, shift, threshold or wait outside what the rules define.

    What a chip cannot hold is the business of ``require_legal``; this holds for every simulator,
    with Lava's quirks too.
    """
    for population in net.populations:
        for what, values, low, high in _checks(population):
            _require(f"population {population.name}", what, values, low, high)
    for synapse in net.synapses:
        where = f"synapse {synapse.name}"
        _require(where, "weight_exp", synapse.weight_exp, -_SHIFT_MAX, _SHIFT_MAX)


def _checks(p: FixedPopulation) -> list[tuple[str, Any, int, int]]:
    checks: list[tuple[str, Any, int, int]] = [
        ("decay_v", p.decay_v, 0, 4096),
        ("bias_exp", p.bias_exp, -_SHIFT_MAX, _SHIFT_MAX),
        ("refractory_steps", p.refractory_steps, 0, 2**30),
    ]
    if p.gain is not None:
        checks += [("gain", p.gain, 0, 2**16), ("gain_shift", p.gain_shift, 0, _SHIFT_MAX)]
    else:
        # Lava accepts -1: u then keeps everything.
        checks += [("decay_u", p.decay_u, -1, 4095)]
    if p.reset == "subtract":
        checks += [("v_threshold", p.v_threshold, -V_THRESHOLD_MAX - 1, V_THRESHOLD_MAX + 1)]
    return checks


def _require(where: str, what: str, values: Any, low: int, high: int) -> None:
    array = np.asarray(values)
    if array.size and (array.min() < low or array.max() > high):
        raise RangeError(
            f"{where}: {what} is {array.min()}..{array.max()}, the rules are defined for "
            f"{low}..{high}"
        )
