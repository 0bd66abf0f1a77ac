"""DLIF's gain as bit planes: stock neurons and binary spikes alone, gated bit by bit.

A gain is ``m[t] / 2**e`` with whole m[t]. The neurons get their input once for each bit b of m, at
``2**(b - e)`` of its weights, through gates: a gate fires where its source fires and the bit is
set in this step. A bit that is set in every step needs no gate. The bits are spikes of *line*
neurons, driven by a *clock* of as many neurons as the gain has steps: neuron t fires in step t,
the last one from then on. The clock runs by itself: nothing of all this is input from outside.

Each plane is a synapse with a floor of its own, so the integers are not those of one shift of one
sum; and a gate is one synapse more, so everything arrives one hardware step later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    FixedPointNetwork,
    Network,
    Population,
    Sparse,
    Synapse,
)
from neurodeploy.quantization.gain import quantize_gain
from neurodeploy.quantization.incoming import drive_of

_CLOCK = "gain_clock"


@dataclass(frozen=True, slots=True, eq=False)
class BitPlanes:
    """Bits of a gain ``mantissa / 2**shift``: which are always set, and which come and go."""

    mantissa: NDArray[np.int32]
    shift: int

    @property
    def constant(self) -> float:
        """What the bits that are set in every step stand for."""
        return float(np.ldexp(np.bitwise_and.reduce(self.mantissa), -self.shift))

    @property
    def gated(self) -> tuple[int, ...]:
        """Bits that are set in some steps and not in others, from the lowest."""
        moving = np.bitwise_or.reduce(self.mantissa) & ~np.bitwise_and.reduce(self.mantissa)
        return tuple(b for b in range(8) if moving >> b & 1)

    def weight_of(self, bit: int) -> float:
        """Return what one bit stands for."""
        return float(2.0 ** (bit - self.shift))

    @property
    def steps(self) -> int:
        """Steps after which nothing changes any more."""
        changes = np.flatnonzero(np.diff(self.mantissa))
        return int(changes[-1]) + 2 if changes.size else 1


def bit_planes(population: Population, bits: int) -> BitPlanes:
    """Return the planes of the gain of ``population``, rounded to ``bits`` bits as a microcode is.

    Raises
    ------
    RangeError
        If a gain is negative, rounds to zero, or does not fit.
    """
    where = f"population {population.name}"
    mantissa, shift, _ = quantize_gain(where, population.gain, bits, [])
    return BitPlanes(np.ones(1, np.int32) if mantissa is None else mantissa, shift)


def obstacle(network: Network, name: str) -> str:
    """Say why the population ``name`` cannot have bit planes; empty where it can."""
    codes = [s.name for s in network.synapses_into(name) if s.source == INPUT]
    if not codes or network.encoder.bits == 1:
        return ""
    return (
        f"population {name}: input codes of {network.encoder.bits} bits enter it, and gates of bit "
        "planes take spikes; use --remap graded or fold, or an encoder of 1 bit"
    )


def with_bit_planes(network: Network, names: Iterable[str], bits: int) -> Network:
    """Return ``network`` with the gains of ``names`` in bit planes; each needs no ``obstacle``.

    Names of what is added begin with that of the population; gains without a bit that moves are
    not for this function: fold them.

    Raises
    ------
    RangeError
        As ``bit_planes``.
    """
    planes = {name: bit_planes(network.population(name), bits) for name in names}
    if not planes:
        return network
    populations: list[Population] = [_neurons(_CLOCK, max(p.steps for p in planes.values()), 0.5)]
    synapses = list(_clock_synapses(populations[0].size))
    for p in network.populations:
        into = network.synapses_into(p.name)
        if p.name not in planes:
            populations.append(p)
            synapses += into
            continue
        added, wired = _planes_of(network, p, planes[p.name], bits, populations[0].size)
        constant = planes[p.name].constant
        populations += [*added, replace(p, gain=None, bias=p.bias * constant)]
        synapses += [*wired, *(_scaled(s, constant) for s in into if constant)]
    return replace(network, populations=tuple(populations), synapses=tuple(synapses))


def bit_planes_in(network: Network, net: FixedPointNetwork) -> dict[str, int]:
    """Return the populations of ``network`` whose gains ``net`` has in bit planes, and the bits."""
    gained = {p.name for p in network.populations if p.gain is not None}
    found = (re.fullmatch(r"(.+)\.gain([1-8])", p.name, re.DOTALL) for p in net.populations)
    return {f[1]: int(f[2]) for f in found if f and f[1] in gained}


def with_bit_planes_of(network: Network, net: FixedPointNetwork) -> Network:
    """Return ``network`` with the gains in bit planes that ``net`` has there."""
    planes = bit_planes_in(network, net)
    return with_bit_planes(network, planes, max(planes.values())) if planes else network


def _planes_of(
    network: Network, p: Population, planes: BitPlanes, bits: int, clock_steps: int
) -> tuple[list[Population], list[Synapse]]:
    """Return lines, gates, and the synapses to, between and from them."""
    line = _neurons(f"{p.name}.gain{bits}", len(planes.gated), 0.5)
    held = planes.mantissa[np.minimum(np.arange(clock_steps), planes.mantissa.size - 1)]
    shown = np.array([held >> b & 1 for b in planes.gated], np.float64)
    synapses = [Synapse.dense(f"{_CLOCK}->{line.name}", _CLOCK, line.name, shown)]
    # What enters per step whatever the sources send: it has a gain, too.
    plain = replace(p, input_gain=np.ones(p.size))
    per_step = drive_of(network, plain).into_sum
    sources = [s for s in network.synapses_into(p.name) if s.source != ALWAYS_ON]
    gates = []
    for row, bit in enumerate(planes.gated):
        factor = planes.weight_of(bit)
        if per_step.any():
            name = f"{p.name}.bias.bit{bit}"
            column = _column(name, per_step * factor, row, line.size)
            synapses.append(Synapse(name, line.name, p.name, (column,)))
        for k, s in enumerate(sources):
            gate = _gate(network, s, f"{p.name}.bit{bit}" + (f".{k}" if len(sources) > 1 else ""))
            opens = np.zeros((gate.size, line.size))
            opens[:, row] = 1
            name = f"{line.name}->{gate.name}"
            synapses.append(Synapse(name, line.name, gate.name, (_rows(name, opens),)))
            unit = network.encoder.step if s.source == INPUT else 1.0
            synapses += [
                _identity(network, s, gate),
                replace(
                    _scaled(s, factor * unit), name=f"{s.name}.bit{bit}", source=gate.name,
                    delay_steps=0,
                ),
            ]  # fmt: skip
            gates.append(gate)
    return [line, *gates], synapses


def _clock_synapses(steps: int) -> Sequence[Synapse]:
    """Return what starts neuron 0, passes on, keeps the last one, and silences the first."""
    start = np.zeros((steps, 1))
    start[0] = 1
    on = np.eye(steps, k=-1)
    on[-1, -1] = 1
    on[0] = -2
    return (
        Synapse.dense(f"{ALWAYS_ON}->{_CLOCK}", ALWAYS_ON, _CLOCK, start),
        replace(Synapse.dense(f"{_CLOCK}->{_CLOCK}", _CLOCK, _CLOCK, on), delay_steps=1),
    )


def _gate(network: Network, s: Synapse, name: str) -> Population:
    """Return one neuron per source, with that one's shape; it fires for two spikes at once."""
    size, shape = network.n_input, network.input_shape
    bias = 0.0
    if s.source == INPUT:
        bias = -network.encoder.low / network.encoder.step
    else:
        source = network.population(s.source)
        size, shape = source.size, source.shape
    return _neurons(name, size, 1.5, bias=bias, shape=shape)


