"""Bounds on what a run did not count: input events and updates with input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost.activity import SynapseActivity
from neurodeploy.cost.intervals import Count
from neurodeploy.cost.schedule import AnyNetwork, AnySynapse
from neurodeploy.network import INPUT


def event_bounds(synapse: AnySynapse, operations: NDArray[np.int64], most: int) -> Count:
    """Bound how many events caused ``operations``, from the synapse's fan-out per line.

    An event costs as many operations as its line has non-zero weights, so few events on wide
    lines and many on narrow ones look alike. Lines of one width, as the always-on line, are exact.
    ``most`` is what all lines could send.
    """
    fan_out = np.count_nonzero(synapse.weight, axis=0)
    wired = fan_out[fan_out > 0]
    if wired.size == 0:
        return Count(
            np.zeros(operations.shape), np.zeros(operations.shape), _full(operations, most)
        )
    low = np.ceil(operations / wired.max())
    # A line without weights may have sent without causing an operation.
    silent_lines = wired.size < fan_out.size
    high = _full(operations, most) if silent_lines else np.floor(operations / wired.min())
    high = np.maximum(low, np.minimum(high, most))
    typ = np.clip(operations / wired.mean(), low, high)
    return Count(low, typ, high)


def _full(like: NDArray[Any], value: float) -> NDArray[np.float64]:
    return np.full(like.shape, float(value))


def active_bounds(
    net: AnyNetwork,
    name: str,
    incoming: tuple[SynapseActivity, ...],
    updates: NDArray[np.float64],
    timing: str,
) -> Count:
    """Bound the updates with input: each takes at least one operation and at most the fan-in.

    Typical is the upper bound: in a dense layer one spike reaches every neuron. On the hardware
    axis the operations of what was sent in the last step belong to no update of this sample.
    """
    operations = sum((s.operations.typ for s in incoming), np.zeros(updates.shape))
    synapses = net.synapses_into(name)
    fan_in = sum(int(np.count_nonzero(s.weight, axis=1).max(initial=0)) for s in synapses)
    late = sum(int(np.count_nonzero(s.weight)) for s in synapses if s.source != INPUT)
    arrived = np.maximum(operations - (late if timing == "lava" else 0), 0)
    high = np.minimum(operations, updates)
    low = np.ceil(arrived / fan_in) if fan_in else np.zeros(updates.shape)
    return Count(np.minimum(low, high), high, high)


def input_events(synapses: list[SynapseActivity], samples: int) -> Count:
    """Events of the stimulus: the tightest bounds over the synapses it feeds."""
    events = [s.events for s in synapses if s.source == INPUT]
    if not events:
        return Count.exactly(np.zeros(samples))
    low = np.max([e.low for e in events], axis=0)
    high = np.maximum(low, np.min([e.high for e in events], axis=0))
    return Count(low, np.clip(events[0].typ, low, high), high)
