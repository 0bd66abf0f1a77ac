"""What samples become before a network takes them: gain lines added, values encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError
from neurodeploy.findings import Finding
from neurodeploy.graph import Graph
from neurodeploy.network import FixedPointNetwork, Network, Samples, Stimuli


def as_stimuli(data: Samples | Stimuli) -> Stimuli:
    """Return labelled images as held stimuli; stimuli as they are."""
    return Stimuli(data.images, data.labels, held=True) if isinstance(data, Samples) else data


def widened(
    graph: Graph | None, network: Network | None, stimuli: Stimuli, steps: int | None = None
) -> Stimuli:
    """Return the stimuli with the gain lines of a graph whose gain is in a portable form.

    Stimuli that have the graph's width already, and those of other graphs, stay as they are.
    """
    if graph is None or network is None or stimuli.values.shape[-1] == network.n_input:
        return stimuli
    # The exporter needs torch; other graphs do not.
    if "neurodeploy_gain" not in graph.metadata:
        return stimuli
    from neurodeploy.export.gain import portable_stimulus

    values = portable_stimulus(stimuli.values, graph, steps=steps)
    return Stimuli(values, stimuli.labels, held=False)


def stimulus_for(
    network: Network | FixedPointNetwork, stimuli: Stimuli, backend: str
) -> tuple[NDArray[Any], tuple[Finding, ...]]:
    """Return what simulators take, and what that changes.

    Held images become codes on every backend, so that all see the same grid. A sequence is used
    as it is in float (as codes where it lies on the grid, which is the same and is then seen to
    be), and rounded to codes for integers.

    Raises
    ------
    ShapeError
        If the inputs have another size than the network's.
    ContractError
        For held images under an encoder that cannot be run yet.
    """
    stimuli.require_size(network.n_input)
    encoder = network.contract.get("encoder", {}).get("kind", "constant")
    if stimuli.held and encoder != "constant":
        raise ContractError(
            f"encoder: the contract says {encoder!r}, and only 'constant' turns held images into "
            "input yet; give a sequence x [T, B, ...], or --encoder constant"
        )
    codes = network.encoder.encode(stimuli.values)
    if backend == "float" and not stimuli.held:
        on_grid = np.array_equal(network.encoder.decode(codes), stimuli.values)
        return (codes if on_grid else stimuli.values), ()
    return codes, stimuli.changed_by(network.encoder)
