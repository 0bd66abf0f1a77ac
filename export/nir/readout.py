"""The model's read-out in the words of the execution contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.export.nir.build import BuiltGraph
from neurodeploy.export.nir.output import Reading
from neurodeploy.export.nir.settle import TracedNetwork

#: The contract's words for what a model does over its steps, by what it reads; the first is the
#: default. Sum and mean order the classes alike. A membrane's mean is read where it is; a sum of
#: other values is what a chip integrates.
_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "spikes": dict.fromkeys(("each", "sum", "mean", "last"), ("count",)),
    "membrane": {
        "each": ("mean_v", "last_v", "max_v"),
        "sum": ("mean_v",),
        "mean": ("mean_v",),
        "last": ("last_v",),
        "max": ("max_v",),
    },
    "voltage": {
        "each": ("mean_v", "sum", "last_v", "max_v"),
        "sum": ("mean_v", "sum"),
        "mean": ("mean_v", "sum"),
        "last": ("last_v",),
        "max": ("max_v",),
    },
    "values": {
        "each": ("sum", "mean_v", "last_v", "max_v"),
        "sum": ("sum", "mean_v"),
        "mean": ("sum", "mean_v"),
        "last": ("last_v",),
        "max": ("max_v",),
    },
}
_NAMES = {
    "spikes": "a spiking cell",
    "membrane": "the membrane of a spiking cell",
    "voltage": "a membrane",
    "values": "a linear layer",
}


@dataclass(frozen=True, slots=True)
class ContractReadout:
    """The contract's read-out, and how the model's own scores follow: ``scale * scores + offset``.

    ``window`` is None where all steps are read.
    """

    node: str
    kind: str
    window: tuple[int, int] | None
    scale: float
    offset: float = 0.0


def contract_readout(
    built: BuiltGraph,
    network: TracedNetwork,
    reading: Reading,
    asked: str | None,
    place: str,
) -> ContractReadout:
    """Name the read-out of the written graph.

    Parameters
    ----------
    asked : str or None
        The contract's word for it; where the model returns every step it chooses freely, else it
        must be what the model does.
    place : str
        Path of the module that is read, for messages.

    Raises
    ------
    ContractError
        If ``asked`` is not what the model does.
    """
    number = built.neurons.get(built.output)
    neuron = None if number is None else network.nodes[number].neuron
    reads = "values"
    if neuron is not None:
        reads = "voltage" if neuron.kind.endswith("LI") else "spikes"
        reads = "membrane" if network.membrane else reads
    allowed = _WORDS[reads][reading.kind]
    if asked is not None and asked not in allowed:
        raise ContractError(
            f"readout {asked!r}: the model reads {_NAMES[reads]} ({place}), whose read-out is "
            f"{' or '.join(map(repr, allowed))}"
        )
    kind = asked or allowed[0]
    start, stop = reading.window
    scale = reading.scale
    if reading.kind == "sum" and kind == "mean_v":
        scale *= stop - start
    if reading.kind == "mean" and kind in ("count", "sum"):
        scale /= stop - start
    window = None if (start, stop) == (0, network.steps) else (start, stop)
    if kind == "last_v" and stop == network.steps:
        window = None
    offset = _offset(network) * scale if network.membrane else 0.0
    return ContractReadout(built.output, kind, window, scale, offset)


def _offset(network: TracedNetwork) -> float:
    constant: NDArray[np.float64] | None = network.nodes[network.output].constant
    if constant is None:
        return 0.0
    if (constant != constant.flat[0]).any():
        raise UnsupportedNodeError(
            "model: its output is the membrane of a spiking cell whose neurons start at different "
            "values; NIR's start at zero, so the read-out would compare shifted membranes"
        )
    return float(constant.flat[0])
