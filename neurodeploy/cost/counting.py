"""From traces to activity: which counts a run recorded, and bounds on those it did not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.active import count_active_updates
from neurodeploy.cost.activity import Activity, LayerActivity, SynapseActivity
from neurodeploy.cost.bounds import (
    active_bounds,
    event_bounds,
    input_events,
    most_operations,
    operations_with_zeros,
)
from neurodeploy.cost.intervals import Count
from neurodeploy.cost.products import with_products
from neurodeploy.cost.schedule import AnyNetwork, AnySynapse, max_latency
from neurodeploy.cost.wiring import pattern_of
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, FixedPopulation, Traces


def count_activity(net: AnyNetwork, traces: Traces, codes: NDArray[Any] | None = None) -> Activity:
    """Return what ``net`` did in ``traces``, per inference.

    Parameters
    ----------
    net : Network or FixedPointNetwork
        The network that ran.
    traces : Traces
        Of a run with ``timing="lava"`` (drain included) or ``"aligned"``. With the spikes of
        every population recorded, and ``codes``, active updates are counted exactly.
    codes : int array [B, n_input] or [T, B, n_input], optional
        Input codes of the run. Without them the number of input events is bounded by fan-out.

    Raises
    ------
    InputError
        If the traces lack a count, or were not made with this network.
    ShapeError
        If counts and codes disagree in the number of samples.
    """
    timing, steps = _run_shape(traces)
    latency = max_latency(net)
    hardware_steps = steps + latency
    rows = hardware_steps if timing == "lava" else steps
    if traces.output.shape[0] != rows:
        raise ShapeError(
            f"traces: output has {traces.output.shape[0]} steps; timing {timing!r} of {steps} "
            f"steps and latency {latency} needs {rows}; give the network that made them"
        )
    samples = traces.output.shape[1]
    if codes is not None:
        codes = _held_codes(codes, steps, samples, net.n_input)
        if not isinstance(net, FixedPointNetwork):
            # A float network sees values: code 0 is an event unless it stands for 0.
            codes = net.encoder.decode(codes)
    synapses = {s.name: _synapse(s, net, traces, codes, steps) for s in net.synapses}
    exact = count_active_updates(net, traces, codes, rows)
    layers: list[LayerActivity] = []
    for population in net.populations:
        incoming = tuple(synapses[s.name] for s in net.synapses_into(population.name))
        updates = Count.exactly(np.full(samples, population.size * hardware_steps))
        if exact is None:
            active = active_bounds(
                net, population.name, incoming, updates.typ, timing, steps=steps, rows=rows
            )
        else:
            active = Count.exactly(exact[population.name])
        spikes = Count.exactly(_count(traces, f"{population.name}/spikes"))
        kind, size = _kind(population), population.size
        layer = LayerActivity(population.name, kind, size, incoming, updates, active, spikes)
        if isinstance(population, FixedPopulation) and population.is_graded:
            layers += with_products(layer, population, rows, hardware_steps)
        else:
            layers.append(layer)
    return Activity(
        arithmetic="fixed" if isinstance(net, FixedPointNetwork) else "float",
        timing=timing,
        steps=steps,
        hardware_steps=hardware_steps,
        layers=tuple(layers),
        n_output=net.population(net.readout.population).size,
        input_events=input_events(list(synapses.values()), samples),
    )


def _kind(population: Any) -> str:
    """Return the neuron that would run on the chip, by the name integers have for it."""
    if population.kind == "li":
        return "readout"
    if population.kind == "lif" and population.gain is not None:
        return "dlif"
    return str(population.kind)


def _run_shape(traces: Traces) -> tuple[str, int]:
    missing = [key for key in ("timing", "steps") if key not in traces.meta]
    if missing:
        raise InputError(
            f"traces: meta lacks {', '.join(missing)}; make the traces with neurodeploy run"
        )
    timing, steps = str(traces.meta["timing"]), int(traces.meta["steps"])
    if timing not in ("lava", "aligned"):
        raise InputError(f"traces: timing is {timing!r}; counts need 'lava' or 'aligned'")
    return timing, steps


def _count(traces: Traces, key: str) -> NDArray[np.int64]:
    """Return the count ``key`` [B]."""
    if key not in traces.counts:
        known = ", ".join(sorted(traces.counts)) or "none"
        raise InputError(
            f"traces: count {key!r} is missing (there are: {known}); "
            "give the network that made the traces"
        )
    count: NDArray[np.int64] = traces.counts[key]
    expected = (traces.output.shape[1],)
    if count.shape != expected:
        raise ShapeError(f"traces: count {key!r} has shape {count.shape}, needs {expected}")
    if count.size and count.min() < 0:
        raise InputError(f"traces: count {key!r} is negative ({count.min()}); run again")
    return count


def _held_codes(codes: NDArray[Any], steps: int, samples: int, n_input: int) -> NDArray[Any]:
    """Return codes as [T, B, n_input]."""
    codes = np.asarray(codes)
    held = codes.ndim == 2
    each = np.broadcast_to(codes, (steps, *codes.shape)) if held else codes
    if each.shape != (steps, samples, n_input):
        raise ShapeError(
            f"codes: shape {codes.shape} does not fit the traces, which need "
            f"{(samples, n_input)} or {(steps, samples, n_input)}"
        )
    return each


def _synapse(
    synapse: AnySynapse,
    net: AnyNetwork,
    traces: Traces,
    codes: NDArray[Any] | None,
    steps: int,
) -> SynapseActivity:
    operations = _count(traces, f"{synapse.name}/operations")
    pattern = pattern_of(synapse)
    n_target, n_source = pattern.size_out, pattern.size_in
    if synapse.source == INPUT and codes is not None:
        events = Count.exactly(np.count_nonzero(codes, axis=(0, 2)))
    elif synapse.source == INPUT:
        events = event_bounds(synapse, operations, n_source * steps)
    elif synapse.source == ALWAYS_ON:
        events = event_bounds(synapse, operations, steps + max_latency(net))
    else:
        events = Count.exactly(_count(traces, f"{synapse.source}/spikes"))
    if (operations > most_operations(synapse, events)).any():
        raise InputError(
            f"traces: synapse {synapse.name} has more operations than its events have weights; "
            "give the network and the input that made the traces"
        )
    return SynapseActivity(
        synapse.name,
        synapse.source,
        synapse.target,
        pattern.kind,
        n_source,
        n_target,
        events,
        Count.exactly(operations),
        operations_with_zeros(synapse, events, operations),
        n_weights=int(pattern.weight.size),
    )
