"""Bit planes of a flat, sequential graph as a graph that is sequential again.

Gate lines that go straight from the input to deep layers make nodes with two ways into them. The
executor behind Norse's importer (nirtorch 2.6) runs such a node as soon as it meets it, with last
step's value of what it has not met yet. So where a graph is one path, the lines are carried along
it: every linear node passes them on, and every population has relay neurons, which fire with their
line and are equal to their neighbours where that can be. Each gated layer becomes two: AND neurons,
then the layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurodeploy.export.gain.graph import GAIN_KEY, GainGraph, fresh_name
from neurodeploy.export.gain.layout import Block, InputLayout, factor_number, trimmed
from neurodeploy.export.gain.neuron import (
    AND_RELAY_WEIGHT,
    and_neuron,
    can_relay,
    with_relays,
)
from neurodeploy.export.gain.quantisation import FloatArray, NodeGain
from neurodeploy.graph.nodes import Affine, Input, Linear, Node


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Linear nodes, the neuron they feed, and the planes (line, weight) of its gain.

    The line is None where the factor is always 1. ``gated``: AND neurons copy the spikes, once per
    plane; else the source carries the gain already, and only biases need it.
    """

    linears: tuple[str, ...]
    neuron: str
    planes: tuple[tuple[int | None, float], ...]
    gated: bool
    biased: bool

    @property
    def bias_lines(self) -> frozenset[int]:
        """Lines that its biases need."""
        lines = frozenset(line for line, _ in self.planes if line is not None)
        return lines if self.biased else frozenset()

    @property
    def lines(self) -> frozenset[int]:
        """All lines that it needs."""
        lines = frozenset(line for line, _ in self.planes if line is not None)
        return lines if self.gated else self.bias_lines


def sequential_path(graph: GainGraph) -> list[str] | None:
    """Return the one path from the input to the last gained neuron, or None if there is none.

    All nodes on it are flat matrices and neurons that can have relays beside them.
    """
    left = set(graph.gains)
    path = [graph.input_name]
    while left:
        targets = [t for s, t in graph.edges if s == path[-1]]
        # Who reads a node in the middle would also read the lines that pass through it.
        if len(targets) != 1 or path[-1] == graph.contract.readout_node:
            return None
        (name,) = targets
        node = graph.nodes[name]
        flat = all(len(shape) == 1 for shape in graph.shapes[name])
        matrix = isinstance(node, (Affine, Linear)) and node.weight.ndim == 2
        relays = can_relay(node, graph.contract)
        if graph.sources_of(name) != (path[-1],) or not flat or not (matrix or relays):
            return None
        path.append(name)
        left.discard(name)
    return path if len(graph.shapes[path[0]][1]) == 1 else None


