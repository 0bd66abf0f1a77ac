"""The AND neuron: a LIF that fires where a spike and a gate line are both 1, in the same step."""

from __future__ import annotations

import numpy as np

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.nodes import LIF, Shape

#: Between 1 (a spike or the gate) and 2 (both).
AND_THRESHOLD = 1.5
#: tau / dt. Euler: the membrane forgets at once; a little above 1, since some tools refuse
#: tau = dt. Exponential: short enough that 98 % is forgotten, so that 1 and 2 stay apart.
EULER_STEPS = 1 + 2.0**-10
EXPONENTIAL_STEPS = 0.25


def and_neuron(shape: Shape, contract: Contract) -> LIF:
    """Return AND neurons for a graph that runs under ``contract``.

    r is 1, because Norse drops it. With inputs 0, 1 and 2 the membrane stays below 1.02 where
    fewer than two of them are 1 and reaches at least 1.96 where both are, for euler and
    exponential decay, input gain r and one, and every reset that acts in the same step.

    Raises
    ------
    ContractError
        For a contract under which no such neuron is exact.
    """
    if contract.reset == "subtract-late":
        raise ContractError(
            "contract: under reset subtract-late a neuron that fired starts its next step a "
            "threshold lower, so an AND neuron misses every second spike; use the metadata form"
        )
    v_min = contract.v_min
    if v_min not in (None, "none") and float(str(v_min)) > 0:
        raise ContractError(
            f"contract: v_min {v_min} keeps an AND neuron above its rest; use the metadata form"
        )
    if contract.dt is None:
        raise ContractError("contract: dt is not known; give it in seconds (--dt)")
    steps = EXPONENTIAL_STEPS if contract.decay == "exponential" else EULER_STEPS
    return LIF(
        tau=np.full(shape, contract.dt * steps),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        v_threshold=np.full(shape, AND_THRESHOLD),
        v_reset=np.zeros(shape),
    )
