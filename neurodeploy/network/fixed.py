"""The fixed-point network: exactly the integers that Lava's fixed_pt models (and DLIF) compute.

Rules and widths: FixedPopulation and FixedSynapse; golden vectors are in the tests. All shifts are
arithmetic (floor); the decay ``D(x, k) = sign(x) * ((|x| * k) >> 12)`` truncates toward zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network.connections import ALWAYS_ON, INPUT, check_connections, named
from neurodeploy.network.encoding import Encoder, Readout
from neurodeploy.network.fixed_population import FixedKind, FixedPopulation, FixedReset
from neurodeploy.network.fixed_synapse import (
    Connections,
    ConvLayout,
    FixedSynapse,
    SparseLayout,
    SynapseKind,
)
from neurodeploy.network.registers import (
    ALIGN_BITS,
    DECAY_BITS,
    DELAY_MAX,
    V_MAX,
    V_THRESHOLD_MAX,
    WEIGHT_RANGE,
    SignMode,
)

#: Sums of so many units over 2**24 steps, and differences of such sums, stay within int64.
_LARGEST_OFFSET = 2**36


@dataclass(frozen=True, slots=True, eq=False)
class FixedPointNetwork:
    """Integer populations and synapses, with everything needed to run and to judge them.

    Populations stand in the order in which one logical step updates them. A synapse that runs
    against it, or from a population to itself, must have a logical delay of at least one step.

    ``profile`` is the TOML text of the hardware profile in use. ``calibration`` holds the hashes of
    the samples that tuned any number in it. ``input_shape`` is the shape of one step's codes.
    """

    populations: tuple[FixedPopulation, ...]
    synapses: tuple[FixedSynapse, ...]
    n_input: int
    encoder: Encoder
    readout: Readout
    steps: int
    contract: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""
    nir_file: bytes = b""
    calibration: tuple[str, ...] = ()
    input_shape: tuple[int, ...] = ()
    _into: Mapping[str, tuple[FixedSynapse, ...]] = field(init=False, repr=False)
    _latencies: Mapping[str, int] = field(init=False, repr=False)
    _drive_steps: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check names, both ends of every synapse, and that none needs the future."""
        into: dict[str, list[FixedSynapse]] = {}
        for synapse in self.synapses:
            into.setdefault(synapse.target, []).append(synapse)
        object.__setattr__(self, "_into", {name: tuple(some) for name, some in into.items()})
        latencies = {INPUT: 0, ALWAYS_ON: 0, **{p.name: p.latency for p in self.populations}}
        object.__setattr__(self, "_latencies", latencies)
        drive_steps = {p.name: p.drive_steps for p in self.populations}
        object.__setattr__(self, "_drive_steps", drive_steps)
        names = [s.name for s in self.synapses]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"network: synapse names {doubled} must be unique; counts go by them")
        check_connections(
            self.populations, self.synapses, self.n_input, self.readout, self._is_late
        )
        for synapse in self.synapses:
            self._check_time(synapse)
        home = self.population(self.readout.population)
        if self.readout.kind != "count" and not isinstance(home.scale, float):
            raise InputError(
                f"population {home.name}: is read by its membrane, whose values are compared with "
                f"each other, and has {np.unique(home.scale).size} scales; give it one"
            )
        if not self.input_shape:
            object.__setattr__(self, "input_shape", (self.n_input,))

    def _check_time(self, synapse: FixedSynapse) -> None:
        start, end = self._latencies[synapse.source], self._latencies[synapse.target]
        longest = max(synapse.delays, default=0)
        drive_steps = self._drive_steps.get(synapse.target, 0)
        if synapse.source == ALWAYS_ON and drive_steps:
            raise InputError(
                f"synapse {synapse.name}: a gain on graded messages has a line for its bias; put "
                f"what is always on into the bias of {synapse.target!r}"
            )
        if synapse.source == ALWAYS_ON and (longest > 0 or end < 1):
            raise InputError(
                f"synapse {synapse.name}: delay {longest} to latency {end}; the always-on line "
                "acts from its target's first step on: no delay, and a latency of at least 1"
            )
        shortest = int(np.min(self.logical_delay(synapse), initial=0))
        if shortest < 0:
            raise InputError(
                f"synapse {synapse.name}: from latency {start} to latency {end} with delay "
                f"{min(synapse.delays)} takes {shortest} logical steps; a synapse costs one "
                "hardware step, so raise the delay or lower the target's latency"
            )

    def population(self, name: str) -> FixedPopulation:
        """Return the population called ``name``."""
        population: FixedPopulation = named(self.populations, name)
        return population

    def synapses_into(self, name: str) -> tuple[FixedSynapse, ...]:
        """Return the synapses whose target is the population ``name``."""
        return self._into.get(name, ())

    def logical_delay(self, synapse: FixedSynapse) -> NDArray[np.int64]:
        """Return how many logical steps after it was sent a sum is felt: 0 within the same step.

        Shape () or that of the weight. The source does its logical step t in hardware step
        t + latency(source); the sum is felt 1 + delay hardware steps later (one more with a gain on
        graded messages), which is the target's logical step t + latency(source) + 1 + delay -
        latency(target). The always-on line acts at each of its target's steps: 0.
        """
        if synapse.source == ALWAYS_ON:
            return np.zeros((), np.int64)
        latency = self._latencies
        felt = 1 + self._drive_steps.get(synapse.target, 0)
        shift = latency.get(synapse.source, 0) + felt - latency.get(synapse.target, 0)
        return np.asarray(synapse.delay, np.int64) + shift

    def _is_late(self, synapse: FixedSynapse) -> bool:
        return int(np.min(self.logical_delay(synapse), initial=2**31)) >= 1

    def save(self, path: str | Path) -> str:
        """Write NET.h5, whole or not at all; return its content hash."""
        from neurodeploy.network.network_file import save_network  # it imports this module

        return save_network(self, path)

    @property
    def score_offset(self) -> NDArray[np.int64]:
        """What each class's membrane counts beyond its integer v: int64 [classes], units of v.

        Where the read-out is a membrane and its neurons have different origins, ``v`` alone says
        nothing of which is higher: each counts ``origin * scale`` more, rounded to the nearest
        unit of v (half to even). Zero where all origins are equal, and where spikes are counted.

        Raises
        ------
        RangeError
            For an origin that is not finite, or beyond 2**36 units of v.
        """
        home = self.population(self.readout.population)
        origin = np.asarray(home.origin)
        if self.readout.kind == "count" or (origin == origin[0]).all():
            return np.zeros(home.size, np.int64)
        counted = origin * np.asarray(home.scale)
        if not (np.abs(counted) <= _LARGEST_OFFSET).all():
            raise RangeError(
                f"population {home.name}: is read by its membrane, and origins {origin.min():.4g}.."
                f"{origin.max():.4g} are {counted.min():.4g}..{counted.max():.4g} units of v, "
                "which do not fit a score; give its neurons one v_reset, or read spikes "
                "(--readout count)"
            )
        return np.asarray(np.rint(counted), np.int64)

    @property
    def max_latency(self) -> int:
        """Hardware steps that one sample takes beyond ``steps``."""
        return max(p.latency for p in self.populations)


__all__ = [
    "ALIGN_BITS",
    "DECAY_BITS",
    "DELAY_MAX",
    "V_MAX",
    "V_THRESHOLD_MAX",
    "WEIGHT_RANGE",
    "Connections",
    "ConvLayout",
    "FixedKind",
    "FixedPointNetwork",
    "FixedPopulation",
    "FixedReset",
    "FixedSynapse",
    "SignMode",
    "SparseLayout",
    "SynapseKind",
]
