"""AND neurons, which fire where a spike and a gate line are both 1 in the same step, and relays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.nodes import IF, LIF, CubaLIF, Node, Shape, Threshold, array_fields

#: Between 1 (a spike or the gate) and 2 (both).
AND_THRESHOLD = 1.5
#: A relay fires with its single input; a reset by subtraction then leaves a quarter.
RELAY_THRESHOLD = 0.75
#: tau / dt. Euler: the membrane forgets at once. A little above 1, since spikingjelly refuses
#: tau = dt, also in float32; not more, since snnTorch wants r = tau / dt within 1e-5.
#: Exponential: short enough that 98 % is forgotten, so that 1 and 2 stay apart.
EULER_STEPS = 1 + 2.0**-20
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
    return LIF(
        tau=np.full(shape, _short_tau(contract)),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        v_threshold=np.full(shape, AND_THRESHOLD),
        v_reset=np.zeros(shape),
    )


def and_layer(gates: NDArray[np.int64], contract: Contract) -> LIF:
    """Return AND neurons where ``gates`` [N] is 1, and relays where it is 0."""
    node = and_neuron(gates.shape, contract)
    return dataclasses.replace(
        node, v_threshold=np.where(gates > 0, AND_THRESHOLD, RELAY_THRESHOLD)
    )


def can_relay(node: Node, contract: Contract) -> bool:
    """Whether neurons of the node's kind can pass on 0 and 1.

    An IF never forgets, so what a subtraction leaves would add up.
    """
    if isinstance(node, IF):
        return contract.reset == "value"
    return isinstance(node, (LIF, CubaLIF, Threshold)) and contract.reset != "subtract-late"


def with_relays(node: Node, count: int, contract: Contract) -> Node:
    """Return the population with ``count`` relay neurons behind its own."""
    if not count:
        return node
    tau = _short_tau(contract)
    per_step = 1.0 if contract.if_unit == "step" else 1 / float(contract.dt or 1)
    relay = {
        "tau": tau,
        "tau_syn": tau,
        "tau_mem": tau,
        "r": per_step if isinstance(node, IF) else 1.0,
        "w_in": 1.0,
        "v_leak": 0.0,
        "v_reset": 0.0,
        "v_threshold": RELAY_THRESHOLD,
        "threshold": RELAY_THRESHOLD,
    }
    longer: dict[str, Any] = {
        key: np.concatenate([np.asarray(value, np.float64), np.full(count, relay[key])])
        for key, value in array_fields(node).items()
    }
    return dataclasses.replace(node, **longer)


def _short_tau(contract: Contract) -> float:
    if contract.dt is None:
        raise ContractError("contract: dt is not known; give it in seconds (--dt)")
    return contract.dt * (EXPONENTIAL_STEPS if contract.decay == "exponential" else EULER_STEPS)
