"""Hardware steps: when each layer does its own first step, and how long a sample takes."""

from __future__ import annotations

from typing import TypeAlias

from neurodeploy.network import INPUT, FixedPointNetwork, FixedSynapse, Network, Synapse

AnyNetwork: TypeAlias = Network | FixedPointNetwork
AnySynapse: TypeAlias = Synapse | FixedSynapse


def latencies(net: AnyNetwork) -> dict[str, int]:
    """Return the latency of every population, in hardware steps.

    A fixed-point network says so itself; for a float one it is the longest chain of synapses from
    the input, as a synapse costs one hardware step, less the steps that a delay has to spare.
    """
    if isinstance(net, FixedPointNetwork):
        return {p.name: p.latency for p in net.populations}
    depth: dict[str, int] = {INPUT: 0}
    for population in net.populations:
        before = [s for s in net.synapses_into(population.name) if s.source in depth]
        found = [depth[s.source] + 1 - s.delay_steps for s in before]
        depth[population.name] = max(1, *found) if found else 1
    del depth[INPUT]
    return depth


def max_latency(net: AnyNetwork) -> int:
    """Return the hardware steps that one sample takes beyond its logical steps."""
    return max(latencies(net).values())
