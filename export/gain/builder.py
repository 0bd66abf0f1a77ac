"""Copying what feeds a DLIF node, once per plane of its gain.

A plane is a factor per step: 0 or 1 (one bit) for spikes, which an AND neuron lets through or not,
or any number for the input, which the stimulus then carries. All linear nodes between there and
the DLIF node are copied, their weights times the plane's weight, and their biases become weights
of a line that carries the same factor. The sum over all planes is the gain times the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.gain.graph import GAIN_KEY, GainGraph, fresh_name, is_linear
from neurodeploy.export.gain.layout import factor_number, trimmed
from neurodeploy.export.gain.neuron import and_neuron
from neurodeploy.export.gain.quantisation import FloatArray, NodeGain
from neurodeploy.graph.nodes import Affine, Conv1d, Conv2d, Input, Linear, Node, Scale, Shape

#: What feeds a node: another node, or (a number) a block of input channels.
Feed: TypeAlias = str | int
ALWAYS = np.ones(1)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One copy: of the spikes or of the graded input, its factor per step, and its weight."""

    of_input: bool
    factor: FloatArray
    weight: float
    with_bias: bool
    label: str

    @property
    def key(self) -> tuple[bool, bool, bytes]:
        """What two DLIF nodes must have in common to share copies."""
        return self.of_input, self.with_bias, self.factor.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Carrier:
    """Node that gives ``sum_l terms[l][k] * line l`` to channel k of ``shape``.

    With more than one axis, all places of a channel get the same. ``on_behalf`` is the node that
    messages name.
    """

    shape: Shape
    terms: Mapping[int, FloatArray]
    on_behalf: str