def _identity(network: Network, s: Synapse, gate: Population) -> Synapse:
    """Return the synapse that brings the spikes of ``s`` to its gate, when ``s`` brought them."""
    name = f"{s.name}.{gate.name}"
    unit = 1 / network.encoder.step if s.source == INPUT else 1.0
    at = np.arange(gate.size + 1, dtype=np.int32)
    operator = Sparse(name, np.full(gate.size, unit), at, at[:-1], gate.size)
    return Synapse(name, s.source, gate.name, (operator,), s.delay_steps)


def _neurons(name: str, size: int, threshold: float, **fields: Any) -> Population:
    """Return neurons without memory: they fire where a step's input exceeds ``threshold``."""
    zeros = np.zeros(size)
    values = {"bias": zeros, **fields}
    return Population(
        name, (), "lif", decay_v=zeros + 1, input_gain=zeros + 1, v_leak=zeros,
        v_threshold=zeros + threshold, v_reset=zeros, v_init=zeros, **values,
    )  # fmt: skip


def _scaled(s: Synapse, factor: float) -> Synapse:
    """Return ``s`` with all weights times ``factor``; it is one operator, without a bias."""
    (operator,) = s.operators
    weighted: Any = operator
    return replace(s, operators=(replace(weighted, weight=weighted.weight * factor),))


def _column(node: str, values: NDArray[np.float64], column: int, width: int) -> Sparse:
    """Return a matrix [N, width] whose only column is ``values``."""
    matrix = np.zeros((values.size, width))
    matrix[:, column] = values
    return _rows(node, matrix)


def _rows(node: str, matrix: NDArray[np.float64]) -> Sparse:
    """Return ``matrix`` in compressed rows."""
    rows, columns = np.nonzero(matrix)
    indptr = np.searchsorted(rows, np.arange(len(matrix) + 1)).astype(np.int32)
    return Sparse(node, matrix[rows, columns], indptr, columns.astype(np.int32), matrix.shape[1])
