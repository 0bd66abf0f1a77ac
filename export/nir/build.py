"""From the traced network to NIR nodes: weights rearranged, batch norm and mean gains folded in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.arrays import (
    FloatArray,
    diagonal,
    linear_arrays,
    pattern_matrix,
    plain_conv,
)
from neurodeploy.export.nir.draft import Draft, kind_of
from neurodeploy.export.nir.linear import array
from neurodeploy.export.nir.rearranging import (
    ReadGroup,
    Sources,
    arranged,
    one_axis,
    readings,
    with_constant,
)
from neurodeploy.export.nir.settle import Edge, TracedNetwork, TraceNode


@dataclass(frozen=True, slots=True, eq=False)
class BuiltGraph:
    """NIR nodes and edges (Delay nodes included) and which trace node each neuron came from.

    ``neurons`` maps node names to numbers of trace nodes; ``output`` is the node whose values are
    the model's, before its read-out.
    """

    nodes: dict[str, nir.NIRNode]
    edges: list[tuple[str, str]]
    neurons: dict[str, int]
    output: str


def build(network: TracedNetwork) -> BuiltGraph:
    """Write the network as NIR nodes.

    Raises
    ------
    UnsupportedNodeError
        If a rearrangement of values has no NIR form; it names the module.
    """
    # An operation in a loop can stand before or after the place where its late source is cut. The
    # first form has fewer nodes, the second always says when a bias acts.
    built = _Builder(network).graph() or _Builder(network, retime=True).graph()
    if built is None:
        raise UnsupportedNodeError("model: a bias in a loop acts at a step that NIR cannot express")
    return built


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    """Factors [channels] and shifts to put into a linear operation's weights."""

    scale: FloatArray
    shift: FloatArray


