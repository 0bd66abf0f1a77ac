"""Exact count of active neuron updates, from recorded spikes and the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.schedule import AnyNetwork, latencies
from neurodeploy.network import ALWAYS_ON, INPUT, Traces


def count_active_updates(
    net: AnyNetwork,
    traces: Traces,
    codes: NDArray[Any] | None,
    rows: int,
) -> dict[str, NDArray[np.int64]] | None:
    """Count, per population, the updates that at least one synaptic operation reached.

    Parameters
    ----------
    codes : array [T, B, n_input] or None
        Input of the run: codes, or values of a float run.
    rows : int
        Steps on the traces' time axis: logical ones, or hardware steps for timing "lava".

    Returns
    -------
    dict of population to int64 [B], or None
        None if a source's spikes were not recorded or the codes are not given.
    """
    sources = {s.source for s in net.synapses}
    if INPUT in sources and codes is None:
        return None
    recorded = {p.name: f"{p.name}/spikes" for p in net.populations if p.name in sources}
    if not all(key in traces.records for key in recorded.values()):
        return None
    samples = traces.output.shape[1]
    on_hardware_axis = traces.meta["timing"] == "lava"
    counts = {}
    for population in net.populations:
        reached = np.zeros((rows, samples, population.size), dtype=np.bool_)
        for synapse in net.synapses_into(population.name):
            if synapse.source == ALWAYS_ON:
                # The line acts from the layer's own first step on.
                first = latencies(net)[population.name] if on_hardware_axis else 0
                reached[first:] |= (synapse.weight != 0).any(axis=1)
                continue
            sent = codes if synapse.source == INPUT else traces.records[recorded[synapse.source]]
            reached |= _reached(sent, synapse.weight, rows, shift=int(on_hardware_axis))
        counts[population.name] = reached.sum(axis=(0, 2), dtype=np.int64)
    return counts


def _reached(
    sent: NDArray[Any] | None, weight: NDArray[Any], rows: int, *, shift: int
) -> NDArray[np.bool_]:
    """Return where [rows, B, N] an operation arrives, ``shift`` steps after it was sent."""
    assert sent is not None  # noqa: S101  (the caller has checked; this is for the type checker)
    mask = (weight != 0).astype(np.float32)
    arrived = (np.asarray(sent) != 0).astype(np.float32) @ mask.T > 0
    steps = min(len(arrived), rows - shift)
    reached = np.zeros((rows, *arrived.shape[1:]), dtype=np.bool_)
    reached[shift : shift + steps] = arrived[:steps]
    return reached
