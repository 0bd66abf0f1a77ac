"""Laying out the input of a portable graph: blocks of channels, lines, and what picks them."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.gain.builder import ALWAYS, Carrier, PortableBuilder
from neurodeploy.export.gain.graph import is_linear
from neurodeploy.export.gain.layout import Block, InputLayout
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.graph.nodes import (
    Affine,
    Conv1d,
    Conv2d,
    Delay,
    Flatten,
    Input,
    Linear,
    Node,
    Shape,
)


def wire(builder: PortableBuilder) -> InputLayout:
    """Drop what nothing listens to, lay the input out, and connect it. Changes ``builder``.

    Raises
    ------
    UnsupportedNodeError
        If a line cannot be brought to a node's shape.
    """
    _drop_unheard(builder)
    _keep_names(builder)
    _join_carriers(builder)
    name = builder.graph.input_name
    plain = [target for source, target in builder.edges if source == name]
    builder.edges = [edge for edge in builder.edges if edge[0] != name]
    builder.block_feeds = [
        *((builder.block(ALWAYS), target) for target in plain),
        *builder.block_feeds,
    ]
    layout = _layout(builder, builder.graph.shapes[name][1])
    builder.nodes[name] = Input(shape=layout.portable_shape, metadata=builder.nodes[name].metadata)
    _Wiring(builder, layout).connect()
    return layout


def _drop_unheard(builder: PortableBuilder) -> None:
    """Remove linear nodes and delays that fed a DLIF node and now feed nothing."""
    sent = {source for source, _ in builder.graph.edges}
    while True:
        heard = {source for source, _ in builder.edges}
        unheard = {
            name
            for name in sent & builder.nodes.keys() - heard
            if (is_linear(builder.nodes[name]) or isinstance(builder.nodes[name], Delay))
            and name != builder.graph.contract.readout_node
        }
        if not unheard:
            return
        builder.nodes = {n: node for n, node in builder.nodes.items() if n not in unheard}
        builder.edges = [edge for edge in builder.edges if edge[1] not in unheard]


def _keep_names(builder: PortableBuilder) -> None:
    """Give the only copy of a dropped node that node's name."""
    new = {
        copies[0]: name
        for name, copies in builder.copies_of.items()
        if name not in builder.nodes and len(copies) == 1
    }
    builder.nodes = {new.get(name, name): node for name, node in builder.nodes.items()}
    builder.edges = [(new.get(s, s), new.get(t, t)) for s, t in builder.edges]
    builder.block_feeds = [(block, new.get(t, t)) for block, t in builder.block_feeds]


def _join_carriers(builder: PortableBuilder) -> None:
    """Make one node of carriers that feed the same nodes: the biases of all bits of a layer."""
    listeners: dict[str, list[str]] = {name: [] for name in builder.carriers}
    for source, target in builder.edges:
        if source in listeners:
            listeners[source].append(target)
    groups: dict[tuple[Shape, tuple[str, ...]], list[str]] = {}
    for name, carrier in builder.carriers.items():
        groups.setdefault((carrier.shape, tuple(sorted(listeners[name]))), []).append(name)
    joined = {}
    gone: set[str] = set()
    for names in groups.values():
        first, terms = builder.carriers[names[0]], dict[int, FloatArray]()
        for name in names:
            for line, values in builder.carriers[name].terms.items():
                terms[line] = terms.get(line, 0.0) + values
        joined[names[0]] = dataclasses.replace(first, terms=terms)
        gone |= set(names[1:])
    builder.carriers = joined
    builder.edges = [edge for edge in builder.edges if edge[0] not in gone]


def _layout(builder: PortableBuilder, shape: Shape) -> InputLayout:
    blocks: list[Block] = []
    at = 0
    # The input as it was comes first, so that its channels keep their numbers.
    order = sorted(range(len(builder.blocks)), key=lambda k: not _is_plain(builder.blocks[k]))
    rank = {old: new for new, old in enumerate(order)}
    builder.blocks = [builder.blocks[k] for k in order]
    builder.block_feeds = [(rank[block], target) for block, target in builder.block_feeds]
    for carries, factors in (("input", builder.blocks), ("one", builder.lines)):
        count = shape[0] if carries == "input" else 1
        for factor in factors:
            blocks.append(Block(carries, at, count, factor))
            at += count
    return InputLayout(shape, tuple(blocks))


def _is_plain(factor: FloatArray) -> bool:
    return bool((factor == 1).all())


