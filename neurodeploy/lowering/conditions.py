"""Conditions between lowering passes."""

from __future__ import annotations

from collections import Counter

from neurodeploy.lowering.passes import PASSING, Condition
from neurodeploy.network import ALWAYS_ON, Convolution, Dense, Network, Operator, Sparse


def _biased(network: Network) -> list[str]:
    inner = [s.name for s in network.synapses if any(o.bias is not None for o in s.operators)]
    passing = [p.name for p in network.populations if p.kind in PASSING and p.bias.any()]
    always = [s.name for s in network.synapses if s.source == ALWAYS_ON and not s.late]
    return inner + passing + always


def _silent(network: Network) -> list[str]:
    return [s.name for s in network.synapses if s.silent_first]


def _of_kind(network: Network, kind: str) -> list[str]:
    return [p.name for p in network.populations if p.kind == kind]


def is_single(operator: Operator) -> bool:
    """Whether an operator is of a kind that a target holds: Dense, Sparse, or an even Convolution.

    A convolution has two axes and as many zeros before as after each.
    """
    if isinstance(operator, Convolution):
        even = all(before == after for before, after in operator.padding)
        return len(operator.stride) == 2 and even
    return isinstance(operator, Sparse) or (
        isinstance(operator, Dense) and operator.weight.ndim == 2
    )


def _not_single(network: Network) -> list[str]:
    return [
        s.name
        for s in network.synapses
        if len(s.operators) != 1 or not is_single(s.operators[0]) or s.silent_first
    ]


def _addable(network: Network) -> list[str]:
    """Return pairs that are parallel matrices: they could be one."""
    places = Counter(
        (s.source, s.target, s.delay_steps)
        for s in network.synapses
        if len(s.operators) == 1 and isinstance(s.operators[0], (Dense, Sparse))
    )
    return [f"{a} -> {b} after {d} steps" for (a, b, d), n in places.items() if n > 1]


def _late_lines(network: Network) -> list[str]:
    return [s.name for s in network.synapses if s.source == ALWAYS_ON]


BIASES_IN_NEURONS = Condition("biases are in the neurons alone", _biased)
NEVER_SILENT = Condition("no synapse leaves out its first step", _silent)
NO_THRESHOLDS = Condition("no neuron lacks a membrane", lambda net: _of_kind(net, "threshold"))
NO_DELAYS = Condition("no population is a delay", lambda net: _of_kind(net, "delay"))
NO_RELAYS = Condition("no population is a relay", lambda net: _of_kind(net, "relay"))
SINGLE_OPERATORS = Condition(
    "every synapse is one Dense, one Sparse or one even Convolution", _not_single
)
NO_PARALLELS = Condition("matrices of one source, target and delay are one", _addable)
NO_LATE_BIASES = Condition("every bias acts from the first step on", _late_lines)
#: What a target takes; ``compose`` gives it.
DEPLOYABLE_FORM = (
    BIASES_IN_NEURONS,
    NEVER_SILENT,
    NO_THRESHOLDS,
    NO_DELAYS,
    NO_RELAYS,
    SINGLE_OPERATORS,
    NO_PARALLELS,
    NO_LATE_BIASES,
)
