"""Hardware steps: when each layer does its own first step, and how long a sample takes."""

from __future__ import annotations

from typing import TypeAlias

from neurodeploy.network import ALWAYS_ON, FixedPointNetwork, FixedSynapse, Network, Synapse

AnyNetwork: TypeAlias = Network | FixedPointNetwork
AnySynapse: TypeAlias = Synapse | FixedSynapse


def latencies(net: AnyNetwork) -> dict[str, int]:
    """Return the latency of every population, in hardware steps.

    A fixed-point network says so itself; for a float one it is the longest chain of synapses from
    the input, as a synapse costs one hardware step.
    """
    if isinstance(net, FixedPointNetwork):
        return {p.name: p.latency for p in net.populations}
    depth: dict[str, int] = {}
    for population in net.populations:
        sources = [s.source for s in net.synapses_into(population.name)]
        behind = [depth.get(source, 0) for source in sources if source != ALWAYS_ON]
        depth[population.name] = 1 + max(behind) if behind else 0
    return depth


def max_latency(net: AnyNetwork) -> int:
    """Return the hardware steps that one sample takes beyond its logical steps."""
    return max(latencies(net).values())
