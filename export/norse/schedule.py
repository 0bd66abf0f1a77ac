"""One time step of a graph as a list of evaluations in order: what each node sums, and when.

Cycles follow the execution contract: a population may see the step before of another one. A linear
node on the way to several populations is then evaluated for each with the right times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurodeploy.errors import ContractError
from neurodeploy.graph import Graph
from neurodeploy.graph.nodes import Delay
from neurodeploy.lowering.delays import delay_in_steps
from neurodeploy.lowering.feedback import is_population, late_sources

_NONE: frozenset[str] = frozenset()


class View(NamedTuple):
    """A node's output as computed from the step before of the populations ``late``.

    ``late`` is empty for the output that the node itself has at this step.
    """

    node: str
    late: frozenset[str]


class Seen(NamedTuple):
    """What an edge carries: the output ``view`` of this step, or of the step before."""

    view: View
    before: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One output to compute: the sum over ``sources`` enters the node ``view.node``.

    ``waits``: a delay of at least one step everywhere. Its output comes from its past alone, so
    its sources may come later in the schedule.
    """

    view: View
    sources: tuple[Seen, ...]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Evaluations of one step in order, and the outputs the next step must remember."""

    evaluations: tuple[Evaluation, ...]
    remembered: tuple[View, ...]


def schedule(graph: Graph, wanted: Iterable[str]) -> Schedule:
    """Return what must be computed per step so that the nodes ``wanted`` have their outputs.

    Raises
    ------
    ContractError
        If a cycle has neither a state nor a delay of at least one step.
    """
    planner = _Planner(graph)
    pending = [View(name, _NONE) for name in wanted]
    found: dict[View, Evaluation] = {}
    while pending:
        view = pending.pop()
        if view not in found:
            found[view] = planner.evaluation(view)
            pending += [seen.view for seen in found[view].sources]
    before = [s.view for e in found.values() for s in e.sources if s.before]
    return Schedule(_in_order(found), tuple(dict.fromkeys(before)))


class _Planner:
    """Answers what a node sums, seen from a population for which some others are late."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.late = late_sources(graph)
        self.affine_cut = graph.contract.recurrent_cut == "affine"
        self.waiting = frozenset(
            name
            for name, node in graph.nodes.items()
            if isinstance(node, Delay)
            and bool(np.all(delay_in_steps(node.delay, graph.contract) >= 1))
        )
        self._behind: dict[str, frozenset[str]] = {}

    def evaluation(self, view: View) -> Evaluation:
        late = self.late.get(view.node, _NONE) if self._starts_anew(view.node) else view.late
        sources = tuple(self._seen(name, late) for name in self.graph.sources_of(view.node))
        return Evaluation(view, sources, view.node in self.waiting)

    def _starts_anew(self, name: str) -> bool:
        """Whether the node has one output per step, whoever looks at it."""
        return (
            name == self.graph.input_name or name in self.waiting or is_population(self.graph, name)
        )

    def _seen(self, name: str, late: frozenset[str]) -> Seen:
        if self._starts_anew(name):
            return Seen(View(name, _NONE), name in late)
        behind = self._starts_behind(name) if late else _NONE
        here = late & behind
        if here and here == behind and self.affine_cut:
            # All that reaches it is late: its own output of the step before, bias included.
            return Seen(View(name, _NONE), True)
        return Seen(View(name, here), False)

    def _starts_behind(self, name: str) -> frozenset[str]:
        """Return the populations, waiting delays and input that reach ``name`` linearly."""
        if name not in self._behind:
            seen, stack, found = {name}, [name], set()
            while stack:
                for source in self.graph.sources_of(stack.pop()):
                    if self._starts_anew(source):
                        found.add(source)
                    elif source not in seen:
                        seen.add(source)
                        stack.append(source)
            self._behind[name] = frozenset(found)
        return self._behind[name]


def _in_order(found: dict[View, Evaluation]) -> tuple[Evaluation, ...]:
    """Sort evaluations so that each comes after those whose output of this step it sums."""
    needs = {
        view: set() if e.waits else {s.view for s in e.sources if not s.before}
        for view, e in found.items()
    }
    users: dict[View, list[View]] = {view: [] for view in found}
    for view, some in needs.items():
        for needed in some:
            users[needed].append(view)
    ready = [view for view, some in needs.items() if not some]
    order = []
    while ready:
        view = ready.pop()
        order.append(found[view])
        for user in users[view]:
            needs[user].discard(view)
            if not needs[user]:
                ready.append(user)
    if len(order) < len(found):
        stuck = sorted({view.node for view in found} - {e.view.node for e in order})
        raise ContractError(
            f"nodes {', '.join(stuck)}: lie on or behind a cycle without a state; put a neuron or "
            "a delay of at least one step into it"
        )
    return tuple(order)
