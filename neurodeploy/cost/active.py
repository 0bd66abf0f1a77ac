"""Exact count of active neuron updates, from recorded spikes and the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.schedule import AnyNetwork, latencies
from neurodeploy.cost.wiring import fan_in, pattern_of, reached, shift_of
from neurodeploy.network import ALWAYS_ON, INPUT, Traces

#: Values worked on at a time.
_BLOCK_VALUES = 2**24


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
    sent = {name: traces.records[key] for name, key in recorded.items()}
    if codes is not None:
        sent[INPUT] = codes
    samples, hardware = traces.output.shape[1], traces.meta["timing"] == "lava"
    widest = max(net.n_input, *(p.size for p in net.populations))
    block = max(1, _BLOCK_VALUES // (rows * widest))
    blocks = [slice(first, first + block) for first in range(0, samples, block)]
    counts = {p.name: np.zeros(samples, np.int64) for p in net.populations}
    for population in net.populations:
        for part in blocks:
            found = _reached(net, population.name, sent, part, rows, samples, hardware=hardware)
            counts[population.name][part] = found.sum(axis=(0, 2), dtype=np.int64)
    return counts


def _reached(
    net: AnyNetwork,
    name: str,
    sent: dict[str, NDArray[Any]],
    part: slice,
    rows: int,
    samples: int,
    *,
    hardware: bool,
) -> NDArray[np.bool_]:
    """Return where [rows, B of the part, N] an operation reaches the population ``name``."""
    batch = len(range(*part.indices(samples)))
    found = np.zeros((rows, batch, net.population(name).size), dtype=np.bool_)
    for synapse in net.synapses_into(name):
        pattern = pattern_of(synapse)
        if synapse.source == ALWAYS_ON:
            # The line acts from the layer's own first step on.
            first = latencies(net)[name] if hardware else 0
            found[first:] |= fan_in(pattern) > 0
            continue
        shift = shift_of(net, synapse, hardware=hardware)
        found |= reached(pattern, shift, sent[synapse.source][:, part], rows)
    return found
