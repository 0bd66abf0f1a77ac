"""What no target of ours has, all of it at once, before anything runs."""

from __future__ import annotations

from collections import deque

import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.lowering.biases import NO_FIRST_STEP, late_biases, lost_first_steps
from neurodeploy.lowering.passes import PASSING, neurons
from neurodeploy.lowering.passing_order import NO_NEURON, passing_cycles, passing_order
from neurodeploy.network import INPUT, Network, Population, Synapse

_SUBTRACT = "reset 'value' and reset 'subtract' are supported"


def require_deployable(network: Network) -> None:
    """Raise UnsupportedNodeError naming every node that no integer network can hold.

    Networks as ``lower`` gives them and composed ones alike are checked.

    Raises
    ------
    UnsupportedNodeError
        With one line per node: what stands in the way, and the remedy.
    """
    found = obstacles(network)
    if found:
        lines = "\n  ".join(f"{name!r}: {'; '.join(texts)}" for name, texts in found.items())
        count = f"{len(found)} node{'s' if len(found) > 1 else ''}"
        raise UnsupportedNodeError(f"{count} cannot be quantised:\n  {lines}")


def obstacles(network: Network) -> dict[str, tuple[str, ...]]:
    """Return, per population or synapse, what stands in the way of integers, with its remedy."""
    found: dict[str, list[str]] = {}
    for p in neurons(network):
        if texts := _of_neuron(p):
            found.setdefault(p.name, []).extend(texts)
        if p.kind == "li" and (readers := _neurons_behind(network, p.name)):
            found.setdefault(p.name, []).append(
                f"sends its membrane to {', '.join(map(repr, readers))}, but only spikes travel "
                "between populations; read it out instead, or make it a LIF"
            )
    cycles = passing_cycles(network)
    for names in cycles:
        found.setdefault(names[0], []).append(f"{', '.join(map(repr, names))} {NO_NEURON}")
    if not cycles:
        for name in lost_first_steps(network, passing_order(network)):
            found.setdefault(name, []).append(NO_FIRST_STEP)
        for name, how in late_biases(network).items():
            found.setdefault(name, []).append(how)
    for name in _delayed_offsets(network):
        found.setdefault(name, []).append(
            f"delays an input whose lowest value is {network.encoder.low:g}: before the first step "
            "it is 0, which no input code stands for; use an encoder range that begins at 0"
        )
    passing = [p.name for p in network.populations if p.kind in PASSING]
    if network.readout.population in passing:
        found.setdefault(network.readout.population, []).append(
            "is read out but is no neuron; read a LI node behind it"
        )
    return {name: tuple(texts) for name, texts in found.items()}


def _of_neuron(p: Population) -> list[str]:
    """Return what stands in the way of one population."""
    found = []
    if p.kind == "threshold":
        return []
    if p.v_min is not None:
        found.append(
            f"a lower limit of the membrane (v-min {p.v_min:g}) has no integer form; train without "
            "it, or with v-min none"
        )
    for name in ("decay_v", "decay_u"):
        decay = getattr(p, name)
        if decay is not None and (decay.max(initial=0) > 1 or decay.min(initial=0) < 0):
            worst = decay[np.argmax(np.abs(decay - 0.5))]
            found.append(
                f"{name} is {worst:g} per step, outside 0..1 (dt beyond tau, or a negative tau): "
                "Loihi's decay cannot overshoot; use a smaller --dt"
            )
    if p.kind == "li" and p.gain is not None:
        found.append(
            "a gain on a neuron that never fires has no integer form; scale its input instead"
        )
    return found if p.kind == "li" else found + _of_spiking(p)


def _of_spiking(p: Population) -> list[str]:
    found = []
    if p.reset not in ("value", "subtract"):
        found.append(f"reset {p.reset!r} has no integer form; {_SUBTRACT}")
    if p.spikes != "single":
        found.append("several spikes per step have no integer form; use spikes single")
    level = p.v_threshold - (p.v_reset if p.reset == "value" else 0.0)
    if (level < 0).any():
        neuron = int(np.argmin(level))
        below = f"v_reset ({p.v_reset[neuron]:g})" if p.reset == "value" else "0"
        found.append(
            f"v_threshold ({p.v_threshold[neuron]:g} in neuron {neuron}) lies below {below}; no "
            "register holds that: shift v_leak, v_reset and v_threshold together"
        )
    if p.gain is not None:
        found += _of_gain(p)
    return found


def _of_gain(p: Population) -> list[str]:
    found = []
    if p.decay_u is not None:
        found.append("a gain on a synaptic current (CubaLIF) has no integer form; use LIF")
    if p.reset == "subtract":
        found.append("a gain with reset 'subtract' has no integer form; use reset 'value'")
    drift = p.decay_v * (p.v_leak - p.v_reset)
    if drift.any():
        found.append(
            f"a gain with v_leak other than v_reset (largest drift {np.abs(drift).max():.4g} per "
            "step) has no place in the integer rule, where the gain multiplies the bias; train "
            "with v_leak = v_reset"
        )
    return found


def _neurons_behind(network: Network, name: str) -> list[str]:
    """Return the neurons that a population reaches over synapses, relays and delays.

    A read-out that only holds a sum, and sends nothing on, counts too: integers have no such sum.
    """
    passing = {p.name for p in network.populations if p.kind in PASSING}
    ends = [s.target for s in _ways_from(network, name) if s.target not in passing]
    return list(dict.fromkeys(ends))


def _delayed_offsets(network: Network) -> list[str]:
    """Return synapses and delays that hold back an input whose lowest value is not zero."""
    if network.encoder.low == 0:
        return []
    delays = {
        p.name for p in network.populations if p.delay_steps is not None and any(p.delay_steps)
    }
    ways = _ways_from(network, INPUT)
    found = [s.name for s in ways if s.late] + [s.target for s in ways if s.target in delays]
    return list(dict.fromkeys(found))


def _ways_from(network: Network, name: str) -> list[Synapse]:
    """Return the synapses that carry what a source sends, up to the next neurons."""
    passing = {p.name for p in network.populations if p.kind in PASSING}
    leaving: dict[str, list[Synapse]] = {}
    for s in network.synapses:
        leaving.setdefault(s.source, []).append(s)
    waiting, seen, found = deque([name]), {name}, []
    while waiting:
        for s in leaving.get(waiting.popleft(), ()):
            found.append(s)
            if s.target in passing and s.target not in seen:
                seen.add(s.target)
                waiting.append(s.target)
    return found