class ChainBuilder:
    """Rewrites the path; the rest of the graph stays as it is."""

    def __init__(self, graph: GainGraph, path: list[str]) -> None:
        self.graph, self.path = graph, path
        self.nodes: dict[str, Node] = dict(graph.nodes)
        self.edges: list[tuple[str, str]] = list(graph.edges)
        self.and_neurons = self.relay_neurons = 0
        self._lines: list[FloatArray] = []
        self._factor: FloatArray = np.ones(1)

    def build(self, gains: tuple[NodeGain, ...]) -> InputLayout:
        """Rewrite the graph; return the layout of its input."""
        by_name = {gain.name: gain for gain in gains}
        segments = self._segments(by_name)
        source = self.path[0]
        layout = self._layout(self.graph.shapes[source][1][0])
        self.nodes[source] = Input(layout.portable_shape, metadata=self.nodes[source].metadata)
        carried = list(range(len(self._lines)))
        for number, segment in enumerate(segments):
            later = sorted(set().union(*(s.lines for s in segments[number + 1 :])))
            self._rewrite(segment, source, carried, later)
            source, carried = segment.neuron, later
        return layout

    def _layout(self, count: int) -> InputLayout:
        lines = [Block("one", count + k, 1, factor) for k, factor in enumerate(self._lines)]
        return InputLayout((count,), (Block("input", 0, count, self._factor), *lines))

    def _segments(self, gains: Mapping[str, NodeGain]) -> list[Segment]:
        segments: list[Segment] = []
        linears: list[str] = []
        for name in self.path[1:]:
            linears.append(name)
            if not isinstance(self.nodes[name], (Affine, Linear)):
                segments.append(self._segment(tuple(linears[:-1]), name, gains.get(name)))
                linears = []
        return segments

    def _segment(self, linears: tuple[str, ...], neuron: str, gain: NodeGain | None) -> Segment:
        biased = any(bool(_bias(self.nodes[name]).any()) for name in linears)
        if gain is None:
            return Segment(linears, neuron, ((None, 1.0),), False, biased)
        if gain.mantissas is None:
            self._factor = trimmed(gain.used)
            line = factor_number(self._lines, self._factor) if biased else None
            return Segment(linears, neuron, ((line, 1.0),), False, biased)
        planes = [
            (None if p.all() else factor_number(self._lines, trimmed(p)), weight)
            for p, weight in gain.planes()
        ]
        if all(line is None for line, _ in planes):
            # A gain that never changes is a factor of the weights.
            whole = sum(weight for _, weight in planes)
            return Segment(linears, neuron, ((None, whole),), False, biased)
        return Segment(linears, neuron, tuple(planes), True, biased)

    def _rewrite(self, segment: Segment, source: str, carried: list[int], later: list[int]) -> None:
        names = [*segment.linears, segment.neuron]
        self.edges.remove((source, names[0]))
        weights = [segment.planes[0][1]]
        if segment.gated:
            kept = sorted(segment.bias_lines.union(later))
            source = self._gate(segment, source, carried, kept)
            weights, carried = [weight for _, weight in segment.planes], kept
        node = self.nodes[segment.neuron]
        metadata = {key: value for key, value in node.metadata.items() if key != GAIN_KEY}
        node = dataclasses.replace(node, metadata=metadata)
        node, strength = with_relays(node, len(later), self.graph.contract)
        self.nodes[segment.neuron] = node
        self.relay_neurons += len(later)
        direct = weights == [1.0] and carried == later and strength == 1
        if not segment.linears and not direct:
            names.insert(0, fresh_name(f"{segment.neuron}_sum", set(self.nodes)))
            self.nodes[names[0]] = Linear(np.eye(self.graph.shapes[segment.neuron][0][0]))
            self.edges.append((names[0], segment.neuron))
        self.edges.append((source, names[0]))
        for name in names[:-1]:
            last = name == names[-2]
            out = dict.fromkeys(later, strength) if last else dict.fromkeys(carried, 1.0)
            self.nodes[name] = _widened(self.nodes[name], segment, weights, carried, out)
            weights, carried = [1.0], list(out)

    def _gate(self, segment: Segment, source: str, carried: list[int], kept: list[int]) -> str:
        """Put AND neurons behind ``source``: its spikes once per plane, then the lines kept."""
        size = self.graph.shapes[source][1][0]
        count = len(segment.planes) * size
        weight = np.zeros((count + len(kept), size + len(carried)))
        for number, (line, _) in enumerate(segment.planes):
            rows = slice(number * size, (number + 1) * size)
            weight[rows, :size] = np.eye(size) * (AND_RELAY_WEIGHT if line is None else 1)
            if line is not None:
                weight[rows, size + carried.index(line)] = 1
        for row, line in enumerate(kept, start=count):
            weight[row, size + carried.index(line)] = AND_RELAY_WEIGHT
        spread = fresh_name(f"{source}_spread", set(self.nodes))
        self.nodes[spread] = Linear(weight)
        name = fresh_name(f"{source}_and", set(self.nodes))
        self.nodes[name] = and_neuron((len(weight),), self.graph.contract)
        self.edges += [(source, spread), (spread, name)]
        self.and_neurons += count
        self.relay_neurons += len(kept)
        return name


def _bias(node: Node) -> FloatArray:
    if isinstance(node, Affine):
        return np.asarray(node.bias, dtype=np.float64)
    return np.zeros(0)


def _widened(
    node: Node,
    segment: Segment,
    weights: list[float],
    carried: list[int],
    out: dict[int, float],
) -> Node:
    """Return a linear node that takes one copy of its input per weight, and passes lines on.

    ``out`` are the lines passed on, each times its number.
    Its bias becomes weights of the lines whose factor it must follow.
    """
    bias = _bias(node)
    always = sum(weight for line, weight in segment.planes if line is None)
    varying = [(line, weight) for line, weight in segment.planes if line is not None]
    follows = bool(bias.any()) and (always != 1 or bool(varying))
    if not (carried or out or follows) and weights == [1.0]:
        return node
    if not isinstance(node, (Affine, Linear)):
        raise TypeError(f"{type(node).__name__} is no matrix")  # sequential_path lets none in
    matrix = np.asarray(node.weight, dtype=np.float64)
    rows, columns = matrix.shape[0], matrix.shape[1] * len(weights)
    wide = np.zeros((rows + len(out), columns + len(carried)))
    wide[:rows, :columns] = np.hstack([matrix * weight for weight in weights])
    for row, (line, strength) in enumerate(out.items(), start=rows):
        wide[row, columns + carried.index(line)] = strength
    if not bias.any():
        return Linear(wide, metadata=node.metadata)
    for line, weight in varying:
        wide[:rows, columns + carried.index(line)] += bias * weight
    if not always:
        return Linear(wide, metadata=node.metadata)
    return Affine(wide, np.concatenate([bias * always, np.zeros(len(out))]), metadata=node.metadata)