class _Wiring:
    """Makes the nodes between the input and what listens to it."""

    def __init__(self, builder: PortableBuilder, layout: InputLayout) -> None:
        self.builder, self.layout = builder, layout
        self.input = builder.graph.input_name
        self.channels = layout.portable_shape[0]
        self.first_line = self.channels - len(builder.lines)
        self._picks: dict[int, str] = {}
        self._lines = ""

    def connect(self) -> None:
        """Connect blocks and lines."""
        for block, target in self.builder.block_feeds:
            if self.layout.is_plain:
                self._edge(self.input, target)
            elif self._widens(target):
                self._widen(self.layout.blocks[block], target)
            else:
                self._edge(self._pick(block), target)
        for name, carrier in self.builder.carriers.items():
            flat = len(carrier.shape) == 1
            make = self._flat_carrier if flat else self._plane_carrier
            self.builder.nodes[name] = make(carrier)
            self._edge(self._line_node() if flat else self.input, name)

    def _edge(self, source: str, target: str) -> None:
        self.builder.edges.append((source, target))

    def _widens(self, target: str) -> bool:
        """Whether a target can take the whole input with zero weights for the other channels."""
        node = self.builder.nodes[target]
        feeds = sum(t == target for _, t in self.builder.block_feeds)
        others = any(t == target for _, t in self.builder.edges)
        flat = isinstance(node, (Affine, Linear)) and node.weight.ndim == 2
        return flat and len(self.layout.shape) == 1 and feeds == 1 and not others

    def _widen(self, block: Block, target: str) -> None:
        node = self.builder.nodes[target]
        assert isinstance(node, (Affine, Linear))  # noqa: S101, told by _widens
        weight = np.zeros((node.weight.shape[0], self.channels))
        weight[:, block.first : block.first + block.count] = node.weight
        self.builder.nodes[target] = dataclasses.replace(node, weight=weight)
        self._edge(self.input, target)

    def _pick(self, block: int) -> str:
        """Return a node that sends the channels of one block."""
        if block not in self._picks:
            name = self.builder.fresh(f"{self.input}_block{block}")
            picked = self.layout.blocks[block]
            weight = np.zeros((picked.count, self.channels))
            weight[np.arange(picked.count), picked.first + np.arange(picked.count)] = 1
            self.builder.nodes[name] = _mix_channels(weight, self.layout.portable_shape[1:])
            self._picks[block] = name
            self._edge(self.input, name)
        return self._picks[block]

    def _line_node(self) -> str:
        """Return the node that sends all lines as one vector."""
        if not self._lines:
            weight = np.eye(self.channels)[self.first_line :]
            self._lines = name = self.builder.fresh(f"{self.input}_lines")
            places = self.layout.portable_shape[1:]
            if not places:
                self.builder.nodes[name] = Linear(weight)
                self._edge(self.input, name)
            else:
                # One place of each plane of lines, then no places left to keep apart.
                one = self.builder.fresh(f"{self.input}_line_place")
                self.builder.nodes[one] = _mix_channels(weight, places, stride=places)
                shape = (len(weight), *(1 for _ in places))
                self.builder.nodes[name] = Flatten(input_type=shape, start_dim=0, end_dim=-1)
                self._edge(self.input, one)
                self._edge(one, name)
        return self._lines

    def _flat_carrier(self, carrier: Carrier) -> Node:
        weight = np.zeros((carrier.shape[0], len(self.builder.lines)))
        for line, values in carrier.terms.items():
            weight[:, line] = values
        return Linear(weight)

    def _plane_carrier(self, carrier: Carrier) -> Node:
        """Return a convolution from the input's planes to ``carrier.shape``.

        Every place of a line's plane holds the same number, so one tap per output is enough, and
        kernel and stride only have to give the right number of places.
        """
        places, wanted = self.layout.portable_shape[1:], carrier.shape[1:]
        fits = len(places) == len(wanted) and all(
            w <= p for w, p in zip(wanted, places, strict=False)
        )
        if not fits or any(v.shape != carrier.shape[:1] for v in carrier.terms.values()):
            raise UnsupportedNodeError(
                f"node {carrier.on_behalf!r}: shape {carrier.shape} cannot be reached by a line of "
                f"the input {self.layout.shape}; a line reaches flat nodes, and planes not larger "
                "than the input's; use the metadata form"
            )
        stride = tuple(
            (p - 1) // (w - 1) if w > 1 else p for p, w in zip(places, wanted, strict=True)
        )
        kernel = tuple(
            p - (w - 1) * s if w > 1 else 1 for p, w, s in zip(places, wanted, stride, strict=True)
        )
        weight = np.zeros((carrier.shape[0], self.channels, *kernel))
        for line, values in carrier.terms.items():
            weight.reshape(*weight.shape[:2], -1)[:, self.first_line + line, 0] = values
        return _convolution(weight, places, stride)


def _mix_channels(weight: FloatArray, places: Shape, stride: Shape = ()) -> Node:
    """Return a node that mixes channels at each place; ``weight`` [out, in]."""
    if not places:
        return Linear(weight)
    return _convolution(weight.reshape(*weight.shape, *(1 for _ in places)), places, stride)


def _convolution(weight: FloatArray, places: Shape, stride: Shape = ()) -> Node:
    kind = Conv1d if len(places) == 1 else Conv2d
    return kind(
        input_shape=places,
        weight=weight,
        stride=stride or tuple(1 for _ in places),
        padding=tuple(0 for _ in places),
        dilation=tuple(1 for _ in places),
        groups=1,
        bias=np.zeros(len(weight)),
    )
