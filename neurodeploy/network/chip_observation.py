"""What a Loihi chip's probes would show of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network.traces import Traces

#: What v reads on silicon in the step of a spike; the CPU models show 0 (lava issue #282, and
#: every stored trace of lava-dl's PilotNet test and of the NIR paper's Loihi run).
SPIKE_READING = 128


def chip_observation(traces: Traces, *, probe_offset: int = 0) -> Traces:
    """Return ``traces`` of a fixed-point run as a chip's probes would show them.

    v reads 128 in a step with a spike. Spikes, u and v_pre are as computed.

    Parameters
    ----------
    traces : Traces
        With the spikes of every population whose v it holds.
    probe_offset : int
        Steps by which the probes lag: entry t shows step t - probe_offset, and what comes before
        the first step reads 0.

    Returns
    -------
    Traces
        ``meta["observation"]`` says what was done. Counts are those of the run.

    Raises
    ------
    InputError
        If the spikes of a population are missing.
    RangeError
        For a negative offset.
    """
    if probe_offset < 0:
        raise RangeError(f"probe_offset is {probe_offset}; probes show no step that is yet to come")
    records = {}
    for key, values in traces.records.items():
        population, quantity = key.rsplit("/", 1)
        shown = _with_spikes(traces, population, values) if quantity == "v" else values
        records[key] = _later(shown, probe_offset)
    output = _output(traces)
    meta = {**traces.meta, "observation": {"kind": "chip", "probe_offset": probe_offset}}
    return Traces(_later(output, probe_offset), records, traces.counts, meta)


def _output(traces: Traces) -> NDArray[np.generic]:
    """Return the output; a membrane that fires is read like any other."""
    readout = traces.meta.get("readout", {})
    name = readout.get("population")
    kind = traces.meta.get("populations", {}).get(name, {}).get("kind")
    if readout.get("kind", "count") == "count" or kind == "readout":
        return traces.output
    return _with_spikes(traces, name, traces.output)


def _with_spikes(traces: Traces, population: str, v: NDArray[np.generic]) -> NDArray[np.generic]:
    spikes = traces.records.get(f"{population}/spikes")
    if spikes is None:
        raise InputError(
            f"chip observation: v of {population!r} needs its spikes; record spikes and v"
        )
    return _shown(v, spikes)


def _shown(v: NDArray[np.generic], spikes: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.asarray(np.where(spikes != 0, np.asarray(SPIKE_READING, v.dtype), v))


def _later(values: NDArray[np.generic], steps: int) -> NDArray[np.generic]:
    if steps == 0:
        return values
    shown = np.zeros_like(values)
    if steps < len(values):
        shown[steps:] = values[: len(values) - steps]
    return shown
