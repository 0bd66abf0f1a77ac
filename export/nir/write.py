"""Writing the built graph: float64 arrays, the contract and the gain in metadata, one rename."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir

from neurodeploy.export.nir.build import BuiltGraph
from neurodeploy.export.nir.settle import TracedNetwork
from neurodeploy.graph import Contract


def write_graph(
    path: Path,
    built: BuiltGraph,
    network: TracedNetwork,
    contract: Contract,
    gain_errors: Mapping[str, float],
) -> None:
    """Write the graph to ``path`` as ``nir`` 1.0.8 does.

    ``gain_errors``: per node with a gain, what a tool that ignores it gets wrong.
    """
    nodes: dict[str, Any] = dict(built.nodes)
    for name, number in built.neurons.items():
        neuron = network.nodes[number].neuron
        if neuron is None or neuron.gain is None:
            continue
        entry: dict[str, Any] = {"values": neuron.gain / float(neuron.gain.mean()), "after": "last"}
        if name in gain_errors:
            entry["mean_gain_error"] = gain_errors[name]
        nodes[name].metadata = {"dlif_gain": entry}
    # Without nir's type checks: they refuse correct convolutions (kernels that are not square,
    # groups).
    graph = nir.NIRGraph(
        nodes,
        built.edges,
        metadata={"neurodeploy": contract.as_metadata()},
        type_check=False,
    )
    nir.write(path, graph)
