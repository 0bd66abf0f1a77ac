"""The linear nodes between populations as chains of operators, evaluated as the graph says.

Nothing is multiplied out: a chain applies the file's own operators in the file's order, so a run
gives the graph's own numbers. Where a linear node sums several edges, or serves several targets,
a relay stands for it; so work and size stay linear in the graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from neurodeploy.graph import Graph
from neurodeploy.lowering.feedback import is_population
from neurodeploy.lowering.operators import operator_of
from neurodeploy.network import Operator, Population, Synapse, stateless


class Evaluation(NamedTuple):
    """A node as some target sees it: with the step before of the populations ``late``."""

    node: str
    late: frozenset[str]


class Place(NamedTuple):
    """A value on the way: what an evaluated node puts out, or the sum of the edges into it."""

    end: Evaluation
    stage: Literal["out", "sum"]


class _Pending(NamedTuple):
    """A connection still to be built: the operators nearest its target are known already."""

    start: Place
    target: str
    last: tuple[str, ...]
    target_is_pure: bool


@dataclass(slots=True)
class LinearPaths:
    """Builds the synapses and relays of a graph.

    ``late`` is what ``late_sources`` gave; ``input_name`` the network's name for the graph's input.
    After ``connect``: ``relays``, ``synapses``, and ``absorbed``, the linear nodes of the chains
    that lead into each target.
    """

    graph: Graph
    late: Mapping[str, frozenset[str]]
    input_name: str
    relays: dict[Place, Population] = field(default_factory=dict)
    synapses: list[Synapse] = field(default_factory=list)
    absorbed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _behind: dict[str, frozenset[str]] = field(default_factory=dict)
    _uses: Counter[Evaluation] = field(default_factory=Counter)
    _operators: dict[str, Operator | None] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _source: str = ""

    def connect(self, targets: Mapping[str, tuple[str, ...]]) -> None:
        """Build what leads into each population: {its name: nodes whose output it sums}."""
        self._source = self.graph.input_name
        self._taken = {*self.graph.nodes, *targets, self.input_name}
        ends = {
            target: [self._evaluation(n, self.late.get(target, frozenset())) for n in nodes]
            for target, nodes in targets.items()
        }
        self._count_uses([end for some in ends.values() for end in some])
        pending = [
            _Pending(Place(end, "out"), target, (), False)
            for target, some in ends.items()
            for end in some
        ]
        while pending:
            source = self._add_synapse(pending.pop())
            if source is not None:
                pending += self._add_relay(source)
        # They were built from the last to the first.
        self.synapses.reverse()

    def _is_linear(self, node: str) -> bool:
        return node != self._source and not is_population(self.graph, node)

    def _evaluation(self, node: str, late: frozenset[str]) -> Evaluation:
        """Return ``node`` as seen by a target for which ``late`` are a step behind."""
        if not late:
            return Evaluation(node, late)
        behind = self._populations_behind(node) if self._is_linear(node) else frozenset({node})
        return Evaluation(node, late & behind)

    def _populations_behind(self, node: str) -> frozenset[str]:
        """Return the populations (and the input) that reach linear node ``node`` linearly."""
        if node not in self._behind:
            seen, stack, found = {node}, [node], set()
            while stack:
                for source in self.graph.sources_of(stack.pop()):
                    if not self._is_linear(source):
                        found.add(source)
                    elif source not in seen:
                        seen.add(source)
                        stack.append(source)
            self._behind[node] = frozenset(found)
        return self._behind[node]

    def _inner(self, end: Evaluation) -> list[Evaluation]:
        """Return what an evaluated linear node gets."""
        return [self._evaluation(source, end.late) for source in self.graph.sources_of(end.node)]

    def _count_uses(self, ends: list[Evaluation]) -> None:
        self._uses.update(ends)
        stack, seen = list(set(ends)), set(ends)
        while stack:
            end = stack.pop()
            if not self._is_linear(end.node):
                continue
            for source in self._inner(end):
                self._uses[source] += 1
                if source not in seen:
                    seen.add(source)
                    stack.append(source)

    def _is_relay(self, place: Place) -> bool:
        end = place.end
        several = len(self._inner(end)) != 1
        if place.stage == "sum":
            return several
        # A node without an operator puts out its sum: one relay serves both.
        redundant = several and self._operator(end.node) is None
        return self._uses[end] > 1 and not redundant

    def _is_pure(self, end: Evaluation) -> bool:
        """Whether all that reaches an evaluated linear node is late."""
        return bool(end.late) and self._populations_behind(end.node) == end.late

    def _add_synapse(self, wanted: _Pending) -> Place | None:
        """Add a synapse; return the relay where it begins if that is not built yet."""
        place, nodes = wanted.start, list(wanted.last)
        while self._is_linear(place.end.node) and not self._is_relay(place):
            if place.stage == "out":
                nodes.insert(0, place.end.node)
                place = Place(place.end, "sum")
            else:
                place = Place(self._inner(place.end)[0], "out")
        known = place in self.relays
        source = self._name(place)
        operators = tuple(o for o in map(self._operator, nodes) if o is not None)
        absorbed = self.absorbed.get(wanted.target, ())
        self.absorbed[wanted.target] = tuple(dict.fromkeys((*nodes, *absorbed)))
        start = wanted.start.end
        pure = self._is_linear(start.node) and self._is_pure(start)
        affine_cut = self.graph.contract.recurrent_cut == "affine"
        is_relay = self._is_linear(place.end.node)
        self.synapses.append(
            Synapse(
                f"{source}->{wanted.target}",
                source,
                wanted.target,
                operators,
                delay_steps=int(not is_relay and bool(place.end.late)),
                silent_first=affine_cut and pure and not wanted.target_is_pure,
            )
        )
        return place if is_relay and not known else None

    def _add_relay(self, place: Place) -> list[_Pending]:
        """Return what leads into a relay that ``_name`` has just made."""
        name, pure = self.relays[place].name, self._is_pure(place.end)
        if place.stage == "out":
            return [_Pending(Place(place.end, "sum"), name, (place.end.node,), pure)]
        return [_Pending(Place(end, "out"), name, (), pure) for end in self._inner(place.end)]

    def _name(self, place: Place) -> str:
        """Return the name of a population, the input or a relay (which is made if it is new)."""
        node = place.end.node
        if not self._is_linear(node):
            return self.input_name if node == self._source else node
        if place not in self.relays:
            name = f"{node}:{place.stage}" + (":late" if place.end.late else "")
            while name in self._taken:
                name += "+"
            self._taken.add(name)
            shape = self.graph.shapes[node][place.stage == "out"]
            size = int(np.prod(shape, dtype=np.int64))
            self.relays[place] = stateless(
                name, "relay", np.zeros(size), nir_nodes=(), shape=tuple(shape)
            )
        return self.relays[place].name

    def _operator(self, node: str) -> Operator | None:
        if node not in self._operators:
            self._operators[node] = operator_of(self.graph, node)
        return self._operators[node]
