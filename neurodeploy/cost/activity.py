"""What a network did while it ran: the counts that a chip would be charged for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neurodeploy.cost.intervals import Count

SynapseFormat = Literal["dense", "sparse", "conv"]


@dataclass(frozen=True, slots=True, eq=False)
class SynapseActivity:
    """One synapse: what was sent into it and what it computed, per inference.

    Parameters
    ----------
    n_source, n_target : int
        Lines in and neurons out; ``n_source * n_target`` weights are stored if it is dense.
    events : Count
        Messages sent by the source: spikes, non-zero input codes, or steps of the always-on line.
    operations : Count
        Events meeting a non-zero weight.
    operations_with_zeros : Count
        Events times fan-out, weights of value zero included. At least ``operations``.
    n_weights : int
        Stored weights: of a sparse matrix its entries, of a convolution its kernel.
    """

    name: str
    source: str
    target: str
    synapse_format: SynapseFormat
    n_source: int
    n_target: int
    events: Count
    operations: Count
    operations_with_zeros: Count
    n_weights: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class LayerActivity:
    """One population and the synapses into it, per inference.

    Parameters
    ----------
    kind : str
        ``lif``, ``dlif``, ``readout``, or ``product`` (of a gain on graded messages).
    size : int
        Mapped neurons.
    neuron_updates : Count
        ``size`` times hardware steps: every mapped neuron is updated at every step.
    active_updates : Count
        Those in which at least one synaptic operation reached the neuron; the rest are idle.
    spikes : Count
        Spikes fired.
    """

    name: str
    kind: str
    size: int
    incoming: tuple[SynapseActivity, ...]
    neuron_updates: Count
    active_updates: Count
    spikes: Count

    @property
    def operations(self) -> Count:
        """Synaptic operations into the layer."""
        return _total([s.operations for s in self.incoming], like=self.spikes)

    @property
    def operations_with_zeros(self) -> Count:
        """The same with weights of value zero counted."""
        return _total([s.operations_with_zeros for s in self.incoming], like=self.spikes)


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Counts of one run, per input sample; one inference is one sample.

    Parameters
    ----------
    arithmetic : {"fixed", "float"}
        Which number system ran.
    timing : {"lava", "aligned"}
        ``lava``: counted on the hardware axis, the drain included. ``aligned``: spikes and
        operations of the logical steps alone; neuron updates still include the drain.
    steps, hardware_steps : int
        Logical steps, and steps a sample takes on the chip (drain included).
    layers : tuple of LayerActivity
        In network order.
    n_output : int
        Values read out per inference.
    input_events : Count
        Events brought onto the chip.
    """

    arithmetic: str
    timing: str
    steps: int
    hardware_steps: int
    layers: tuple[LayerActivity, ...]
    n_output: int
    input_events: Count

    @property
    def n_samples(self) -> int:
        """Number of input samples."""
        return int(self.input_events.typ.size)

    @property
    def synapses(self) -> tuple[SynapseActivity, ...]:
        """All synapses, in network order of their targets."""
        return tuple(s for layer in self.layers for s in layer.incoming)

    @property
    def n_neurons(self) -> int:
        """Mapped neurons."""
        return sum(layer.size for layer in self.layers)

    def operations(self, synapse_format: SynapseFormat, *, with_zeros: bool = False) -> Count:
        """Synaptic operations in synapses of one format."""
        chosen = [s for s in self.synapses if s.synapse_format == synapse_format]
        counts = [s.operations_with_zeros if with_zeros else s.operations for s in chosen]
        return _total(counts, like=self.input_events)

    @property
    def synaptic_operations(self) -> Count:
        """Synaptic operations of all formats, weights of value zero not counted."""
        return _total([s.operations for s in self.synapses], like=self.input_events)

    @property
    def neuron_updates(self) -> Count:
        """Neuron updates of all layers."""
        return _total([x.neuron_updates for x in self.layers], like=self.input_events)

    @property
    def active_updates(self) -> Count:
        """Neuron updates with input, of all layers."""
        return _total([x.active_updates for x in self.layers], like=self.input_events)

    @property
    def spikes(self) -> Count:
        """Spikes of all layers (input events are not spikes)."""
        return _total([x.spikes for x in self.layers], like=self.input_events)

    def messages(self, cores: Mapping[str, int] | None = None) -> Count:
        """Messages between cores: one per spike and destination core.

        ``cores`` is the number of cores per layer; without it each layer is one core, which is
        the fewest messages there can be.
        """
        return _total([self.layer_messages(x, cores) for x in self.layers], like=self.input_events)

    def layer_messages(self, layer: LayerActivity, cores: Mapping[str, int] | None = None) -> Count:
        """Messages sent by one layer; ``cores`` as in ``messages``."""
        targets = {s.target for s in self.synapses if s.source == layer.name}
        return layer.spikes.scaled(sum(cores[t] if cores else 1 for t in sorted(targets)))

    def as_dict(self) -> dict[str, Any]:
        """Return totals and layers as JSON types; messages with one core per layer."""
        totals = {
            "synaptic_operations": self.synaptic_operations,
            "neuron_updates": self.neuron_updates,
            "active_updates": self.active_updates,
            "spikes": self.spikes,
            "messages": self.messages(),
            "input_events": self.input_events,
        }
        return {
            "arithmetic": self.arithmetic,
            "timing": self.timing,
            "steps": self.steps,
            "hardware_steps": self.hardware_steps,
            "samples": self.n_samples,
            "mapping": "one core per layer",
            "totals": {name: count.as_dict() for name, count in totals.items()},
            "layers": [self._layer_dict(layer) for layer in self.layers],
        }

    def _layer_dict(self, layer: LayerActivity) -> dict[str, Any]:
        counts = {
            "synaptic_operations": layer.operations,
            "synaptic_operations_with_zeros": layer.operations_with_zeros,
            "neuron_updates": layer.neuron_updates,
            "active_updates": layer.active_updates,
            "spikes": layer.spikes,
            "messages": self.layer_messages(layer),
        }
        named = {name: count.as_dict() for name, count in counts.items()}
        return {"name": layer.name, "kind": layer.kind, "size": layer.size, **named}


def _total(counts: list[Count], *, like: Count) -> Count:
    """Add counts; the empty sum is zero for as many samples as ``like`` has."""
    return sum(counts, like.scaled(0.0))
