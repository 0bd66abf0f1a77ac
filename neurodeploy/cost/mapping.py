"""Which layer sits on how many cores: the simplest mapping that a compiler could choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neurodeploy.cost.activity import Activity, LayerActivity, SynapseActivity
from neurodeploy.hardware_profiles import Limits


@dataclass(frozen=True, slots=True)
class LayerMapping:
    """Cores per layer: each layer has cores of its own and fills them evenly."""

    cores: Mapping[str, int]
    chips: int

    @property
    def n_cores(self) -> int:
        """Cores in use."""
        return sum(self.cores.values())

    @property
    def description(self) -> str:
        """One line for tables and reports."""
        return (
            f"one layer per group of cores, evenly filled: {self.n_cores} cores on {self.chips} "
            f"chip{'s' if self.chips > 1 else ''}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the mapping as JSON types."""
        return {"description": self.description, "cores": dict(self.cores), "chips": self.chips}


def map_layers(activity: Activity, limits: Limits, weight_bits: int) -> LayerMapping:
    """Give each layer the fewest cores that hold its neurons and its stored weights.

    Weights of value zero are stored too where the format is dense. Axon tables and headers are
    not counted, so a compiler may need more cores. A limit that is unknown binds nothing.
    """
    cores = {layer.name: _cores(layer, limits, weight_bits) for layer in activity.layers}
    per_chip = limits.cores_per_chip.interval("count")
    chips = math.ceil(sum(cores.values()) / per_chip[1]) if per_chip else 1
    return LayerMapping(MappingProxyType(cores), max(chips, 1))


def _cores(layer: LayerActivity, limits: Limits, weight_bits: int) -> int:
    needed = 1
    neurons = limits.neurons_per_core.interval("count")
    if neurons:
        needed = max(needed, math.ceil(layer.size / neurons[1]))
    memory = limits.synapse_memory_per_core.interval("bits")
    if memory:
        # A convolution shares its weights; its share of memory is left out. So are the indices of
        # sparse weights, whose width nobody has published.
        bits = sum(_stored_weights(s) for s in layer.incoming) * weight_bits
        needed = max(needed, math.ceil(bits / memory[1]))
    return needed


def _stored_weights(synapse: SynapseActivity) -> int:
    if synapse.synapse_format == "dense":
        return synapse.n_source * synapse.n_target
    return synapse.n_weights if synapse.synapse_format == "sparse" else 0
