"""Shape inference over the whole graph: forward along edges, cycles included, in linear time.

Neurons, Affine and Scale fix their own shapes; convolutions, pools and Flatten follow their source.
A node whose parameters have no axes takes the shape of what it is connected to.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurodeploy.errors import ShapeError
from neurodeploy.graph.finding_list import FindingList, node_at, short
from neurodeploy.graph.node_shapes import ELEMENTWISE, output_shape, own_input_shape
from neurodeploy.graph.nodes import (
    Affine,
    Input,
    Junction,
    Linear,
    Node,
    Output,
    Shape,
    array_fields,
)

Edge = tuple[str, str]
Shapes = dict[str, tuple[Shape, Shape]]


@dataclass(slots=True, eq=False)
class ShapeInference:
    """Infers shapes; afterwards ``nodes`` has no parameter without axes whose layer is known.

    Parameters
    ----------
    nodes : mapping
        Flat nodes by name.
    edges : sequence of (source, target)
    findings : FindingList
        Receives what does not fit, both ends named.
    max_elements : int
        Largest number of values of one layer.
    """

    nodes: dict[str, Node]
    edges: Sequence[Edge]
    findings: FindingList
    max_elements: int
    shapes: Shapes = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def infer(self) -> Shapes:
        """Return (input shape, output shape) of every node where they are known."""
        for source, target in self.edges:
            self.targets.setdefault(source, []).append(target)
            self.sources.setdefault(target, []).append(source)
        for name, node in self.nodes.items():
            own = own_input_shape(node)
            if own is not None:
                self._settle(name, own)
        self._propagate(deque(self.shapes))
        self._propagate_backward()
        for source, target in self.edges:
            self._check_edge(source, target)
        self._name_unknown()
        for name in self.shapes:
            self.nodes[name] = _with_axes(
                self.nodes[name], self.shapes[name][0], self.findings, name
            )
        return self.shapes

    def _settle(self, name: str, taken: Shape) -> None:
        """Note a node's shapes, or the reason why it has none."""
        try:
            given = output_shape(self.nodes[name], taken)
            size = max(math.prod(taken), math.prod(given))
            if size > self.max_elements:
                raise ShapeError(f"has {size} values, more than the limit of {self.max_elements}")
        except ShapeError as error:
            self._failed.add(name)
            feeders = short(self.sources.get(name, ()))
            text = str(error) + (f" from {feeders}" if feeders else "")
            self.findings.error(node_at(name), text, raises=ShapeError)
            return
        self.shapes[name] = (taken, given)

    def _propagate(self, ready: deque[str]) -> None:
        while ready:
            source = ready.popleft()
            given = self.shapes[source][1]
            for target in self.targets.get(source, ()):
                if target in self.shapes or target in self._failed or target not in self.nodes:
                    continue
                self._settle(target, given)
                if target in self.shapes:
                    ready.append(target)

    def _propagate_backward(self) -> None:
        """Give element-wise nodes without a shape that of their target, and go on from there."""
        ready = deque(self.shapes)
        while ready:
            target = ready.popleft()
            taken = self.shapes[target][0]
            for source in self.sources.get(target, ()):
                node = self.nodes.get(source)
                if source in self.shapes or source in self._failed or node is None:
                    continue
                if isinstance(node, ELEMENTWISE):
                    before = len(self.shapes)
                    self._settle(source, taken)
                    self._propagate(deque([source] if source in self.shapes else ()))
                    ready.extend(list(self.shapes)[before:])

    def _check_edge(self, source: str, target: str) -> None:
        if source not in self.shapes or target not in self.shapes:
            return
        given, taken = self.shapes[source][1], self.shapes[target][0]
        if given == taken:
            return
        where = f"edge {source!r} -> {target!r}"
        text = f"{source!r} gives shape {given}, {target!r} takes {taken}"
        if math.prod(given) != math.prod(taken):
            self.findings.error(where, text, raises=ShapeError)
        elif _is_door(self.nodes[source], self.nodes[target]) or _no_ones(given) == _no_ones(taken):
            text += "; the values are taken in C order"
            self.findings.warning(where, text, source=list(given), target=list(taken))
        else:
            remedy = ""
            if isinstance(self.nodes[target], (Affine, Linear)):
                remedy = f"add a Flatten (start_dim 0) between {source!r} and {target!r}"
            self.findings.error(where, text, remedy, raises=ShapeError)

    def _name_unknown(self) -> None:
        """Name the nodes whose shape follows from nothing, save those after a named problem."""
        problems = self._failed | {s for s in self.targets if s not in self.nodes}
        after, pending = set(problems), list(problems)
        while pending:
            new = [t for t in self.targets.get(pending.pop(), ()) if t not in after]
            after.update(new)
            pending += new
        unknown = [n for n in self.nodes if n not in self.shapes and n not in after]
        if unknown:
            text = "their shapes follow from nothing in the graph"
            remedy = "connect them, or give convolutions an input_shape"
            where = f"nodes {short(unknown)}"
            self.findings.error(where, text, remedy, raises=ShapeError)


def _is_door(source: Node, target: Node) -> bool:
    return isinstance(source, (Input, Junction)) or isinstance(target, (Output, Junction))


def _no_ones(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


def _with_axes(node: Node, shape: Shape, findings: FindingList, name: str) -> Node:
    """Spread parameters without axes over the layer."""
    if not isinstance(node, ELEMENTWISE):
        return node
    scalars = {key: p for key, p in array_fields(node).items() if p.ndim == 0}
    if not scalars:
        return node
    text = f"{', '.join(scalars)} without axes hold for the whole layer of shape {shape}"
    findings.info(node_at(name), text)
    full: dict[str, Any] = {key: np.full(shape, value[()]) for key, value in scalars.items()}
    changed: Node = dataclasses.replace(node, **full)
    return changed
