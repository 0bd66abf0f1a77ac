"""What the quantiser can take: everything else is refused at once, with the reason for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.lowering import obstacles as not_deployable
from neurodeploy.network import (
    ALWAYS_ON,
    Convolution,
    Dense,
    Network,
    Population,
    Sparse,
    Synapse,
)


def obstacles(network: Network) -> dict[str, str]:
    """Return, per population or synapse the quantiser cannot take, what stands in the way.

    What no integer network can hold (``neurodeploy.lowering.obstacles``), and what is not composed.
    """
    found = {name: "; ".join(texts) for name, texts in not_deployable(network).items()}
    for p in network.populations:
        if p.kind not in ("lif", "li"):
            found.setdefault(p.name, f"is a {p.kind} population; compose the network first")
    for s in network.synapses:
        if text := _not_composed(s):
            found.setdefault(s.name, text)
    return found


def require_plain(network: Network) -> None:
    """Raise UnsupportedNodeError naming all that the quantiser cannot take.

    Raises
    ------
    ContractError
        If nothing says how many steps a sample has.
    """
    found = obstacles(network)
    if found:
        lines = "\n  ".join(f"{name!r}: {text}" for name, text in found.items())
        raise UnsupportedNodeError(f"{len(found)} nodes cannot be quantised:\n  {lines}")
    if network.steps is None:
        raise ContractError(
            "steps (steps per sample) is not in the file, and the ranges depend on it; give --steps"
        )


def reset_origin(p: Population) -> NDArray[np.float64]:
    """Return the membrane [N] at which the integer v is 0: where it resets to.

    A subtractive reset takes off the threshold as it is, so its membrane is not moved.
    """
    return p.v_reset if p.reset == "value" else np.zeros(p.size)


def threshold_distance(p: Population) -> NDArray[np.float64]:
    """Return how far the threshold lies above the origin [N]; infinite for what never fires."""
    if p.kind == "li":
        return np.full(p.size, np.inf)
    return p.v_threshold - reset_origin(p)


def _not_composed(s: Synapse) -> str:
    if len(s.operators) != 1:
        return f"is a chain of {len(s.operators)} operators; compose the network first"
    operator = s.operators[0]
    fits = isinstance(operator, (Dense, Sparse, Convolution))
    if isinstance(operator, Dense):
        fits = operator.weight.ndim == 2
    if isinstance(operator, Convolution):
        fits = operator.weight.ndim == 4 and all(a == b for a, b in operator.padding)
    if not fits or operator.bias is not None or s.silent_first:
        return (
            f"is a {type(operator).__name__} that is no synapse (one matrix, sparse matrix, or "
            "convolution over two axes with the same padding on both sides, without a bias); "
            "compose the network first"
        )
    if s.late and s.source == ALWAYS_ON:
        return f"is a bias that begins {s.delay_steps} steps late; drop the delay"
    return ""
