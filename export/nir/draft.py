"""A NIR graph under construction: nodes with shapes and names, edges with lags, delays put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import nir
import numpy as np

from neurodeploy.export.nir.delays import LaggedEdge, edges_without_delay
from neurodeploy.export.nir.settle import TraceNode

#: Names with a meaning of their own.
_TAKEN = ("input", "output", "readout")
#: Modules that only wrap another one.
_WRAPPERS = ("lifted_module", "module")


@dataclass(slots=True, eq=False)
class Draft:
    """Nodes by name with their output shape and whether they have a state; edges with lags.

    ``cut``: operations read late that were evaluated on zeros before the first step, which only
    the contract's cycle rule says. ``delayed``: those that gave nothing there although they have
    a bias, which only a Delay says.
    """

    nodes: dict[str, nir.NIRNode | None] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    states: dict[str, bool] = field(default_factory=dict)
    edges: list[LaggedEdge] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    delayed: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    planned: dict[int, str] = field(default_factory=dict)

    def add(
        self, name: str, node: nir.NIRNode | None, shape: tuple[int, ...], state: bool = False
    ) -> str:
        """Add a node; return its name. None holds a place until ``fill``."""
        self.nodes[name] = node
        self.shapes[name] = shape
        self.states[name] = state
        return name

    def fill(self, name: str, node: nir.NIRNode) -> None:
        """Fill a held place, last in order: a node stands after its sources where it can."""
        self.nodes.pop(name)
        self.nodes[name] = node

    def connect(self, sources: Sequence[str], target: str, lag: int = 0) -> None:
        """Add edges of one lag."""
        self.edges += [(source, target, lag) for source in sources]

    def name(self, kind: str, path: str = "model") -> str:
        """Name a node after its attribute in the model, or by kind and number."""
        parts = [part for part in path.split(".")[1:] if part not in _WRAPPERS]
        while parts and parts[0].isdigit():
            parts = parts[1:]
        if not parts:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            base = f"{kind}{self.counts[kind]}"
        else:
            base = "_".join(parts)
        name, number = base, 2
        while name in self.nodes or name in self.planned.values() or name in _TAKEN:
            name, number = f"{base}_{number}", number + 1
        return name

    def plan_names(self, nodes: Sequence[TraceNode]) -> None:
        """Give every node its name, in the order in which the model ran."""
        for node in sorted(nodes, key=lambda node: node.number):
            kind = kind_of(node)
            if kind is not None:
                self.planned[node.number] = self.name(kind, node.path)

    def name_of(self, node: TraceNode, kind: str) -> str:
        """Return the name planned for a node, or one like it if that is in use."""
        planned = self.planned.pop(node.number, None)
        return self.name(kind, node.path) if planned is None else planned

    def rename(self, old: str, new: str) -> None:
        """Give a node another name."""
        self.nodes[new] = self.nodes.pop(old)
        self.shapes[new] = self.shapes.pop(old)
        self.states[new] = self.states.pop(old)
        self.edges = [
            (new if a == old else a, new if b == old else b, lag) for a, b, lag in self.edges
        ]

    def finished_edges(self, dt: float) -> list[tuple[str, str]] | None:
        """Put a Delay into every late edge that the cycle rule does not make late by itself.

        Returns None where an operation must be late by the rule, and is not.
        """
        plain = edges_without_delay(self.states, self.edges, "input", self.delayed)
        if any(e[2] and e not in plain and e[0] in self.cut for e in self.edges):
            return None
        edges: list[tuple[str, str]] = []
        delays: dict[tuple[str, int], str] = {}
        for edge in self.edges:
            begin, end, lag = edge
            if lag and edge not in plain:
                if (begin, lag) not in delays:
                    shape = self.shapes[begin]
                    delay = nir.Delay(delay=np.full(shape or (1,), lag * dt))
                    delays[begin, lag] = self.add(self.name("delay"), delay, shape, True)
                    edges.append((begin, delays[begin, lag]))
                begin = delays[begin, lag]
            edges.append((begin, end))
        return edges


def kind_of(node: TraceNode) -> str | None:
    """Return the kind of a node as names say it; a batch norm has none, being folded mostly."""
    if node.neuron is not None:
        return {"LIF": "lif", "CubaLIF": "lif", "IF": "if"}.get(node.neuron.kind, "li")
    if node.operation is None or node.operation.kind == "norm":
        return None
    return {"linear": "affine", "conv": "conv"}.get(node.operation.kind, "pool")