@dataclass(slots=True, eq=False)
class _Builder:
    """Walks from the output to the input. ``made``: names by (trace node, steps late)."""

    network: TracedNetwork
    retime: bool = False
    draft: Draft = field(default_factory=Draft)
    made: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    neurons: dict[str, int] = field(default_factory=dict)

    def graph(self) -> BuiltGraph | None:
        """Build everything the output needs; None if it must be retimed."""
        shape = self._input_shape()
        self.draft.plan_names(list(self.network.nodes.values()))
        self.draft.add("input", nir.Input({"input": np.array(shape)}), shape)
        output = self._output()
        edges = self.draft.finished_edges(self.network.dt)
        if edges is None:
            return None
        shape = self.draft.shapes[output]
        self.draft.nodes["output"] = nir.Output({"output": np.array(shape or (1,))})
        edges.append((output, "output"))
        return BuiltGraph(dict(self.draft.nodes), edges, self.neurons, output)

    def _input_shape(self) -> tuple[int, ...]:
        """Return the input's shape, with axes split where a reader splits them: NIR cannot."""
        number = self.network.input
        shape = self.network.nodes[number].shape
        width = math.prod(shape)
        for node in self.network.nodes.values():
            for edge in node.edges:
                whole = edge.source == number and edge.pattern.feature.size == width
                in_order = whole and (edge.pattern.feature == np.arange(width)).all()
                if in_order and len(node.taken) > len(shape):
                    shape = node.taken
        return shape

    # -- walking -------------------------------------------------------------------------------

    def _instance(
        self, number: int, shift: int, zero: int | None, fold: _Fold | None = None
    ) -> list[str]:
        """Return the names whose sum is node ``number``, evaluated ``shift`` steps late."""
        node = self.network.nodes[number]
        key = (number, shift if node.operation is not None else 0)
        if key in self.made:
            if not self.made[key]:
                raise UnsupportedNodeError(f"{node.path}: a batch norm in a loop of its own")
            return self.made[key]
        if number == self.network.input:
            self.made[key] = ["input"]
        elif node.neuron is not None:
            self._neuron(node, key)
        elif node.operation is not None and node.operation.kind == "norm":
            self._norm(node, key, zero)
        elif node.operation is not None and node.operation.kind == "max pool":
            self._max_pool(node, key, zero)
        elif node.operation is not None:
            self._operation(node, key, zero, fold)
        return self.made[key]

    def _reach(
        self, edge: Edge, shift: int, zero: int | None, fold: _Fold | None = None
    ) -> tuple[list[str], int]:
        """Return the names that stand for an edge's source and how late they are to be read.

        An operation that was evaluated on zeros before its first source is itself evaluated late,
        so that its bias acts from the first step; else what it gives is delayed.
        """
        node = self.network.nodes[edge.source]
        lag = edge.lag + shift
        before = edge.before
        if zero is not None and before is None:
            before = self._inner_zero(edge, zero)
        if node.operation is None or not lag:
            return self._instance(edge.source, 0, None, fold), lag
        silent = self._silent(edge.source)
        if self.retime and (silent or before is not None):
            return self._instance(edge.source, lag, before, fold), 0
        names = self._instance(edge.source, 0, None, fold)
        if not silent:
            (self.draft.delayed if before is None else self.draft.cut).update(names)
        return names, lag

    def _silent(self, number: int) -> bool:
        """Whether an operation gives zeros while the cells and the input behind it do."""
        node = self.network.nodes[number]
        if node.operation is None:
            return True
        if not node.operation.keeps_zero or node.constant is not None:
            return False
        return all(self._silent(edge.source) for edge in node.edges if edge.source != number)

    def _inner_zero(self, edge: Edge, zero: int) -> int | None:
        operation = self.network.nodes[edge.source].operation
        inner = self.network.zeros[zero][1].get(edge.pattern.key)
        if operation is None or inner is None or self.network.zeros[inner][0] != operation.key:
            return None
        return inner

    def _readers(self, number: int) -> int:
        return sum(e.source == number for n in self.network.nodes.values() for e in n.edges)

    def _foldable(self, edges: Sequence[Edge]) -> bool:
        """Whether all sources are weights read by nobody else, so that factors can go into them."""
        for edge in edges:
            node = self.network.nodes[edge.source]
            plain = edge.pattern.is_identity(math.prod(node.shape)) and not edge.lag
            weights = node.operation is not None and node.operation.kind in ("linear", "conv")
            if not (plain and weights and self._readers(edge.source) == 1):
                return False
        return bool(edges)

    def _factor_fold(self, reading: ReadGroup) -> _Fold | None:
        """Return factors that go into the weights of the only source, or None."""
        single = reading.single
        if single is None or single.is_plain or len(reading.edges) > 1:
            return None
        node = self.network.nodes[reading.edges[0].source]
        weights = node.operation is not None and node.operation.kind in ("linear", "conv")
        whole = reading.unscaled().is_identity(math.prod(node.shape))
        if not weights or not whole or self._readers(node.number) > 1:
            return None
        factor = single.factor.reshape(node.shape[0], -1)
        if (factor != factor[:, :1]).any():
            return None
        return _Fold(factor[:, 0], np.zeros(node.shape[0]))

    # -- operations ----------------------------------------------------------------------------

    def _operation(
        self, node: TraceNode, key: tuple[int, int], zero: int | None, fold: _Fold | None
    ) -> None:
        groups = readings(node.edges)
        kind = kind_of(node) or "node"
        # Names first: a cycle comes back here before the sources are all known.
        self.made[key] = [
            self.draft.add(self.draft.name_of(node, kind), None, node.shape) for _ in groups
        ]
        for number, reading in enumerate(groups):
            name = self.made[key][number]
            sources = [self._reach(e, key[1], zero) for e in reading.edges]
            constant = node.constant if number == 0 else None
            if kind == "affine":
                made, sources = self._linear(node, reading, sources, constant, number == 0, fold)
            else:
                made, sources = self._spatial(node, reading, sources, constant, number == 0, fold)
            self.draft.fill(name, made)
            for names, lag in sources:
                self.draft.connect(names, name, lag)

    def _linear(
        self,
        node: TraceNode,
        reading: ReadGroup,
        sources: Sources,
        constant: FloatArray | None,
        with_bias: bool,
        fold: _Fold | None,
    ) -> tuple[nir.NIRNode, Sources]:
        weight, bias = linear_arrays(_parameters(node), with_bias)
        if constant is not None:
            bias = bias + weight @ constant.reshape(-1)
        width = math.prod(self.draft.shapes[sources[0][0][0]])
        if not reading.is_identity(width):
            weight = weight @ pattern_matrix(reading.patterns, width)
        if fold is not None:
            weight, bias = weight * fold.scale[:, None], bias * fold.scale
            bias = bias + fold.shift if with_bias else bias
        return nir.Affine(weight=weight, bias=bias), one_axis(self.draft, sources, width)

    def _spatial(
        self,
        node: TraceNode,
        reading: ReadGroup,
        sources: Sources,
        constant: FloatArray | None,
        with_bias: bool,
        fold: _Fold | None,
    ) -> tuple[nir.NIRNode, Sources]:
        """Return a convolution or pool, and what it reads after rearranging."""
        p = _parameters(node)
        convolves = kind_of(node) == "conv"
        factor = _uniform(reading) if convolves else 1.0
        reading = reading.unscaled() if factor != 1 else reading
        sources = arranged(self.draft, node, reading, sources, self._origin(reading))
        if constant is not None:
            sources = with_constant(self.draft, node, constant / factor, sources)
        if not convolves:
            average = node.operation is not None and node.operation.kind == "average pool"
            window = (np.array(p[name]) for name in ("kernel", "stride", "padding"))
            return (nir.AvgPool2d if average else nir.SumPool2d)(*window), sources
        weight, bias = linear_arrays(p, with_bias)
        weight = weight * factor
        if fold is not None:
            weight = weight * fold.scale.reshape(-1, *(1,) * (weight.ndim - 1))
            bias = bias * fold.scale + (fold.shift if with_bias else 0)
        options = {n: p[n] for n in ("stride", "padding", "dilation", "groups")}
        return plain_conv(node.taken[1:], weight, bias, options), sources

    def _max_pool(self, node: TraceNode, key: tuple[int, int], zero: int | None) -> None:
        """Write the largest spike of each window: a sum of 0 and 1 that is above a half."""
        name = self.draft.name_of(node, "pool")
        self.made[key] = [self.draft.add(name, None, node.shape, True)]
        groups = readings(node.edges)
        if len(groups) != 1 or len(groups[0].edges) != 1:
            raise UnsupportedNodeError(f"{node.path}: takes the maximum of a sum of spikes")
        sources = [self._reach(edge, key[1], zero) for edge in groups[0].edges]
        made, sources = self._spatial(node, groups[0], sources, node.constant, True, None)
        total = self.draft.add(self.draft.name("pool", f"{node.path}.sum"), made, node.shape)
        for names, lag in sources:
            self.draft.connect(names, total, lag)
        self.draft.connect([total], name)
        self.draft.fill(name, nir.Threshold(threshold=np.full(node.shape, 0.5)))

    def _norm(self, node: TraceNode, key: tuple[int, int], zero: int | None) -> None:
        p = _parameters(node)
        fold = _Fold(array(p["scale"]), array(p["shift"]))
        if len(node.edges) == 1 and node.constant is None and self._foldable(node.edges):
            edge = node.edges[0]
            inner = self._inner_zero(edge, zero) if zero is not None else edge.before
            self.made[key] = []
            self.made[key] = self._instance(edge.source, key[1], inner, fold)
            return
        name = self.draft.name_of(node, "norm")
        self.draft.add(name, diagonal(node.shape, fold.scale, fold.shift), node.shape)
        self.made[key] = [name]
        for names, lag in self._joined(node, key[1], zero):
            self.draft.connect(names, name, lag)

    # -- neurons -------------------------------------------------------------------------------

    def _neuron(self, node: TraceNode, key: tuple[int, int]) -> None:
        neuron = node.neuron
        if neuron is None:
            return
        name = self.draft.name_of(node, kind_of(node) or "lif")
        self.made[key] = [name]
        self.neurons[name] = node.number
        self.draft.add(name, None, node.shape, True)
        if neuron.gain is None:
            sources = self._joined(node, 0, None)
        else:
            sources = self._with_gain(node, name, float(neuron.gain.mean()))
        for names, lag in sources:
            self.draft.connect(names, name, lag)
        arrays = {k: np.array(v, dtype=np.float64) for k, v in neuron.parameters.items()}
        self.draft.fill(name, getattr(nir, neuron.kind)(**arrays))

    def _with_gain(self, node: TraceNode, name: str, mean: float) -> Sources:
        """Multiply the input by a mean gain, in the weights before where nobody else reads them."""
        if node.constant is None and self._foldable(node.edges):
            sources: Sources = []
            for edge in node.edges:
                channels = self.network.nodes[edge.source].shape[0]
                fold = _Fold(np.full(channels, mean), np.zeros(channels))
                sources.append((self._instance(edge.source, 0, None, fold), 0))
            return sources
        channels = node.shape[0]
        made = diagonal(node.shape, np.full(channels, mean), np.zeros(channels))
        before = self.draft.add(f"{name}_gain", made, node.shape)
        for names, lag in self._joined(node, 0, None):
            self.draft.connect(names, before, lag)
        return [([before], 0)]

    def _joined(self, node: TraceNode, shift: int, zero: int | None) -> Sources:
        """Return the sources of a node that takes values as they are (no weights of its own)."""
        sources: Sources = []
        for reading in readings(node.edges):
            fold = self._factor_fold(reading)
            reached = [self._reach(e, shift, zero, fold) for e in reading.edges]
            left = reading if fold is None else reading.unscaled()
            sources += arranged(self.draft, node, left, reached, self._origin(reading))
        if node.constant is not None and node.constant.any():
            sources = with_constant(self.draft, node, node.constant, sources)
        return sources

    def _origin(self, reading: ReadGroup) -> str:
        return self.network.nodes[reading.edges[0].source].path

    # -- output --------------------------------------------------------------------------------

    def _output(self) -> str:
        """Return the node the read-out looks at; a linear one at the end is called readout."""
        node = self.network.nodes[self.network.output]
        if self.network.membrane:
            node = dataclasses.replace(node, constant=None)
        sources = self._joined(node, 0, None)
        name = sources[0][0][0]
        single = len(sources) == 1 and len(sources[0][0]) == 1 and not sources[0][1]
        # A maximum of spikes is read like a value: the contract's own is that of the membrane.
        spikes = self.network.maximum and self._kind(name) in ("LIF", "CubaLIF", "IF")
        if not single or name == "input" or spikes:
            zeros = np.zeros(node.taken[0] if node.taken else 1)
            self.draft.add("readout", diagonal(node.taken or (1,), zeros + 1, zeros), node.taken)
            for names, lag in sources:
                self.draft.connect(names, "readout", lag)
            return "readout"
        numbered = name.rstrip("0123456789") in _NUMBERED and name[-1].isdigit()
        if numbered and not any(begin == name for begin, _, _ in self.draft.edges):
            self.draft.rename(name, "readout")
            return "readout"
        return name

    def _kind(self, name: str) -> str:
        neuron = self.network.nodes[self.neurons[name]].neuron if name in self.neurons else None
        return "" if neuron is None else neuron.kind


#: Kinds of nodes without state that have no name in the model.
_NUMBERED = ("affine", "conv", "pool", "scale", "pick", "offset", "norm", "flatten")


def _parameters(node: TraceNode) -> dict[str, Any]:
    return {} if node.operation is None else dict(node.operation.parameters)


def _uniform(reading: ReadGroup) -> float:
    """Return the factor that all values share, or 1."""
    factors = {float(f) for p in reading.patterns for f in p.factor[p.feature >= 0]}
    return factors.pop() if len(factors) == 1 and 0 not in factors else 1.0
