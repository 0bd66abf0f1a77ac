"""What the quantiser can take: everything else is refused at once, with the reason for each."""

from __future__ import annotations

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.network import Network, Population


def obstacles(network: Network) -> dict[str, str]:
    """Return, per population or synapse the quantiser cannot take, what stands in the way."""
    found = {p.name: text for p in network.populations if (text := _population_obstacle(p))}
    graded = {p.name for p in network.populations if p.kind == "li"}
    for s in network.synapses:
        if s.source in graded:
            text = f"sends its membrane to {s.target!r}; only spikes travel between populations"
            found.setdefault(s.source, text)
        if s.late:
            text = "is fed back, and recurrent networks are not quantised yet"
            found.setdefault(s.target, text)
    return found


def require_plain(network: Network) -> None:
    """Raise UnsupportedNodeError naming all that the quantiser cannot take.

    Raises
    ------
    ContractError
        If nothing says how many steps a sample has, or the read-out has a window.
    """
    found = obstacles(network)
    if found:
        lines = "\n  ".join(f"{name!r}: {text}" for name, text in found.items())
        raise UnsupportedNodeError(f"{len(found)} nodes cannot be quantised:\n  {lines}")
    if network.steps is None:
        raise ContractError(
            "steps (steps per sample) is not in the file, and the ranges depend on it; give --steps"
        )
    encoder = network.contract.get("encoder", {}).get("kind", "constant")
    if encoder != "constant":
        raise ContractError(
            f"encoder {encoder!r} is not supported in integers yet; give --encoder constant"
        )
    if network.readout.window is not None:
        raise ContractError("a read-out window is not supported in integers yet; read all steps")


def _population_obstacle(p: Population) -> str:
    if p.kind in ("threshold", "delay"):
        return f"a {p.kind} node has no integer form yet"
    if p.decay_u is not None:
        return "synaptic currents (CubaLIF, CubaLI) are not quantised yet"
    if p.reset != "value":
        return f"reset {p.reset} has no stock Loihi neuron; reset 'value' is supported"
    if p.spikes != "single":
        return "several spikes per step have no integer form yet"
    if p.v_min is not None:
        return f"a lower limit of the membrane (v-min {p.v_min:g}) has no integer form yet"
    if (p.decay_v > 1).any():
        return (
            f"dt exceeds tau (decay {p.decay_v.max():g} per step): Loihi's decay cannot overshoot"
        )
    return ""
