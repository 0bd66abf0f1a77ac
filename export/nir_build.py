"""From the traced network to NIR nodes: weights rearranged, batch norm and mean gains folded in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir_arrays import (
    channel_factor,
    flatten_axes,
    linear_arrays,
    pattern_matrix,
    shape_text,
)
from neurodeploy.export.nir_delays import LaggedEdge, edges_without_delay
from neurodeploy.export.nir_linear import array
from neurodeploy.export.nir_rows import Pattern
from neurodeploy.export.nir_settle import Edge, TracedNetwork, TraceNode

FloatArray: TypeAlias = NDArray[np.float64]


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
    shapes: dict[str, tuple[int, ...]]


def build(network: TracedNetwork) -> BuiltGraph:
    """Write the network as NIR nodes.

    Raises
    ------
    UnsupportedNodeError
        If a rearrangement of values has no NIR form; it names the module.
    """
    builder = _Builder(network)
    return builder.graph()


@dataclass(slots=True, eq=False)
class _Fold:
    """Factors [channels] and shifts to put into a linear operation's weights."""

    scale: FloatArray
    shift: FloatArray


@dataclass(slots=True, eq=False)
class _Builder:
    network: TracedNetwork
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    states: dict[str, bool] = field(default_factory=dict)
    edges: list[LaggedEdge] = field(default_factory=list)
    made: dict[Any, list[str]] = field(default_factory=dict)
    neurons: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    planned: dict[int, str] = field(default_factory=dict)

    def graph(self) -> BuiltGraph:
        """Build everything the output needs."""
        source = self.network.nodes[self.network.input]
        self._plan_names()
        self._add("input", nir.Input({"input": np.array(source.shape)}), source.shape)
        output = self._output()
        plain = edges_without_delay(self.states, self.edges, "input")
        edges: list[tuple[str, str]] = []
        delays: dict[tuple[str, int], str] = {}
        for edge in self.edges:
            begin, end, lag = edge
            if lag and edge not in plain:
                if (begin, lag) not in delays:
                    delays[begin, lag] = self._delay(begin, lag)
                    edges.append((begin, delays[begin, lag]))
                begin = delays[begin, lag]
            edges.append((begin, end))
        shape = self.shapes[output]
        self.nodes["output"] = nir.Output({"output": np.array(shape or (1,))})
        edges.append((output, "output"))
        return BuiltGraph(self.nodes, edges, self.neurons, output, self.shapes)

    # -- nodes ---------------------------------------------------------------------------------

    def _add(
        self, name: str, node: nir.NIRNode, shape: tuple[int, ...], state: bool = False
    ) -> str:
        self.nodes[name] = node
        self.shapes[name] = shape
        self.states[name] = state
        return name

    def _name(self, kind: str, path: str) -> str:
        """Name a node after its attribute in the model, or by kind and number."""
        parts = [p for p in path.split(".")[1:] if p not in ("lifted_module", "module")]
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

    def _planned(self, node: TraceNode, label: str) -> str:
        """Return the name planned for a node, or one like it if that is in use."""
        planned = self.planned.pop(node.number, None)
        return self._name(label, node.path) if planned is None else planned

    def _plan_names(self) -> None:
        """Give every node its name in the order in which the model ran."""
        for number in sorted(self.network.nodes):
            node = self.network.nodes[number]
            label = _label(node)
            if label is not None:
                self.planned[number] = self._name(label, node.path)

    def _reserve(self, label: str, node: TraceNode) -> str:
        """Take a name and a shape for a node that is filled in later."""
        return self._add(self._planned(node, label), None, node.shape)

    def _fill(self, name: str, node: nir.NIRNode) -> None:
        # Last in order, so that a node stands after its sources where there is no cycle.
        self.nodes.pop(name)
        self.nodes[name] = node

    def _delay(self, source: str, lag: int) -> str:
        shape = self.shapes[source]
        delay = np.full(shape or (1,), lag * self.network.dt)
        return self._add(self._name("delay", "model"), nir.Delay(delay=delay), shape, True)

    def _connect(self, sources: Sequence[str], target: str, lag: int = 0) -> None:
        self.edges += [(source, target, lag) for source in sources]

    # -- walking -------------------------------------------------------------------------------

    def _instance(
        self, number: int, shift: int, zero: int | None, fold: _Fold | None = None
    ) -> list[str]:
        """Return the names whose sum is node ``number``, evaluated ``shift`` steps late."""
        node = self.network.nodes[number]
        key = (number, shift if node.operation is not None else 0)
        if key in self.made:
            if not self.made[key]:
                raise UnsupportedNodeError(
                    f"{node.path}: a batch norm inside a loop of late sources"
                )
            return self.made[key]
        if number == self.network.input:
            self.made[key] = ["input"]
        elif node.neuron is not None:
            self._neuron(node, key)
        elif node.operation is not None and node.operation.kind == "norm":
            self._norm(node, key, shift, zero)
        elif node.operation is not None:
            self._operation(node, key, shift, zero, fold)
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
        if before is not None or (node.operation.keeps_zero and node.constant is None):
            return self._instance(edge.source, lag, before, fold), 0
        return self._instance(edge.source, 0, None, fold), lag

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

    def _factor_fold(self, pattern: Pattern, members: Sequence[Edge]) -> _Fold | None:
        """Return factors that go into the weights of the only source, or None."""
        node = self.network.nodes[members[0].source]
        plain = Pattern(pattern.feature, np.ones_like(pattern.factor))
        weights = node.operation is not None and node.operation.kind in ("linear", "conv")
        whole = plain.is_identity(math.prod(node.shape))
        if pattern.is_plain or not weights or not whole or len(members) > 1:
            return None
        if self._readers(members[0].source) > 1:
            return None
        factor = pattern.factor.reshape(node.shape[0], -1)
        if (factor != factor[:, :1]).any():
            return None
        return _Fold(factor[:, 0], np.zeros(node.shape[0]))

    # -- operations ----------------------------------------------------------------------------

    def _operation(
        self, node: TraceNode, key: Any, shift: int, zero: int | None, fold: _Fold | None
    ) -> None:
        operation = node.operation
        if operation is None:
            return
        kind = operation.kind
        label = _label(node) or kind
        groups: dict[bytes, list[Edge]] = {}
        for edge in node.edges:
            groups.setdefault(edge.pattern.key, []).append(edge)
        # Names first: a cycle comes back here before the sources are all known.
        names = [self._reserve(label, node) for _ in groups]
        self.made[key] = names
        for number, members in enumerate(groups.values()):
            pattern = members[0].pattern
            sources = [self._reach(e, shift, zero) for e in members]
            constant = node.constant if number == 0 else None
            if kind == "linear":
                made = self._linear(node, pattern, sources, constant, number == 0, fold)
            else:
                uniform = _uniform(pattern) if kind == "conv" else 1.0
                plain = (
                    pattern if uniform == 1 else Pattern(pattern.feature, pattern.factor * 0 + 1)
                )
                sources = self._arranged(node, plain, members, sources)
                if constant is not None:
                    sources = [([self._offset(node, constant / uniform, sources)], 0)]
                made = self._spatial(node, number == 0, fold, uniform)
            self._fill(names[number], made)
            for begin, lag in sources:
                self._connect(begin, names[number], lag)

    def _linear(
        self,
        node: TraceNode,
        pattern: Pattern,
        sources: list[tuple[list[str], int]],
        constant: FloatArray | None,
        with_bias: bool,
        fold: _Fold | None,
    ) -> nir.NIRNode:
        parameters = node.operation.parameters if node.operation else {}
        weight, bias = linear_arrays(parameters, with_bias)
        if constant is not None:
            bias = bias + weight @ constant.reshape(-1)
        width = math.prod(self.shapes[sources[0][0][0]])
        if not pattern.is_identity(width):
            weight = weight @ pattern_matrix(pattern, width)
        if fold is not None:
            weight, bias = weight * fold.scale[:, None], bias * fold.scale
            bias = bias + fold.shift if with_bias else bias
        for number, (names, lag) in enumerate(sources):
            if len(self.shapes[names[0]]) != 1:
                sources[number] = ([self._flatten(names, lag, (width,))], 0)
        return nir.Affine(weight=weight, bias=bias)

    def _spatial(
        self, node: TraceNode, with_bias: bool, fold: _Fold | None, factor: float
    ) -> nir.NIRNode:
        operation = node.operation
        if operation is None:
            raise UnsupportedNodeError(f"{node.path}: no operation")
        p = operation.parameters
        if operation.kind == "average pool":
            return nir.AvgPool2d(*(np.array(p[n]) for n in ("kernel", "stride", "padding")))
        if operation.kind == "sum pool":
            return nir.SumPool2d(*(np.array(p[n]) for n in ("kernel", "stride", "padding")))
        weight, bias = linear_arrays(p, with_bias)
        weight = weight * factor
        if fold is not None:
            weight = weight * fold.scale.reshape(-1, *(1,) * (weight.ndim - 1))
            bias = bias * fold.scale + (fold.shift if with_bias else 0)
        return _conv(node.taken[1:], weight, bias, p)

    def _norm(self, node: TraceNode, key: Any, shift: int, zero: int | None) -> None:
        operation = node.operation
        if operation is None:
            return
        fold = _Fold(array(operation.parameters["scale"]), array(operation.parameters["shift"]))
        one = len(node.edges) == 1 and node.constant is None
        if one and self._foldable(node.edges):
            edge = node.edges[0]
            inner = self._inner_zero(edge, zero) if zero is not None else edge.before
            self.made[key] = []
            self.made[key] = self._instance(edge.source, shift, inner, fold)
            return
        sources = self._joined(node, shift, zero)
        shift_by = fold.shift
        name = self._planned(node, "norm")
        self._add(name, _diagonal(node.shape, fold.scale, shift_by), node.shape)
        self.made[key] = [name]
        for begin, lag in sources:
            self._connect(begin, name, lag)

    # -- neurons -------------------------------------------------------------------------------

    def _neuron(self, node: TraceNode, key: Any) -> None:
        neuron = node.neuron
        if neuron is None:
            return
        name = self._planned(node, _label(node) or "lif")
        self.made[key] = [name]
        self.neurons[name] = node.number
        self._add(name, None, node.shape, True)
        mean = None if neuron.gain is None else float(neuron.gain.mean())
        sources: list[tuple[list[str], int]] | None = None
        if mean is not None and node.constant is None and self._foldable(node.edges):
            sources = []
            for edge in node.edges:
                channels = self.network.nodes[edge.source].shape[0]
                fold = _Fold(np.full(channels, mean), np.zeros(channels))
                sources.append((self._instance(edge.source, 0, None, fold), 0))
            mean = None
        if sources is None:
            sources = self._joined(node, 0, None)
        if mean is not None:
            diagonal = _diagonal(node.shape, np.full(node.shape[0], mean), np.zeros(node.shape[0]))
            before = self._add(f"{name}_gain", diagonal, node.shape)
            for begin, lag in sources:
                self._connect(begin, before, lag)
            sources = [([before], 0)]
        for begin, lag in sources:
            self._connect(begin, name, lag)
        arrays = {k: np.array(v, dtype=np.float64) for k, v in neuron.parameters.items()}
        self._fill(name, getattr(nir, neuron.kind)(**arrays))

    def _joined(self, node: TraceNode, shift: int, zero: int | None) -> list[tuple[list[str], int]]:
        """Return the sources of a node that takes values as they are (no weights of its own)."""
        sources = []
        groups: dict[bytes, list[Edge]] = {}
        for edge in node.edges:
            groups.setdefault(edge.pattern.key, []).append(edge)
        for members in groups.values():
            pattern = members[0].pattern
            fold = self._factor_fold(pattern, members)
            reached = [self._reach(e, shift, zero, fold) for e in members]
            if fold is not None:
                pattern = Pattern(pattern.feature, np.ones_like(pattern.factor))
            sources += self._arranged(node, pattern, members, reached)
        if node.constant is not None and node.constant.any():
            sources = [([self._offset(node, node.constant, sources)], 0)]
        return sources

    # -- rearranging ---------------------------------------------------------------------------

    def _arranged(
        self,
        node: TraceNode,
        pattern: Pattern,
        members: Sequence[Edge],
        sources: list[tuple[list[str], int]],
    ) -> list[tuple[list[str], int]]:
        """Insert what turns the sources into the input the node takes."""
        given = self.shapes[sources[0][0][0]]
        width = math.prod(given)
        plain = Pattern(pattern.feature, np.ones_like(pattern.factor))
        if pattern.is_identity(width) and given == node.taken:
            return sources
        if plain.is_identity(width):
            if given != node.taken:
                sources = [
                    ([self._flatten(n, lag, node.taken, node.path)], 0) for n, lag in sources
                ]
            if pattern.is_plain:
                return sources
            factor = pattern.factor.reshape(node.taken)
            name = self._add(self._name("scale", "model"), nir.Scale(scale=factor), node.taken)
        elif len(node.taken) == 1:
            # A choice or sum of values: a matrix of zeros and factors.
            matrix = pattern_matrix(pattern, width)
            sources = [
                (n, lag) if len(given) == 1 else ([self._flatten(n, lag, (width,))], 0)
                for n, lag in sources
            ]
            made = nir.Affine(weight=matrix, bias=np.zeros(matrix.shape[0]))
            name = self._add(self._name("pick", "model"), made, node.taken)
        else:
            chosen = channel_factor(pattern, node.taken, given)
            if chosen is None:
                origin = self.network.nodes[members[0].source].path
                raise UnsupportedNodeError(
                    f"{node.path}: reads the values of {origin} in another order or number "
                    f"(shape {shape_text(given)} as {shape_text(node.taken)}); NIR can flatten "
                    "axes, not rearrange them"
                )
            name = self._add(self._name("pick", "model"), chosen, node.taken)
        for begin, lag in sources:
            self._connect(begin, name, lag)
        return [([name], 0)]

    def _flatten(
        self, names: list[str], lag: int, wanted: tuple[int, ...], path: str = "model"
    ) -> str:
        given = self.shapes[names[0]]
        key = ("flatten", tuple(names), lag, wanted)
        if key not in self.made:
            axes = flatten_axes(given, wanted)
            if axes is None:
                raise UnsupportedNodeError(
                    f"{path}: takes shape {shape_text(wanted)} from {shape_text(given)}; NIR can "
                    "flatten axes, not split them"
                )
            node = nir.Flatten(
                input_type={"input": np.array(given)}, start_dim=axes[0], end_dim=axes[1]
            )
            name = self._add(self._name("flatten", "model"), node, wanted)
            self._connect(names, name, lag)
            self.made[key] = [name]
        return self.made[key][0]

    def _offset(
        self, node: TraceNode, constant: FloatArray, sources: list[tuple[list[str], int]]
    ) -> str:
        """Insert a node that adds a constant."""
        values = constant.reshape(node.taken)
        per_channel = values.reshape(node.taken[0], -1)
        if (per_channel != per_channel[:, :1]).any():
            raise UnsupportedNodeError(
                f"{node.path}: a constant of shape {shape_text(node.taken)} is added to its input; "
                "NIR can add one number per channel"
            )
        made = _diagonal(node.taken, np.ones(node.taken[0]), per_channel[:, 0])
        name = self._add(self._name("offset", "model"), made, node.taken)
        for begin, lag in sources:
            self._connect(begin, name, lag)
        return name

    # -- output --------------------------------------------------------------------------------

    def _output(self) -> str:
        """Return the node the read-out looks at; a linear one at the end is called readout."""
        node = self.network.nodes[self.network.output]
        if self.network.membrane:
            node = dataclasses.replace(node, constant=None)
        sources = self._joined(node, 0, None)
        single = len(sources) == 1 and len(sources[0][0]) == 1 and not sources[0][1]
        name = sources[0][0][0]
        spikes = name in self.neurons and not self._kind(name).endswith("LI")
        if not single or name == "input" or (self.network.maximum and spikes):
            zeros = np.zeros(node.taken[0] if node.taken else 1)
            made = _diagonal(node.taken or (1,), zeros + 1, zeros)
            self._add("readout", made, node.taken)
            for begin, lag in sources:
                self._connect(begin, "readout", lag)
            return "readout"
        last = any(begin == name for begin, _, _ in self.edges)
        if not self.states[name] and not last and name[:-1].rstrip("0123456789") in _KINDS:
            self._rename(name, "readout")
            return "readout"
        return name

    def _kind(self, name: str) -> str:
        neuron = self.network.nodes[self.neurons[name]].neuron
        return "" if neuron is None else neuron.kind

    def _rename(self, old: str, new: str) -> None:
        self.nodes[new] = self.nodes.pop(old)
        self.shapes[new] = self.shapes.pop(old)
        self.states[new] = self.states.pop(old)
        self.edges = [
            (new if a == old else a, new if b == old else b, lag) for a, b, lag in self.edges
        ]


