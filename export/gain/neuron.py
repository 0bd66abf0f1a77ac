"""AND neurons, which fire where a spike and a gate line are both 1 in the same step, and relays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.nodes import IF, LIF, CubaLIF, Node, Shape, Threshold, array_fields

#: Between 1 (a spike or the gate) and 2 (both).
AND_THRESHOLD = 1.5
#: What a relay beside AND neurons is given: as much as a spike and a gate.
AND_RELAY_WEIGHT = 2.0
#: Threshold of relays that are unlike their neighbours: a reset by subtraction leaves a quarter.
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


def can_relay(node: Node, contract: Contract) -> bool:
    """Whether neurons of the node's kind can pass on 0 and 1.

    An IF never forgets, so what a subtraction leaves would add up.
    """
    if isinstance(node, IF):
        return contract.reset == "value"
    return isinstance(node, (LIF, CubaLIF, Threshold)) and contract.reset != "subtract-late"


def with_relays(node: Node, count: int, contract: Contract) -> tuple[Node, float]:
    """Return the population with ``count`` relay neurons behind its own, and what feeds a relay.

    A line that is 1 must enter a relay with that weight. Where the neurons are all alike and go to
    v_reset, the relays are like them: spikingjelly and snnTorch read no others. Such a neuron
    fires whenever its input is large enough, and never without one.
    """
    if not count:
        return node, 1.0
    weight = _weight_that_fires(node, contract)
    if weight is not None:
        alike: dict[str, Any] = {
            key: np.concatenate([value, np.full(count, value.flat[0], value.dtype)])
            for key, value in array_fields(node).items()
        }
        return dataclasses.replace(node, **alike), weight
    tau = _short_tau(contract)
    relay = {
        "tau": tau,
        "tau_syn": tau,
        "tau_mem": tau,
        "r": 1 / _if_step(contract) if isinstance(node, IF) else 1.0,
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
    return dataclasses.replace(node, **longer), 1.0


def _weight_that_fires(node: Node, contract: Contract) -> float | None:
    """Return an input at which a neuron of the node always fires, or None if there is none.

    None, too, if it could fire without an input: where a reset leaves something above v_reset, or
    where it rests above its threshold. A current (CubaLIF) would outlive its input.
    """
    if not isinstance(node, (LIF, IF)) or contract.reset != "value":
        return None
    if contract.v_min not in (None, "none"):
        return None
    if any((value != value.flat[0]).any() for value in array_fields(node).values()):
        return None
    threshold, reset = float(node.v_threshold.flat[0]), float(node.v_reset.flat[0])
    leak = float(node.v_leak.flat[0]) if isinstance(node, LIF) else 0.0
    per_input = 1.0 if contract.input_gain == "one" else float(node.r.flat[0])
    if contract.input_gain != "one":
        per_input *= _if_step(contract) if isinstance(node, IF) else _decay(node, contract)
    if not (threshold > max(0.0, reset, leak) and per_input > 0):
        return None
    # Membrane at least -(|v_reset| + |v_leak|) before; twice what is needed, in a round number.
    needed = 2 * (threshold + abs(reset) + 2 * abs(leak)) / per_input
    return float(2.0 ** np.ceil(np.log2(needed)))


def _decay(node: LIF, contract: Contract) -> float:
    share = float(contract.dt or 1) / float(node.tau.flat[0])
    return 1 - float(np.exp(-share)) if contract.decay == "exponential" else share


def _if_step(contract: Contract) -> float:
    return 1.0 if contract.if_unit == "step" else float(contract.dt or 1)


def _short_tau(contract: Contract) -> float:
    if contract.dt is None:
        raise ContractError("contract: dt is not known; give it in seconds (--dt)")
    return contract.dt * (EXPONENTIAL_STEPS if contract.decay == "exponential" else EULER_STEPS)
