"""What the quantiser can take: everything else is refused at once, with the reason for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    Convolution,
    Dense,
    Network,
    Population,
    Sparse,
    Synapse,
)

#: Encoders whose stimulus is the codes themselves, step by step.
_ENCODERS = ("constant", "events")


def obstacles(network: Network) -> dict[str, str]:
    """Return, per population or synapse the quantiser cannot take, what stands in the way."""
    found = {p.name: text for p in network.populations if (text := _population_obstacle(p))}
    graded = {p.name for p in network.populations if p.kind == "li"}
    for s in network.synapses:
        if s.source in graded:
            text = (
                f"sends its membrane to {s.target!r}; only spikes travel between populations: put "
                "a spiking neuron between them"
            )
            found.setdefault(s.source, text)
        if text := _synapse_obstacle(network, s):
            found.setdefault(s.name, text)
    return found


def require_plain(network: Network) -> None:
    """Raise UnsupportedNodeError naming all that the quantiser cannot take.

    Raises
    ------
    ContractError
        If nothing says how many steps a sample has, or the encoder has no integers.
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
    if encoder not in _ENCODERS:
        raise ContractError(
            f"encoder {encoder!r} is not supported in integers yet; give --encoder "
            f"{' or '.join(_ENCODERS)}"
        )


def _population_obstacle(p: Population) -> str:
    reasons = [*_kind_obstacles(p), *_range_obstacles(p)]
    return "; ".join(reasons)


def _kind_obstacles(p: Population) -> list[str]:
    if p.kind not in ("lif", "li"):
        return [f"a {p.kind} node has no integer form yet; put a LIF neuron in its place"]
    found = []
    if p.decay_u is not None and p.gain is not None:
        found.append(
            "a gain on a synaptic current (CubaLIF with dlif_gain) has no integer rule; put the "
            "gain on a LIF neuron"
        )
    if p.reset not in ("value", "subtract"):
        found.append(f"reset {p.reset} has no integer form; use reset 'value' or 'subtract'")
    if p.reset == "subtract" and p.gain is not None and p.kind == "lif":
        found.append("a gain with subtractive reset has no integer rule; use reset 'value'")
    if p.spikes != "single":
        found.append("several spikes per step have no integer form yet; use spikes 'single'")
    if p.v_min is not None:
        found.append(
            f"a lower limit of the membrane (v-min {p.v_min:g}) has no integer form yet; use "
            "v-min 'none'"
        )
    return found


def _range_obstacles(p: Population) -> list[str]:
    found = []
    for tau, decay in (("tau", p.decay_v), ("the synaptic tau", p.decay_u)):
        if decay is not None and ((decay > 1) | (decay < 0)).any():
            worst = decay[np.argmax(np.abs(decay - 0.5))]
            found.append(
                f"dt exceeds {tau} (decay {worst:g} per step): Loihi's decay cannot overshoot; "
                "use a shorter dt"
            )
    origin = reset_origin(p)
    if p.kind == "lif" and (p.v_threshold < origin).any():
        found.append(
            f"v_threshold ({p.v_threshold.min():g}) lies below where it resets to "
            f"({origin.max():g}); the chip has no register for that: raise the threshold"
        )
    drift = p.decay_v * (p.v_leak - origin)
    if p.gain is not None and drift.any():
        found.append(
            f"a gain with v_leak != v_reset (largest drift {np.abs(drift).max():.4g} per step) has "
            "no place in the integer rule, where the gain multiplies the bias; train with "
            "v_leak = v_reset"
        )
    return found


def reset_origin(p: Population) -> NDArray[np.float64]:
    """Return the membrane [N] at which the integer v is 0: where it resets to.

    A subtractive reset takes off the threshold as it is, so its membrane is not moved.
    """
    return p.v_reset if p.reset == "value" else np.zeros(p.size)


def _synapse_obstacle(network: Network, s: Synapse) -> str:
    if len(s.operators) != 1:
        return f"is a chain of {len(s.operators)} operators; compose the network first"
    operator = s.operators[0]
    fits = isinstance(operator, (Dense, Sparse, Convolution))
    if isinstance(operator, Dense):
        fits = operator.weight.ndim == 2
    if isinstance(operator, Convolution):
        fits = operator.weight.ndim == 4 and all(a == b for a, b in operator.padding)
    if not fits or operator.bias is not None:
        kind = type(operator).__name__
        return (
            f"is a {kind} that no synapse is (one matrix, sparse matrix, or convolution over two "
            "axes with the same padding on both sides, without a bias); compose the network first"
        )
    if s.silent_first:
        return "is silent in the first step (recurrent-cut affine); use recurrent-cut spikes"
    if s.late and s.source == ALWAYS_ON:
        return f"is a bias that begins {s.delay_steps} steps late; drop the delay"
    if s.late and s.source == INPUT and network.encoder.low != 0:
        return (
            f"delays an input range that begins at {network.encoder.low:g}: its zeros before the "
            "first step are no code; use a range that begins at 0"
        )
    return ""
