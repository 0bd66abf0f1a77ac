"""Every bias into the neurons it ends at: those of operators, of relays and of delays.

A bias acts at every step from the first on. What begins later (behind a delay, or left out of the
first step by ``recurrent-cut affine``) comes over the line that is always on, delayed.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.conditions import BIASES_IN_NEURONS, NEVER_SILENT
from neurodeploy.lowering.linear_output import constant_of
from neurodeploy.lowering.passes import PASSING, Pass, neurons
from neurodeploy.lowering.passing_order import passing_order, require_neuron_readout
from neurodeploy.network import (
    ALWAYS_ON,
    Convolution,
    Dense,
    Network,
    Operator,
    Population,
    Synapse,
)

#: What arrives at every step, by the number of steps (from 0) before the first one.
Constants: TypeAlias = dict[int, NDArray[np.float64]]


#: What is wrong with values that are left out of the first step, and the remedy.
NO_FIRST_STEP = (
    "bring nothing in the first step although their sources send then; no synapse of a target does "
    "that: delay them by a step"
)
#: What is wrong with a bias behind a delay, and the remedy.
_NO_LATE_BIAS = (
    ", and biases of a target act from the first step on; put the Delay before the node with the "
    "bias (which then acts at once), or take the bias out"
)


class MoveBiases(Pass):
    """Biases of operators, relays, delays and always-on lines become biases of neurons."""

    name = "biases"
    gives = (BIASES_IN_NEURONS, NEVER_SILENT)

    def change(self, network: Network) -> Result[Network]:
        """Return the network without inner biases.

        Raises
        ------
        UnsupportedNodeError
            If a synapse leaves out a first step in which its source sends more than a bias, if
            delays form a cycle without a neuron, or if the read-out reads a relay or a delay.
        """
        require_neuron_readout(network)
        passing = passing_order(network)
        if lost := lost_first_steps(network, passing):
            raise UnsupportedNodeError(f"synapses {', '.join(lost)} {NO_FIRST_STEP}")
        sent = _all_sent(network, passing)
        populations: list[Population] = []
        lines: list[Synapse] = []
        for p in network.populations:
            if p.kind in PASSING:
                populations.append(dataclasses.replace(p, bias=np.zeros(p.size)))
                continue
            arriving = _arriving(network, p, sent)
            bias = arriving.pop(0, p.bias)
            populations.append(dataclasses.replace(p, bias=bias))
            lines += [_line(p, d, x) for d, x in sorted(arriving.items()) if x.any()]
        kept = tuple(_without_biases(s) for s in network.synapses if s.source != ALWAYS_ON)
        changed = dataclasses.replace(
            network, populations=tuple(populations), synapses=(*kept, *lines)
        )
        return Result(changed, tuple(_finding(line) for line in lines))


def late_biases(network: Network) -> dict[str, str]:
    """Return what makes biases begin after the first step: {synapse or node: how, and the remedy}.

    Empty where no such bias reaches a neuron.
    """
    passing = passing_order(network)
    sent = _all_sent(network, passing)
    if not any(
        begin and x.any()
        for p in neurons(network)
        for begin, x in _arriving(network, p, sent).items()
    ):
        return {}
    found: dict[str, str] = {}
    for s in network.synapses:
        size = s.operators[0].size_in if s.operators else network.population(s.target).size
        first = sent.get(s.source, {}).get(0, np.zeros(size))
        if s.source == ALWAYS_ON:
            first = np.ones(size)
            if s.late:
                found[s.name] = f"its line begins after {s.delay_steps} steps; drop that delay"
        if s.silent_first and constant_of(s.operators, np.asarray(first * (not s.late))).any():
            found[s.name] = (
                "its biases are missing in the first step (recurrent-cut affine), and biases of a "
                "target act from the first step on; use --recurrent-cut spikes"
            )
        if s.late and any(x.any() for x in sent.get(s.source, {}).values()):
            found[s.name] = f"delays a bias by {s.delay_steps} steps{_NO_LATE_BIAS}"
    for p in passing:
        if p.delay_steps is not None:
            arrived = sum((np.abs(x) for x in _arriving(network, p, sent).values()), np.zeros(1))
            if (np.asarray(arrived) * p.delay_steps).any():
                found[p.name] = f"delays a bias by up to {p.delay_steps.max()} steps{_NO_LATE_BIAS}"
    return found


def _all_sent(network: Network, passing: list[Population]) -> dict[str, Constants]:
    """Return the constants that relays and delays send."""
    sent: dict[str, Constants] = {}
    for p in passing:
        sent[p.name] = _sent(p, _arriving(network, p, sent))
    return sent


def _arriving(network: Network, p: Population, sent: dict[str, Constants]) -> Constants:
    """Return the constants that arrive at a population, its own bias included."""
    found: Constants = {0: np.array(p.bias)} if p.bias.any() else {}
    for s in network.synapses_into(p.name):
        size = s.operators[0].size_in if s.operators else p.size
        constants = dict(sent.get(s.source, {}))
        if s.source == ALWAYS_ON:
            constants = {0: np.ones(1)}
        arriving = {d + s.delay_steps: constant_of(_linear(s), x) for d, x in constants.items()}
        own = constant_of(s.operators, np.zeros(size))
        if own.any():
            arriving[0] = arriving[0] + own if 0 in arriving else own
        for delay, x in arriving.items():
            # What a synapse leaves out in the first step begins in the second.
            begin = max(delay, int(s.silent_first))
            found[begin] = found[begin] + x if begin in found else x
    return found


def _sent(p: Population, arriving: Constants) -> Constants:
    """Return the constants that a relay or a delay sends."""
    if p.delay_steps is None:
        return arriving
    sent: Constants = {}
    for begin, x in arriving.items():
        for delay in np.unique(p.delay_steps):
            part = np.where(p.delay_steps == delay, x, 0.0)
            at = begin + int(delay)
            sent[at] = sent[at] + part if at in sent else part
    return sent


def _linear(s: Synapse) -> tuple[Operator, ...]:
    return _without_biases(s).operators


def _without_biases(s: Synapse) -> Synapse:
    if all(o.bias is None for o in s.operators) and not s.silent_first:
        return s
    operators = tuple(
        dataclasses.replace(o, bias=None)
        if isinstance(o, (Dense, Convolution)) and o.bias is not None
        else o
        for o in s.operators
    )
    return dataclasses.replace(s, operators=operators, silent_first=False)


def _line(p: Population, delay: int, x: NDArray[np.float64]) -> Synapse:
    name = f"{ALWAYS_ON}->{p.name}"
    return Synapse(
        f"{name}@{delay}", ALWAYS_ON, p.name, (Dense(name, x[:, None]),), delay_steps=delay
    )


def _finding(line: Synapse) -> Finding:
    return Finding(
        "info",
        f"node {line.target!r}",
        f"gets a bias that begins after {line.delay_steps} steps, over a line that is always on",
        numbers={"steps": line.delay_steps},
    )


def lost_first_steps(network: Network, passing: list[Population]) -> list[str]:
    """Return the synapses that leave out values, not biases alone, in the first step."""
    sends = {p.name: p.kind not in PASSING for p in network.populations}
    for p in passing:
        arrives = any(
            not s.late and not s.silent_first and sends.get(s.source, True)
            for s in network.synapses_into(p.name)
            if s.source != ALWAYS_ON
        )
        waits = p.delay_steps is not None and bool((p.delay_steps >= 1).all())
        sends[p.name] = arrives and not waits
    return [
        s.name
        for s in network.synapses
        if s.silent_first and not s.late and s.source != ALWAYS_ON and sends.get(s.source, True)
    ]