class PortableBuilder:
    """Grows the portable graph; ``gain_wiring.wire`` then lays its input out.

    ``block_feeds`` are edges from a block of input channels, ``carriers`` nodes yet to be made:
    both need the final number of channels.
    """

    def __init__(self, graph: GainGraph, *, binary_input: bool) -> None:
        self.graph, self.binary_input = graph, binary_input
        self.nodes: dict[str, Node] = dict(graph.nodes)
        self.edges: list[tuple[str, str]] = list(graph.edges)
        self.blocks: list[FloatArray] = []
        self.lines: list[FloatArray] = []
        self.block_feeds: list[tuple[int, str]] = []
        self.carriers: dict[str, Carrier] = {}
        self.copies_of: dict[str, list[str]] = {}
        self.and_neurons = self.relay_neurons = 0
        self._gates: dict[tuple[Shape, int], str] = {}
        self._ands: dict[tuple[str, int], str] = {}
        self._copies: dict[tuple[str, tuple[bool, bool, bytes], float], list[Feed]] = {}

    def replace_gain(self, gain: NodeGain) -> None:
        """Feed the node with its planes instead, and take the gain out of its metadata."""
        name = gain.name
        node = self.nodes[name]
        self.edges = [edge for edge in self.edges if edge[1] != name]
        metadata = {key: value for key, value in node.metadata.items() if key != GAIN_KEY}
        self.nodes[name] = dataclasses.replace(node, metadata=metadata)
        for plane in self._planes(gain):
            for source in self.graph.sources_of(name):
                for feed in self._copied(source, plane, plane.weight):
                    self.connect(feed, name)

    def _planes(self, gain: NodeGain) -> list[Plane]:
        spiking, graded = self.leaves(gain.name)
        planes = []
        for pattern, weight in gain.planes():
            bit = int(np.log2(weight)) + gain.exponent
            planes.append(Plane(False, trimmed(pattern), weight, True, f"bit{bit}"))
        if graded or not spiking:
            planes.append(Plane(True, trimmed(gain.used), 1.0, not spiking, "stimulus"))
        return planes

    def leaves(self, name: str) -> tuple[list[str], list[str]]:
        """Return the spiking nodes and the graded inputs whose signals reach node ``name``.

        Raises
        ------
        UnsupportedNodeError
            For any other signal.
        """
        spiking: list[str] = []
        graded: list[str] = []
        seen: set[str] = set()
        front = list(self.graph.sources_of(name))
        while front:
            at = front.pop()
            if at in seen:
                continue
            seen.add(at)
            node = self.graph.nodes[at]
            if self.graph.is_binary(at, binary_input=self.binary_input):
                spiking.append(at)
            elif isinstance(node, Input):
                graded.append(at)
            elif is_linear(node):
                front += self.graph.sources_of(at)
            else:
                raise UnsupportedNodeError(
                    f"node {name!r}: its gain multiplies what {at!r} ({type(node).__name__}) "
                    "sends, which is not 0 or 1 per step, so no neuron can gate it; "
                    "use the metadata form"
                )
        return spiking, graded

    def _copied(self, name: str, plane: Plane, weight: float) -> list[Feed]:
        """Return the feeds whose sum is a node's output times ``weight`` and the plane's factor."""
        key = (name, plane.key, weight)
        if key not in self._copies:
            self._copies[key] = self._copy(name, plane, weight)
        return self._copies[key]

    def _copy(self, name: str, plane: Plane, weight: float) -> list[Feed]:
        node = self.graph.nodes[name]
        binary = self.graph.is_binary(name, binary_input=self.binary_input)
        if binary or isinstance(node, Input):
            if binary == plane.of_input:
                return []  # Another plane carries this signal.
            feed = self._gated(name, plane) if binary else self.block(plane.factor)
            return [feed if weight == 1 else self._scaled(feed, name, plane, weight)]
        has_weight = isinstance(node, (Affine, Linear, Scale, Conv1d, Conv2d))
        below = [
            feed
            for source in self.graph.sources_of(name)
            for feed in self._copied(source, plane, 1.0 if has_weight else weight)
        ]
        feeds: list[Feed] = []
        if below:
            feeds.append(self._add(f"{name}_{plane.label}", _without_bias(node, weight), below))
            self.copies_of.setdefault(name, []).append(str(feeds[0]))
        if plane.with_bias and isinstance(node, (Affine, Conv1d, Conv2d)) and node.bias.any():
            bias = np.asarray(node.bias, dtype=np.float64) * weight
            feeds.append(self._carry("bias", self.graph.shapes[name][1], bias, plane.factor, name))
        return feeds

    def _gated(self, name: str, plane: Plane) -> Feed:
        """Return the spikes of node ``name`` where the plane's factor is 1."""
        feed = self.block(ALWAYS) if name == self.graph.input_name else name
        if plane.factor.all():
            return feed
        key = (name, factor_number(self.lines, plane.factor))
        if key not in self._ands:
            shape = self.graph.shapes[name][1]
            if (shape, key[1]) not in self._gates:
                ones = np.ones(shape[0])
                self._gates[shape, key[1]] = self._carry("gate", shape, ones, plane.factor, name)
            node = and_neuron(shape, self.graph.contract)
            feeds = [feed, self._gates[shape, key[1]]]
            self._ands[key] = self._add(f"{name}_and{key[1]}", node, feeds)
            self.and_neurons += int(np.prod(shape))
        return self._ands[key]

    def _scaled(self, feed: Feed, name: str, plane: Plane, weight: float) -> str:
        """Return a node that multiplies by ``weight`` (Scale would do, but few tools read it)."""
        last = self.graph.shapes[name][1][-1]
        return self._add(f"{name}_{plane.label}", Linear(np.eye(last) * weight), [feed])

    def _carry(
        self, what: str, shape: Shape, values: FloatArray, factor: FloatArray, on_behalf: str
    ) -> str:
        line = factor_number(self.lines, factor)
        name = self.fresh(f"{on_behalf}_{what}{line}")
        self.carriers[name] = Carrier(shape, {line: values}, on_behalf)
        return name

    def _add(self, base: str, node: Node, feeds: list[Feed]) -> str:
        name = self.fresh(base)
        self.nodes[name] = node
        for feed in feeds:
            self.connect(feed, name)
        return name

    def fresh(self, base: str) -> str:
        """Return a name that no node has yet."""
        name: str = fresh_name(base, {*self.nodes, *self.carriers})
        return name

    def connect(self, feed: Feed, target: str) -> None:
        """Add an edge from a node, or from a block of input channels."""
        if isinstance(feed, int):
            self.block_feeds.append((feed, target))
        else:
            self.edges.append((feed, target))

    def block(self, factor: FloatArray) -> int:
        """Return the number of the input block that carries the input times ``factor``."""
        return factor_number(self.blocks, factor)


def _without_bias(node: Node, weight: float) -> Node:
    """Return a copy of a linear node, its weights times ``weight`` (a power of two, so exact)."""
    if isinstance(node, (Affine, Linear)):
        return Linear(np.asarray(node.weight, dtype=np.float64) * weight)
    if isinstance(node, Scale):
        return Scale(np.asarray(node.scale, dtype=np.float64) * weight)
    if isinstance(node, (Conv1d, Conv2d)):
        return dataclasses.replace(
            node,
            weight=np.asarray(node.weight, dtype=np.float64) * weight,
            bias=np.zeros(node.weight.shape[0]),
        )
    return node
