"""Delays into the synapses behind them: one synapse for each delay that a population holds."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.conditions import BIASES_IN_NEURONS, NEVER_SILENT, NO_DELAYS
from neurodeploy.lowering.passes import Pass
from neurodeploy.lowering.passing_order import require_neuron_readout
from neurodeploy.network import Network, Population, Scale, Synapse


class DelaysToSynapses(Pass):
    """Delay populations become relays, whose synapses carry the delay."""

    name = "delays into synapses"
    needs = (BIASES_IN_NEURONS, NEVER_SILENT)
    gives = (NO_DELAYS,)

    def change(self, network: Network) -> Result[Network]:
        """Return the network without populations of kind ``delay``.

        Raises
        ------
        UnsupportedNodeError
            If the read-out reads a delay: targets read neurons.
        """
        delays = {p.name: p for p in network.populations if p.kind == "delay"}
        require_neuron_readout(network)
        synapses: list[Synapse] = []
        for s in network.synapses:
            synapses += _split(s, delays[s.source]) if s.source in delays else [s]
        populations = tuple(
            dataclasses.replace(p, kind="relay", delay_steps=None) if p.name in delays else p
            for p in network.populations
        )
        changed = dataclasses.replace(network, populations=populations, synapses=tuple(synapses))
        return Result(changed, tuple(_finding(p) for p in delays.values()))


def _split(s: Synapse, delay: Population) -> list[Synapse]:
    """Return one synapse per delay, each for the values that have it."""
    steps = np.asarray(delay.delay_steps)
    found = []
    for value in np.unique(steps):
        own = steps == value
        mask = () if own.all() else (Scale(f"{delay.name}@{value}", own.astype(np.float64)),)
        found.append(
            dataclasses.replace(
                s,
                name=s.name if own.all() else f"{s.name}@{value}",
                operators=(*mask, *s.operators),
                delay_steps=s.delay_steps + int(value),
            )
        )
    return found


def _finding(p: Population) -> Finding:
    steps = np.unique(np.asarray(p.delay_steps))
    some = ", ".join(str(int(n)) for n in steps[:10]) + (" ..." if steps.size > 10 else "")
    text = f"its delays ({some} steps) are part of the synapses behind it"
    return Finding("info", f"node {p.name!r}", text, numbers={"longest": int(steps.max())})
