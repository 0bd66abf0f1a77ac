"""Bounds on what a run did not count: input events and updates with input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.activity import SynapseActivity
from neurodeploy.cost.intervals import Count
from neurodeploy.cost.schedule import AnyNetwork, AnySynapse
from neurodeploy.cost.wiring import fan_in, fan_out, pattern_of, shift_of
from neurodeploy.network import ALWAYS_ON, INPUT


def event_bounds(synapse: AnySynapse, operations: NDArray[np.int64], most: int) -> Count:
    """Bound how many events caused ``operations``, from the synapse's fan-out per line.

    An event costs as many operations as its line has non-zero weights, so few events on wide
    lines and many on narrow ones look alike. Lines of one width, as the always-on line, are exact.
    ``most`` is what all lines could send.
    """
    each = fan_out(pattern_of(synapse))
    wired = each[each > 0]
    if wired.size == 0:
        return Count(
            np.zeros(operations.shape), np.zeros(operations.shape), _full(operations, most)
        )
    low = np.ceil(operations / wired.max())
    # A line without weights may have sent without causing an operation.
    silent_lines = wired.size < each.size
    high = _full(operations, most) if silent_lines else np.floor(operations / wired.min())
    high = np.maximum(low, np.minimum(high, most))
    typ = np.clip(operations / wired.mean(), low, high)
    return Count(low, typ, high)


def operations_with_zeros(
    synapse: AnySynapse, events: Count, operations: NDArray[np.int64]
) -> Count:
    """Return the operations with stored weights of value zero counted, bounded where unknown.

    A dense matrix stores all; a sparse one its entries, a convolution its kernel at every place.
    """
    pattern = pattern_of(synapse)
    if pattern.kind == "dense":
        return events.scaled(pattern.size_out)
    stored = _stored_fan_out(synapse)
    zeros = stored - fan_out(pattern)
    low = operations + events.low * zeros.min()
    high = np.minimum(operations + events.high * zeros.max(), events.high * stored.max())
    high = np.maximum(low, high)
    return Count(low, np.clip(operations + events.typ * zeros.mean(), low, high), high)


def most_operations(synapse: AnySynapse, events: Count) -> NDArray[np.float64]:
    """Return the most operations that ``events`` can cause.

    Stored zeros count: the float network whose run is counted may have a weight where the integers
    have rounded it away.
    """
    return events.high * int(_stored_fan_out(synapse).max(initial=0))


def _stored_fan_out(synapse: AnySynapse) -> NDArray[np.int64]:
    pattern = pattern_of(synapse)
    return fan_out(dataclasses.replace(pattern, weight=np.ones_like(pattern.weight)))


def _full(like: NDArray[Any], value: float) -> NDArray[np.float64]:
    return np.full(like.shape, float(value))


def active_bounds(
    net: AnyNetwork,
    name: str,
    incoming: tuple[SynapseActivity, ...],
    updates: NDArray[np.float64],
    timing: str,
    *,
    steps: int,
    rows: int,
) -> Count:
    """Bound the updates with input: each takes at least one operation and at most the fan-in.

    Typical is the upper bound: in a dense layer one spike reaches every neuron. The operations of
    what was sent too late to arrive belong to no update of this sample. ``steps`` bring input,
    ``rows`` are on the time axis.
    """
    operations = sum((s.operations.typ for s in incoming), np.zeros(updates.shape))
    widest, lost = 0, 0
    for synapse in net.synapses_into(name):
        each = fan_in(pattern_of(synapse))
        shift = int(timing == "lava")
        if synapse.source != ALWAYS_ON:
            shift = int(shift_of(net, synapse, hardware=timing == "lava").max())
        widest += int(each.max(initial=0))
        last = steps if synapse.source == INPUT else rows
        lost += int(each.sum()) * max(0, last + shift - rows)
    arrived = np.maximum(operations - lost, 0)
    high = np.minimum(operations, updates)
    low = np.ceil(arrived / widest) if widest else np.zeros(updates.shape)
    return Count(np.minimum(low, high), high, high)


def input_events(synapses: list[SynapseActivity], samples: int) -> Count:
    """Events of the stimulus: the tightest bounds over the synapses it feeds."""
    events = [s.events for s in synapses if s.source == INPUT]
    if not events:
        return Count.exactly(np.zeros(samples))
    low = np.max([e.low for e in events], axis=0)
    high = np.maximum(low, np.min([e.high for e in events], axis=0))
    return Count(low, np.clip(events[0].typ, low, high), high)
