"""The float network: populations and synapses in float64, after lowering, before quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.network.arrays import FloatArray, float_array, int_array
from neurodeploy.network.connections import ALWAYS_ON, INPUT, check_connections, named
from neurodeploy.network.encoding import Encoder, Readout
from neurodeploy.network.operators import Dense, Operator, check_chain

PopulationKind = Literal["lif", "li", "threshold", "relay", "delay"]
ResetKind = Literal["value", "subtract", "subtract-late", "subtract-once"]
SpikeRule = Literal["single", "multiple"]
_PER_NEURON = ("decay_v", "input_gain", "v_leak", "v_threshold", "v_reset", "v_init", "bias")


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Neurons of one kind; every parameter is a float64 array [N].

    One step, for ``lif``, with x the summed synaptic input plus ``bias`` and a synaptic current u
    where ``decay_u`` is given (else the drive is x itself)::

        u = u + decay_u * (w_in * g[t] * x - u)
        v = v + decay_v * (v_leak - v) + input_gain * (u or g[t] * x)
        s = v > v_threshold            (strict)
        v = v_reset where s            (``reset`` "value")
        v = max(v, v_min)

    ``g`` is ``gain`` (after its last entry the last value holds), or 1. It sends s. The other
    kinds: ``li`` has no threshold and sends v; ``threshold`` sends 1 where x > v_threshold and has
    no state; ``relay`` sends x; ``delay`` sends the x of ``delay_steps`` steps before, 0 at first.

    Parameters
    ----------
    name : str
        Name of the NIR node it came from (for a read-out of an affine node: that node's name).
    nir_nodes : tuple of str
        All NIR nodes that were absorbed.
    kind : {"lif", "li", "threshold", "relay", "delay"}
    decay_v : array [N]
        Share of the membrane lost per step: ``dt / tau``, or ``1 - exp(-dt / tau)`` (0 for a
        perfect integrator).
    input_gain : array [N]
        Factor on the membrane's input, ``r * decay_v`` in plain NIR-Euler.
    v_leak, v_threshold, v_reset, v_init : array [N]
        In membrane units.
    bias : array [N]
        Added to the synaptic input at every step.
    gain : array [T] or None
        DLIF's gain per step, shared by the population. Source: "Robust Stable Spiking Neural
        Networks", ICML 2024.
    decay_u, w_in : array [N] or None
        Synaptic current: share lost per step, and input weight. None: no current.
    reset : {"value", "subtract", "subtract-late", "subtract-once"}
        See the execution contract. Subtracting takes ``v_threshold`` per spike and ignores v_reset.
    spikes : {"single", "multiple"}
        ``multiple``: ``max(0, floor(v / v_threshold))`` per step.
    v_min : float or None
        Lower limit of the membrane.
    delay_steps : int array [N] or None
        For ``delay``.
    shape : tuple of int
        Shape of one step's values in the NIR graph; by default (N,).
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
    decay_u: FloatArray | None = None
    w_in: FloatArray | None = None
    reset: ResetKind = "value"
    spikes: SpikeRule = "single"
    v_min: float | None = None
    delay_steps: NDArray[np.int32] | None = None
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Make every parameter a read-only float64 array of one length."""
        size = (int(np.asarray(self.decay_v).size),)
        where = f"population {self.name}"
        for name in _PER_NEURON:
            array = float_array(f"{where}: {name}", getattr(self, name), size)
            object.__setattr__(self, name, array)
        if self.gain is not None:
            gain = np.atleast_1d(np.asarray(self.gain))
            object.__setattr__(self, "gain", float_array(f"{where}: gain", gain, (gain.size,)))
        if (self.decay_u is None) != (self.w_in is None):
            raise ShapeError(f"{where}: decay_u and w_in go together; give both or neither")
        for name in ("decay_u", "w_in"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float_array(f"{where}: {name}", value, size))
        if (self.delay_steps is None) == (self.kind == "delay"):
            raise ShapeError(f"{where}: delay_steps belongs to the kind 'delay', and to it alone")
        if self.delay_steps is not None:
            steps = int_array(f"{where}: delay_steps", self.delay_steps, size)
            object.__setattr__(self, "delay_steps", steps)
        if not self.shape:
            object.__setattr__(self, "shape", size)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.decay_v.size)

    @property
    def fires(self) -> bool:
        """Whether it sends spikes (else values)."""
        return self.kind in ("lif", "threshold")

    @property
    def is_plain(self) -> bool:
        """Whether it is a membrane without current, with reset to v_reset and single spikes."""
        return (
            self.kind in ("lif", "li")
            and self.decay_u is None
            and self.reset == "value"
            and self.spikes == "single"
            and self.v_min is None
        )


