"""Time of one inference, from the counts per core and a timing set.

Per hardware step each core computes its synaptic operations, neuron updates and messages. Ideal
overlap of the three gives the lower bound, no overlap the sum; the chip waits for its slowest
core, then passes a barrier and a share of the embedded processors' time.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.cost.activity import Activity, LayerActivity
from neurodeploy.cost.intervals import Interval, add_all, envelope, point
from neurodeploy.cost.mapping import LayerMapping
from neurodeploy.errors import ProfileError
from neurodeploy.hardware_profiles import Profile, SourcedValue, TimingSet


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of one hardware step and of one inference, in us; None where a time is unknown.

    ``missing`` holds the key paths of the unknown times.
    """

    step_us: Interval | None
    inference_us: Interval | None
    missing: tuple[str, ...] = ()


def estimate_latency(activity: Activity, mapping: LayerMapping, profile: Profile) -> Latency:
    """Return the latency over all timing sets of ``profile``: envelope, typ of the default set.

    Counts are means over samples and steps. Low: slowest layer, ideal overlap. Typ: slowest
    layer, no overlap. High: all layers one after the other, no overlap. Cores of one layer share
    its work evenly; the network-on-chip never congests.
    """
    steps = {
        name: _step_us(activity, mapping, timing) for name, timing in profile.timing_sets.items()
    }
    missing = [path for _, paths in steps.values() for path in paths]
    known = {name: interval for name, (interval, _) in steps.items() if interval is not None}
    if len(known) < len(steps):
        return Latency(None, None, tuple(missing))
    step = envelope(known.values(), known[profile.default_timing_set].typ)
    return Latency(step, step.scaled(activity.hardware_steps))


def _step_us(
    activity: Activity, mapping: LayerMapping, timing: TimingSet
) -> tuple[Interval | None, tuple[str, ...]]:
    """Return the time of one hardware step, or None and the key paths that are unknown."""
    used = {s.synapse_format for s in activity.synapses}
    formats = {f"synapse_{f}" for f in ("dense", "sparse", "conv")}
    needed = [
        getattr(timing, name)
        for name in TimingSet.__dataclass_fields__
        if name not in formats or name.removeprefix("synapse_") in used
    ]
    unknown = tuple(value.path for value in needed if not value.known)
    if unknown:
        return None, unknown
    groups = [_layer_us(layer, activity, mapping, timing) for layer in activity.layers]
    sums = [add_all(parts) for parts in groups]
    fixed = _time(timing.barrier) + _time(timing.management)
    low = max(max(part.low for part in parts) for parts in groups)
    typ = max(total.typ for total in sums)
    high = sum(total.high for total in sums)
    return Interval(low, typ, high) + fixed, ()


def _layer_us(
    layer: LayerActivity, activity: Activity, mapping: LayerMapping, timing: TimingSet
) -> tuple[Interval, Interval, Interval]:
    """Return per core and step the time of synapses, of neurons, and of messages, in us."""
    cores = mapping.cores[layer.name]
    share = 1.0 / (activity.hardware_steps * cores)
    synapses, received = point(0.0), point(0.0)
    for synapse in layer.incoming:
        # Whether zero weights take time is as open as their energy: counted in the high bound.
        lean, full = synapse.operations.mean(), synapse.operations_with_zeros.mean()
        count = Interval(lean.low, lean.typ, max(lean.high, full.high))
        synapses += count.scaled(share) * _time(timing.synapse(synapse.synapse_format))
        # Every core of the layer receives every message.
        received += synapse.events.mean().scaled(share * cores) * _time(timing.message_in)
    neurons = layer.neuron_updates.mean().scaled(share) * _time(timing.neuron)
    neurons += layer.active_updates.mean().scaled(share) * _time(timing.neuron_active)
    fired = layer.spikes.mean().scaled(share) * _time(timing.spike)
    sent = activity.layer_messages(layer, mapping.cores).mean().scaled(share)
    return synapses, neurons, received + fired + sent * _time(timing.message)


def _time(value: SourcedValue) -> Interval:
    """Return a time in us; the caller has made sure that it is known."""
    bounds = value.interval("us")
    if bounds is None:
        raise ProfileError(f"{value.path}: is unknown ({value.note}); state a time in a profile")
    return Interval(*bounds)
