"""A fixed-point network as components that can be run over all steps one after the other.

A component is one population, or several that feed back into each other. Each synapse falls into
slots: the weights of one logical delay, whose sum has a shift of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.arrays import IntArray
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.cycles import strong_components
from neurodeploy.network.defined_rules import require_defined
from neurodeploy.network.fixed import ALIGN_BITS, V_MAX, FixedPointNetwork, FixedPopulation
from neurodeploy.network.fixed_synapse import ConvLayout, FixedSynapse, SparseLayout

#: Sums below this are exact in float32, in any order.
FLOAT32_EXACT = 2**24


class Rows(NamedTuple):
    """Compressed rows of a matrix [out, in]: int64 indptr [out + 1], indices, and weights."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    weights: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The weights of one logical delay of one synapse.

    ``a[t] += shift(weights @ s[t - delay], exponent)``; a convolution's sum wraps into 24 bits
    instead. ``layout`` as in FixedSynapse. ``as_spikes``: the input's codes count only as being
    there. ``place``: its turn among all slots of the network when sums are added.
    """

    synapse: FixedSynapse
    delay: int
    weight: IntArray
    layout: SparseLayout | ConvLayout | None
    place: int = 0

    @property
    def source(self) -> str:
        """Where the events come from."""
        return self.synapse.source

    @property
    def target(self) -> str:
        """The population that receives the sums."""
        return self.synapse.target

    @property
    def exponent(self) -> int:
        """Shift of the sum, left if positive."""
        return self.synapse.weight_exp

    @property
    def wraps_at_24_bits(self) -> bool:
        """Whether the sum wraps into 24 bits, as Lava's Conv does."""
        return isinstance(self.synapse.layout, ConvLayout)

    @property
    def as_spikes(self) -> bool:
        """Whether payloads of the source count as 1."""
        return self.source == INPUT and self.synapse.message_bits == 0

    def bound(self, largest: int) -> int:
        """Return the largest magnitude of a partial sum for payloads up to ``largest``."""
        magnitude = np.abs(self.weight.astype(np.int64))
        if isinstance(self.layout, SparseLayout):
            sums = np.add.reduceat(np.append(magnitude, 0), self.layout.indptr[:-1])
            rows = np.where(np.diff(self.layout.indptr) > 0, sums, 0)
        else:
            rows = magnitude.reshape(magnitude.shape[0], -1).sum(axis=1)
        return int(rows.max(initial=0)) * largest

    def rows(self) -> Rows:
        """Return the matrix [out, in] by targets, zeros left out."""
        one = FixedSynapse(
            self.synapse.name, self.source, self.target, self.weight, 0,
            self.synapse.sign_mode, layout=self.layout,
        )  # fmt: skip
        found = one.connections()
        return compressed(found.target, found.source, found.weight, one.size_out)


def compressed(
    row: NDArray[np.int64], column: NDArray[np.int64], weight: NDArray[np.int64], n_rows: int
) -> Rows:
    """Sort a list of weights into compressed rows."""
    order = np.lexsort((column, row))
    indptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n_rows), out=indptr[1:])
    return Rows(indptr, column[order], weight[order])