def stateless(
    name: str,
    kind: Literal["relay", "threshold", "delay"],
    bias: NDArray[Any],
    *,
    nir_nodes: tuple[str, ...] = (),
    v_threshold: Any = np.inf,
    delay_steps: Any = None,
    shape: tuple[int, ...] = (),
) -> Population:
    """Return a population without a membrane; ``bias`` [N] gives its size."""
    zeros = np.zeros(np.asarray(bias).size)
    return Population(
        name=name,
        nir_nodes=nir_nodes or (name,),
        kind=kind,
        decay_v=zeros,
        input_gain=zeros + 1,
        v_leak=zeros,
        v_threshold=v_threshold,
        v_reset=zeros,
        v_init=zeros,
        bias=bias,
        delay_steps=delay_steps,
        shape=shape,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Synapse:
    """Connection: a chain of linear operators, applied in order to what ``source`` sends.

    No operator stands for the identity. ``delay_steps``: it carries what the source sent so many
    steps before, zeros at first; 1 is feedback. ``silent_first``: it contributes nothing at all in
    the first step, its own biases included (``recurrent-cut affine``).
    """

    name: str
    source: str
    target: str
    operators: tuple[Operator, ...]
    delay_steps: int = 0
    silent_first: bool = False

    def __post_init__(self) -> None:
        """Check that the operators fit each other."""
        check_chain(f"synapse {self.name}", self.operators)
        if self.delay_steps < 0:
            raise ShapeError(f"synapse {self.name}: delay_steps {self.delay_steps} is negative")

    @property
    def late(self) -> bool:
        """Whether it carries what was sent at least one step before."""
        return self.delay_steps >= 1

    @staticmethod
    def dense(name: str, source: str, target: str, weight: Any) -> Synapse:
        """Return a connection by one matrix [target size, source size]."""
        return Synapse(name, source, target, (Dense(name, weight),))

    @property
    def is_dense(self) -> bool:
        """Whether it is one matrix without a bias of its own, not late and never silent."""
        return (
            len(self.operators) == 1
            and isinstance(self.operators[0], Dense)
            and self.operators[0].weight.ndim == 2
            and self.operators[0].bias is None
            and not self.late
            and not self.silent_first
        )

    @property
    def weight(self) -> FloatArray:
        """Return the matrix [target size, source size] of a dense connection.

        Raises
        ------
        ShapeError
            If it is a chain or another operator: compose the network first.
        """
        only = self.operators[0] if self.is_dense else None
        if not isinstance(only, Dense):
            kinds = ", ".join(type(o).__name__ for o in self.operators) or "identity"
            raise ShapeError(
                f"synapse {self.name}: is no single matrix ({kinds}); compose the network first"
            )
        return only.weight

    def shape_between(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Return (values given, values taken); the identity takes what its source has."""
        if not self.operators:
            return sizes[self.source], sizes[self.source]
        return self.operators[-1].size_out, self.operators[0].size_in


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Populations in the order in which one step updates them, and the synapses between them.

    ``n_input`` values enter per step under the source name ``"input"``, in input units (what
    ``encoder.decode`` gives). ``steps`` is the length of one sample, or None where nothing says it
    (a run then needs a sequence, or steps). ``contract`` is the execution contract as JSON types;
    ``nir_file`` the bytes of the NIR file it came from.
    """

    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    n_input: int
    encoder: Encoder
    readout: Readout
    steps: int | None
    contract: Mapping[str, Any] = field(default_factory=dict)
    nir_file: bytes = b""
    input_shape: tuple[int, ...] = ()
    _into: Mapping[str, tuple[Synapse, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that names are unique and that both ends of every synapse fit."""
        check_connections(
            self.populations, self.synapses, self.n_input, self.readout, lambda s: s.late
        )
        into: dict[str, list[Synapse]] = {}
        for synapse in self.synapses:
            into.setdefault(synapse.target, []).append(synapse)
        object.__setattr__(self, "_into", {name: tuple(some) for name, some in into.items()})
        if not self.input_shape:
            object.__setattr__(self, "input_shape", (self.n_input,))

    def population(self, name: str) -> Population:
        """Return the population called ``name``."""
        population: Population = named(self.populations, name)
        return population

    def synapses_into(self, name: str) -> tuple[Synapse, ...]:
        """Return the synapses whose target is the population ``name``."""
        return self._into.get(name, ())

    @property
    def is_plain(self) -> bool:
        """Whether it is feed-forward, of plain membranes joined by matrices."""
        return all(p.is_plain for p in self.populations) and all(s.is_dense for s in self.synapses)


__all__ = [
    "ALWAYS_ON",
    "INPUT",
    "Network",
    "Population",
    "PopulationKind",
    "ResetKind",
    "Synapse",
    "check_connections",
    "named",
    "stateless",
]
