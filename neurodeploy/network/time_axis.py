"""From hardware time back to logical time."""

from __future__ import annotations

import dataclasses
from typing import Any

from numpy.typing import NDArray

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.traces import Traces


def on_logical_axis(traces: Traces) -> Traces:
    """Return traces on the logical axis: hardware steps before and after a layer's own are cut.

    A layer does its logical step t in hardware step t + latency. Traces that are on the logical
    axis already come back as they are. ``counts`` stay those of the run.

    Raises
    ------
    InputError
        If the traces do not say their steps, or the latency of a population.
    ShapeError
        If a record is shorter than its latency and the steps need.
    """
    if traces.meta.get("timing", "aligned") == "aligned":
        return traces
    steps = traces.meta.get("steps")
    if not isinstance(steps, int):
        raise InputError("traces: meta gives no steps, so hardware time cannot be cut; run again")

    def cut(population: str, rows: NDArray[Any]) -> NDArray[Any]:
        latency = traces.meta.get("populations", {}).get(population, {}).get("latency")
        if not isinstance(latency, int):
            raise InputError(f"traces: meta gives no latency for {population!r}; run again")
        if rows.shape[0] < latency + steps:
            raise ShapeError(
                f"traces: {population!r} has {rows.shape[0]} hardware steps, {steps} logical steps "
                f"at latency {latency} need {latency + steps}"
            )
        return rows[latency : latency + steps]

    records = {key: cut(key.rsplit("/", 1)[0], rows) for key, rows in traces.records.items()}
    output = traces.output
    if "readout" in traces.meta:
        output = cut(traces.meta["readout"]["population"], output)
    meta = {**traces.meta, "timing": "aligned"}
    return dataclasses.replace(traces, output=output, records=records, meta=meta)
