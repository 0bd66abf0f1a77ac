"""A float network and the integers made from it, side by side: who corresponds to whom."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import sparse

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import (
    ALWAYS_ON,
    Convolution,
    Dense,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    Sparse,
    Synapse,
)
from neurodeploy.quantization import require_plain
from neurodeploy.quantization.incoming import conv_layout
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure


@dataclass(frozen=True, slots=True, eq=False)
class SynapsePair:
    """One connection: its real matrix [out, in], and its integers where the chip has it.

    ``fixed`` is None for what became part of a bias. ``delay`` in logical steps.
    """

    source: str
    delay: int
    real: sparse.csr_array
    fixed: FixedSynapse | None


@dataclass(frozen=True, slots=True, eq=False)
class PopulationPair:
    """One population with all that enters it; ``lines``: integer always-on lines into it."""

    real: Population
    fixed: FixedPopulation
    synapses: tuple[SynapsePair, ...]
    lines: tuple[FixedSynapse, ...]

    @property
    def name(self) -> str:
        """Name in both networks."""
        return self.real.name


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPair:
    """Both networks; ``populations`` in update order."""

    real: Network
    fixed: FixedPointNetwork
    populations: tuple[PopulationPair, ...]

    @property
    def code_step(self) -> Enclosure:
        """One code in input units: ``(high - low) / max_code`` as a real number."""
        encoder = self.real.encoder
        return Enclosure.of_fraction(
            (Fraction(encoder.high) - Fraction(encoder.low)) / encoder.max_code
        )


def pair_networks(network: Network, net: FixedPointNetwork) -> NetworkPair:
    """Match populations and synapses by name.

    Raises
    ------
    UnsupportedNodeError, ContractError
        For a float network that the quantiser does not take either.
    InputError
        If the integers were not made from this network, or run on another time: feedback that is
        slower on the chip, other steps, another encoder or read-out.
    """
    require_plain(network)
    names = [p.name for p in network.populations]
    fixed_names = [p.name for p in net.populations]
    if names != fixed_names:
        raise InputError(
            f"deviation: the float network has populations {names}, the integers {fixed_names}; "
            "give the network that was quantised (the composed one)"
        )
    for what in ("encoder", "readout", "steps", "n_input"):
        one, other = getattr(network, what), getattr(net, what)
        if one != other:
            raise InputError(f"deviation: {what} is {one} in float, {other} in integers")
    pairs = tuple(_pair(network, net, p) for p in network.populations)
    return NetworkPair(network, net, pairs)


def _pair(network: Network, net: FixedPointNetwork, p: Population) -> PopulationPair:
    fixed = net.population(p.name)
    if fixed.size != p.size:
        raise ShapeError(
            f"population {p.name}: {p.size} neurons in float, {fixed.size} in integers"
        )
    made = {"li": "readout"}.get(p.kind, "lif" if p.gain is None else "dlif")
    subtracts = p.kind == "lif" and p.reset == "subtract"
    extended = fixed.refractory_steps > 0 or fixed.reset_interval > 0
    if fixed.kind != made or (fixed.reset == "subtract") != subtracts or extended:
        raise InputError(
            f"population {p.name}: is {fixed.kind!r} with reset {fixed.reset!r}, refractory steps "
            f"{fixed.refractory_steps} and reset interval {fixed.reset_interval} in integers; the "
            f"quantiser makes {made!r} of it: give the integers as quantised"
        )
    moved = p.kind == "lif" and p.reset == "value" and bool(np.any(fixed.origin != p.v_reset))
    if moved or (p.decay_u is None and made != "dlif" and (fixed.decay_u != 4095).any()):
        raise InputError(
            f"population {p.name}: the integers reset to another membrane, or have a synaptic "
            "current that the float network lacks: give the integers as quantised"
        )
    arriving = {s.name: s for s in net.synapses_into(p.name)}
    synapses = []
    for s in network.synapses_into(p.name):
        stored = None if s.source == ALWAYS_ON else arriving.pop(s.name, None)
        if stored is None and s.source != ALWAYS_ON:
            raise InputError(f"synapse {s.name}: the integers have no such synapse")
        if stored is not None:
            _require_same_time(net, s, stored)
        synapses.append(SynapsePair(s.source, s.delay_steps, real_matrix(s), stored))
    if odd := [s.name for s in arriving.values() if s.source != ALWAYS_ON]:
        raise InputError(f"synapses {odd}: the float network has none of that name")
    return PopulationPair(p, fixed, tuple(synapses), tuple(arriving.values()))


def _require_same_time(net: FixedPointNetwork, s: Synapse, stored: FixedSynapse) -> None:
    delays = np.unique(net.logical_delay(stored))
    if stored.source != s.source or delays.size != 1 or int(delays[0]) != s.delay_steps:
        raise InputError(
            f"synapse {s.name}: from {s.source!r} after {s.delay_steps} steps in float, from "
            f"{stored.source!r} after {delays.tolist()} in integers; compare with the network as "
            "the chip can run it (quantization.with_extra_steps)"
        )


def real_matrix(synapse: Synapse) -> sparse.csr_array:
    """Return the float matrix [out, in] of a composed synapse, its numbers untouched."""
    operator = synapse.operators[0]
    if isinstance(operator, Dense):
        return sparse.csr_array(operator.weight)
    if isinstance(operator, Sparse):
        shape = (operator.size_out, operator.size_in)
        return sparse.csr_array((operator.weight, operator.indices, operator.indptr), shape=shape)
    if not isinstance(operator, Convolution):
        raise TypeError(type(operator).__name__)  # require_plain has refused it by name
    # A kernel that holds its own numbers tells which of its elements each connection is.
    kernel = operator.weight
    numbers = np.arange(1, kernel.size + 1, dtype=np.int32).reshape(kernel.shape)
    layout = conv_layout(operator)
    ends = FixedSynapse("", "", "", numbers, 0, "excitatory", layout=layout).connections()
    values = kernel.reshape(-1)[ends.weight - 1]
    shape = (operator.size_out, operator.size_in)
    return sparse.csr_array((values, (ends.target, ends.source)), shape=shape)


def fixed_matrix(synapse: FixedSynapse) -> sparse.csr_array:
    """Return the mantissas [out, in] as float64, exactly."""
    ends = synapse.connections()
    shape = (synapse.size_out, synapse.size_in)
    values = ends.weight.astype(np.float64)
    return sparse.csr_array((values, (ends.target, ends.source)), shape=shape)