def _uniform(pattern: Pattern) -> float:
    """Return the factor that all values share, or 1."""
    factors = set(pattern.factor[pattern.feature >= 0].tolist())
    return float(factors.pop()) if len(factors) == 1 and 0 not in factors else 1.0


def _label(node: TraceNode) -> str | None:
    """Return the kind of a node as names say it; a batch norm has none, being folded mostly."""
    if node.neuron is not None:
        return {"LIF": "lif", "CubaLIF": "lif", "IF": "if"}.get(node.neuron.kind, "li")
    if node.operation is None or node.operation.kind == "norm":
        return None
    return {"linear": "affine", "conv": "conv"}.get(node.operation.kind, "pool")


_TAKEN = ("input", "output", "readout")
_KINDS = ("affine", "conv", "pool", "scale", "pick", "offset", "norm")


def _conv(
    size: tuple[int, ...], weight: FloatArray, bias: FloatArray, parameters: Any
) -> nir.NIRNode:
    padding = parameters["padding"]
    if weight.ndim == 3:
        return nir.Conv1d(
            input_shape=int(size[0]),
            weight=weight,
            stride=int(parameters["stride"][0]),
            padding=padding if isinstance(padding, str) else int(padding[0]),
            dilation=int(parameters["dilation"][0]),
            groups=int(parameters["groups"]),
            bias=bias,
        )
    return nir.Conv2d(
        input_shape=(int(size[0]), int(size[1])),
        weight=weight,
        stride=tuple(parameters["stride"]),
        padding=padding if isinstance(padding, str) else tuple(padding),
        dilation=tuple(parameters["dilation"]),
        groups=int(parameters["groups"]),
        bias=bias,
    )


def _diagonal(shape: tuple[int, ...], scale: FloatArray, shift: FloatArray) -> nir.NIRNode:
    """Return a node that multiplies every channel (first axis) by a factor and adds a shift."""
    if len(shape) == 1:
        return nir.Affine(weight=np.diag(scale), bias=shift)
    if len(shape) not in (2, 3):
        raise UnsupportedNodeError(
            f"model: values of shape {shape_text(shape)}; NIR has 1 to 3 axes"
        )
    axes = len(shape) - 1
    parameters = {
        "stride": (1,) * axes,
        "padding": (0,) * axes,
        "dilation": (1,) * axes,
        "groups": shape[0],
    }
    weight = scale.reshape(-1, 1, *(1,) * axes)
    return _conv(shape[1:], weight, shift, parameters)
