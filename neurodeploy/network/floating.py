"""The float network: populations and synapses in float64, after lowering, before quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.arrays import FloatArray, float_array
from neurodeploy.network.encoding import ConstantEncoder, Readout

#: Names of the two sources that are not populations: the stimulus, and a line that is 1 at every
#: step (it carries a bias that fits no neuron's own bias register).
INPUT = "input"
ALWAYS_ON = "always_on"
PopulationKind = Literal["lif", "readout"]


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Neurons of one kind; every parameter is a float64 array [N].

    One step, for ``lif``, with x the summed synaptic input plus ``bias``::

        v = v + decay_v * (v_leak - v) + input_gain * g[t] * x
        s = v > v_threshold            (strict)
        v = v_reset where s

    ``g`` is ``gain`` (after its last entry the last value holds), or 1. A ``readout`` follows the
    same rule with ``v_threshold`` infinite, so it never fires.

    Parameters
    ----------
    name : str
        Name of the NIR node it came from (for a read-out of an affine node: that node's name).
    nir_nodes : tuple of str
        All NIR nodes that were absorbed.
    kind : {"lif", "readout"}
    decay_v : array [N]
        Share of the membrane lost per step, ``dt / tau`` (0 for a perfect integrator).
    input_gain : array [N]
        Factor on the input, ``r * dt / tau`` in plain NIR-Euler.
    v_leak, v_threshold, v_reset, v_init : array [N]
        In membrane units.
    bias : array [N]
        Added to the synaptic input at every step.
    gain : array [T] or None
        DLIF's gain per step, shared by the population. Source: "Robust Stable Spiking Neural
        Networks", ICML 2024.
    """

    name: str
    nir_nodes: tuple[str, ...]
    kind: PopulationKind
    decay_v: FloatArray
    input_gain: FloatArray
    v_leak: FloatArray
    v_threshold: FloatArray
    v_reset: FloatArray
    v_init: FloatArray
    bias: FloatArray
    gain: FloatArray | None = None

    def __post_init__(self) -> None:
        """Make every parameter a read-only float64 array of one length."""
        size = (int(np.asarray(self.decay_v).size),)
        for name in ("decay_v", "input_gain", "v_leak", "v_threshold", "v_reset", "v_init", "bias"):
            array = float_array(f"population {self.name}: {name}", getattr(self, name), size)
            object.__setattr__(self, name, array)
        if self.gain is not None:
            gain = np.atleast_1d(np.asarray(self.gain))
            where = f"population {self.name}: gain"
            object.__setattr__(self, "gain", float_array(where, gain, (gain.size,)))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.decay_v.size)


@dataclass(frozen=True, slots=True, eq=False)
class Synapse:
    """Dense connection; ``weight`` is float64 [target size, source size]."""

    name: str
    source: str
    target: str
    weight: FloatArray

    def __post_init__(self) -> None:
        """Make the weight a read-only float64 matrix."""
        shape = np.asarray(self.weight).shape
        if len(shape) != 2:
            raise ShapeError(f"synapse {self.name}: weight has shape {shape}, needs [out, in]")
        weight = float_array(f"synapse {self.name}: weight", self.weight, shape)
        object.__setattr__(self, "weight", weight)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Populations in the order in which one step updates them, and the synapses between them.

    ``n_input`` values enter per step under the source name ``"input"``, in input units (what
    ``encoder.decode`` gives). ``steps`` is the length of one sample. ``contract`` is the execution
    contract as JSON types; ``nir_file`` the bytes of the NIR file it came from.
    """

    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    n_input: int
    encoder: ConstantEncoder
    readout: Readout
    steps: int
    contract: Mapping[str, Any] = field(default_factory=dict)
    nir_file: bytes = b""

    def __post_init__(self) -> None:
        """Check that names are unique and that both ends of every synapse fit."""
        check_connections(self.populations, self.synapses, self.n_input, self.readout)

    def population(self, name: str) -> Population:
        """Return the population called ``name``."""
        population: Population = named(self.populations, name)
        return population

    def synapses_into(self, name: str) -> tuple[Synapse, ...]:
        """Return the synapses whose target is the population ``name``."""
        return tuple(s for s in self.synapses if s.target == name)


def named(populations: tuple[Any, ...], name: str) -> Any:
    """Return the member of ``populations`` called ``name``; InputError lists those there are."""
    for population in populations:
        if population.name == name:
            return population
    known = ", ".join(p.name for p in populations)
    raise InputError(f"population {name!r} does not exist; there are: {known}")


def check_connections(
    populations: tuple[Any, ...], synapses: tuple[Any, ...], n_input: int, readout: Readout
) -> None:
    """Check names, ends, shapes and feed-forward order of a network, float or fixed.

    Raises
    ------
    InputError
        For a doubled name, an unknown end, or a synapse that runs against the update order.
    ShapeError
        For a weight whose shape does not fit its ends.
    """
    order = {p.name: i for i, p in enumerate(populations)}
    if len(order) != len(populations) or {INPUT, ALWAYS_ON} & set(order):
        raise InputError(
            f"network: population names {sorted(order)} must be unique, "
            f"and not {INPUT!r} or {ALWAYS_ON!r}"
        )
    sizes = {INPUT: n_input, ALWAYS_ON: 1, **{p.name: p.size for p in populations}}
    for synapse in synapses:
        where = f"synapse {synapse.name}"
        for end in (synapse.source, synapse.target):
            if end not in sizes:
                raise InputError(f"{where}: end {end!r} does not exist")
        expected = (sizes[synapse.target], sizes[synapse.source])
        if synapse.weight.shape != expected:
            raise ShapeError(
                f"{where}: weight {synapse.weight.shape} does not fit {synapse.source!r} -> "
                f"{synapse.target!r}, which needs {expected}"
            )
        if synapse.source in order and order[synapse.source] >= order[synapse.target]:
            raise InputError(
                f"{where}: runs from {synapse.source!r} to {synapse.target!r}, against the update "
                "order; recurrent networks are not supported yet"
            )
    named(populations, readout.population)
