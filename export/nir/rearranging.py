"""What stands between a source and a node that reads it in another shape, order or scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import nir
import numpy as np

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.arrays import (
    FloatArray,
    channel_choice,
    diagonal,
    flatten_axes,
    pattern_matrix,
    shape_text,
)
from neurodeploy.export.nir.draft import Draft
from neurodeploy.export.nir.rows import Pattern
from neurodeploy.export.nir.settle import Edge, TraceNode

#: Names whose sum is read, and how many steps late.
Sources: TypeAlias = "list[tuple[list[str], int]]"


@dataclass(frozen=True, slots=True, eq=False)
class ReadGroup:
    """Edges whose sources are read alike: each as the sum of ``patterns``."""

    patterns: tuple[Pattern, ...]
    edges: tuple[Edge, ...]

    @property
    def single(self) -> Pattern | None:
        """The pattern, if there is one only."""
        return self.patterns[0] if len(self.patterns) == 1 else None

    def is_identity(self, width: int) -> bool:
        """Whether all ``width`` values are read as they are."""
        return self.single is not None and self.single.is_identity(width)

    def unscaled(self) -> ReadGroup:
        """Return the same without factors."""
        plain = tuple(Pattern(p.feature, np.ones_like(p.factor)) for p in self.patterns)
        return ReadGroup(plain, self.edges)


def readings(edges: Iterable[Edge]) -> list[ReadGroup]:
    """Group edges that one weight matrix can serve."""
    by_source: dict[tuple[int, int, int | None], list[Edge]] = {}
    for edge in edges:
        by_source.setdefault((edge.source, edge.lag, edge.before), []).append(edge)
    by_patterns: dict[tuple[bytes, ...], list[list[Edge]]] = {}
    for members in by_source.values():
        key = tuple(sorted(edge.pattern.key for edge in members))
        by_patterns.setdefault(key, []).append(members)
    return [
        ReadGroup(tuple(e.pattern for e in alike[0]), tuple(members[0] for members in alike))
        for alike in by_patterns.values()
    ]


def arranged(
    draft: Draft, node: TraceNode, reading: ReadGroup, sources: Sources, origin: str
) -> Sources:
    """Insert what turns the sources into the input that ``node`` takes.

    Raises
    ------
    UnsupportedNodeError
        If NIR has no node for it. ``origin`` is the path of what is read.
    """
    given = draft.shapes[sources[0][0][0]]
    width = math.prod(given)
    single = reading.single
    if reading.is_identity(width) and given == node.taken:
        return sources
    if single is not None and reading.unscaled().is_identity(width):
        if given != node.taken:
            sources = [
                ([flattened(draft, names, lag, node.taken, node.path)], 0) for names, lag in sources
            ]
        if single.is_plain:
            return sources
        made: nir.NIRNode = nir.Scale(scale=single.factor.reshape(node.taken))
        name = draft.add(draft.name("scale"), made, node.taken)
    elif len(node.taken) == 1:
        # A choice or sum of values: a matrix of zeros and factors.
        matrix = pattern_matrix(reading.patterns, width)
        sources = one_axis(draft, sources, width)
        made = nir.Affine(weight=matrix, bias=np.zeros(matrix.shape[0]))
        name = draft.add(draft.name("pick"), made, node.taken)
    else:
        chosen = None if single is None else channel_choice(single, node.taken, given)
        if chosen is None:
            raise UnsupportedNodeError(
                f"{node.path}: reads the values of {origin} in another order or number (shape "
                f"{shape_text(given)} as {shape_text(node.taken)}); NIR can flatten axes, not "
                "rearrange them"
            )
        name = draft.add(draft.name("pick"), chosen, node.taken)
    for names, lag in sources:
        draft.connect(names, name, lag)
    return [([name], 0)]


def one_axis(draft: Draft, sources: Sources, width: int) -> Sources:
    """Flatten sources that have several axes."""
    return [
        (names, lag)
        if len(draft.shapes[names[0]]) == 1
        else ([flattened(draft, names, lag, (width,))], 0)
        for names, lag in sources
    ]


def flattened(
    draft: Draft, names: Sequence[str], lag: int, wanted: tuple[int, ...], path: str = "model"
) -> str:
    """Return a Flatten node on the sum of ``names``; equal ones are made once."""
    given = draft.shapes[names[0]]
    for edge in draft.edges:
        sources = [(a, late) for a, b, late in draft.edges if b == edge[1]]
        alike = isinstance(draft.nodes[edge[1]], nir.Flatten) and draft.shapes[edge[1]] == wanted
        if alike and sources == [(name, lag) for name in names]:
            return edge[1]
    axes = flatten_axes(given, wanted)
    if axes is None:
        raise UnsupportedNodeError(
            f"{path}: takes shape {shape_text(wanted)} from {shape_text(given)}; NIR can flatten "
            "axes, not split them"
        )
    node = nir.Flatten(input_type={"input": np.array(given)}, start_dim=axes[0], end_dim=axes[1])
    name = draft.add(draft.name("flatten"), node, wanted)
    draft.connect(names, name, lag)
    return name


def with_constant(draft: Draft, node: TraceNode, constant: FloatArray, sources: Sources) -> Sources:
    """Insert a node that adds a constant to a node's input.

    Raises
    ------
    UnsupportedNodeError
        If the constant differs within a channel.
    """
    per_channel = constant.reshape(node.taken[0], -1)
    if (per_channel != per_channel[:, :1]).any():
        raise UnsupportedNodeError(
            f"{node.path}: a constant of shape {shape_text(node.taken)} is added to its input; "
            "NIR can add one number per channel"
        )
    made = diagonal(node.taken, np.ones(node.taken[0]), per_channel[:, 0])
    name = draft.add(draft.name("offset"), made, node.taken)
    for names, lag in sources:
        draft.connect(names, name, lag)
    return [([name], 0)]
