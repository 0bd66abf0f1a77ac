"""The few traces that the report draws: figures.npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.files import replacing
from neurodeploy.network import FixedPointNetwork, Network, Samples, decide
from neurodeploy.pipeline.fidelity import Fidelity

#: Samples drawn, and neurons whose membrane is drawn.
N_SAMPLES, N_NEURONS = 3, 3


def figure_arrays(
    name: str, network: Network, net: FixedPointNetwork, samples: Samples, fidelity: Fidelity
) -> dict[str, NDArray[Any]]:
    """Return the arrays of figures.npz for one model.

    Samples: the first ones whose spikes differ between the networks, then the first of all; each
    is called by its place in the user's data.
    Neurons: those of the largest membrane difference on these samples.
    """
    chosen = _samples(fidelity, len(samples))
    before, after = fidelity.float_traces, fidelity.fixed_traces
    arrays: dict[str, NDArray[Any]] = {
        f"{name}/images": samples.images[chosen],
        f"{name}/labels": samples.labels[chosen],
        f"{name}/samples": samples.index[chosen],
        f"{name}/float_decision": decide(before.scores())[chosen],
        f"{name}/fixed_decision": decide(after.scores())[chosen],
    }
    drawn = {p.name for p in network.populations}
    for population in (p for p in net.populations if p.name in drawn):
        key, stem = population.name, f"{name}/{population.name}"
        v_float = before.records[f"{key}/v"][:, chosen]
        v_fixed = after.records[f"{key}/v"][:, chosen] / population.scale + population.origin
        difference = np.abs(v_float - v_fixed).max(axis=(0, 1))
        neurons = np.sort(np.argsort(-difference, kind="stable")[:N_NEURONS])
        arrays[f"{stem}/neurons"] = neurons
        arrays[f"{stem}/float_v"] = v_float[:, :, neurons]
        arrays[f"{stem}/fixed_v"] = v_fixed[:, :, neurons]
        threshold = network.population(key).v_threshold[neurons]
        arrays[f"{stem}/v_threshold"] = np.where(np.isfinite(threshold), threshold, np.nan)
        if population.kind != "readout":
            arrays[f"{stem}/float_spikes"] = before.records[f"{key}/spikes"][:, chosen]
            arrays[f"{stem}/fixed_spikes"] = after.records[f"{key}/spikes"][:, chosen]
    return arrays


def save_figures(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write figures.npz, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _samples(fidelity: Fidelity, n: int) -> list[int]:
    before, after = fidelity.float_traces.records, fidelity.fixed_traces.records
    different = np.zeros(n, dtype=np.bool_)
    for key in before:
        if key.endswith("/spikes"):
            different |= (before[key] != after[key]).any(axis=(0, 2))
    order = [*np.flatnonzero(different).tolist(), *np.flatnonzero(~different).tolist()]
    return [int(index) for index in order[:N_SAMPLES]]