@dataclass(frozen=True, eq=False)
class NeuronRule:
    """A population's parameters in the units of the membrane.

    ``threshold`` is limited to what v can reach, ``full_threshold`` is not.
    """

    population: FixedPopulation

    @property
    def name(self) -> str:
        """The population's name."""
        return self.population.name

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.population.size

    @cached_property
    def keep_u(self) -> NDArray[np.int64]:
        """Factor of u's decay, in 1/4096; 0 for ``dlif``, which has no u."""
        if self.population.kind == "dlif":
            return np.zeros(self.size, np.int64)
        return 4095 - self.population.decay_u.astype(np.int64)

    @cached_property
    def keep_v(self) -> NDArray[np.int64]:
        """Factor of v's decay, in 1/4096."""
        return 4096 - self.population.decay_v.astype(np.int64)

    @cached_property
    def full_threshold(self) -> NDArray[np.int64]:
        """The threshold in units of v."""
        return self.population.v_threshold.astype(np.int64) << ALIGN_BITS

    @cached_property
    def threshold(self) -> NDArray[np.int64]:
        """The threshold, limited to the range of v."""
        return np.clip(self.full_threshold, -V_MAX - 1, V_MAX)

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """What distances from the threshold are measured in: it, or one synaptic unit."""
        size = np.maximum(np.abs(self.full_threshold), 2**ALIGN_BITS)
        return np.asarray(size, np.float64)

    @property
    def can_fire(self) -> bool:
        """Whether any neuron's threshold can be passed."""
        return bool((self.threshold < V_MAX).any())

    @property
    def subtracts(self) -> bool:
        """Whether a spike takes the threshold off v, which then does not go to zero."""
        return self.population.reset == "subtract"

    def resets(self, steps: int) -> NDArray[np.bool_]:
        """Return before which logical steps u and v are set to zero, [steps]."""
        first = 1 + self.population.latency
        found = [self.population.resets_at(h) for h in range(first, first + steps)]
        return np.array(found, np.bool_)

    def gain(self, steps: int) -> NDArray[np.int64]:
        """Return the gain of each step, [steps]; ones where there is none."""
        values = self.population.gain
        if values is None:
            return np.ones(steps, np.int64)
        return values[np.minimum(np.arange(steps), values.size - 1)].astype(np.int64)

    def input_slope(self, steps: int) -> NDArray[np.float64]:
        """Return d(added to v) / d(synaptic sum) of each step, [steps]."""
        shift = ALIGN_BITS - self.population.gain_shift
        return self.gain(steps).astype(np.float64) * 2.0**shift


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Populations that feed back into each other (mostly one), in update order.

    ``inputs`` come from outside; ``loops`` run between its own populations.
    """

    rules: tuple[NeuronRule, ...]
    inputs: tuple[Slot, ...]
    loops: tuple[Slot, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its populations."""
        return tuple(rule.name for rule in self.rules)


def components(net: FixedPointNetwork) -> tuple[Component, ...]:
    """Split ``net`` into components, each after those that it listens to.

    Raises
    ------
    RangeError
        For a decay, gain or shift that the rules do not define.
    """
    require_defined(net)
    rules = {p.name: NeuronRule(p) for p in net.populations}
    unnumbered = [slot for synapse in net.synapses for slot in _slots(net, synapse)]
    slots = tuple(replace(slot, place=i) for i, slot in enumerate(unnumbered))
    targets: dict[str, list[str]] = {name: [] for name in rules}
    for synapse in net.synapses:
        if synapse.source in rules:
            targets[synapse.source].append(synapse.target)
    order = {p.name: i for i, p in enumerate(net.populations)}
    found = []
    # Searching backwards keeps the given order among populations that do not hang together.
    for names in reversed(strong_components(reversed(order), targets)):
        group, members = set(names), sorted(names, key=order.__getitem__)
        into = [s for s in slots if s.target in group]
        found.append(
            Component(
                tuple(rules[name] for name in members),
                tuple(s for s in into if s.source not in group),
                tuple(s for s in into if s.source in group),
            )
        )
    return tuple(found)


def _slots(net: FixedPointNetwork, synapse: FixedSynapse) -> list[Slot]:
    delay = net.logical_delay(synapse)
    if delay.ndim == 0:
        return [Slot(synapse, int(delay), synapse.weight, synapse.layout)]
    if isinstance(synapse.layout, SparseLayout):
        row = np.repeat(np.arange(synapse.size_out), np.diff(synapse.layout.indptr))
        column, weight = synapse.layout.indices.astype(np.int64), synapse.weight
    else:
        row, column = (x.ravel() for x in np.indices(synapse.weight.shape))
        weight, delay = synapse.weight.ravel(), delay.ravel()
    slots = []
    for d in np.unique(delay[weight != 0]):
        here = (delay == d) & (weight != 0)
        part = compressed(row[here], column[here], weight[here].astype(np.int64), synapse.size_out)
        layout = SparseLayout(
            part.indptr.astype(np.int32), part.indices.astype(np.int32), synapse.size_in
        )
        slots.append(Slot(synapse, int(d), part.weights.astype(np.int32), layout))
    return slots


def reachable(found: Sequence[Component], first: str, *, backward: bool = False) -> set[str]:
    """Return every name that ``first`` reaches through synapses, itself included.

    ``backward``: every name that reaches ``first``.
    """
    edges = [(s.source, s.target) for c in found for s in (*c.inputs, *c.loops)]
    if backward:
        edges = [(target, source) for source, target in edges]
    seen, news = {first}, {first}
    while news:
        news = {b for a, b in edges if a in news} - seen
        seen |= news
    return seen - {ALWAYS_ON}
