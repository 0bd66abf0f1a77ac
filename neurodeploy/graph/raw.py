"""A graph as it was found, before anything is interpreted: the same for files and for objects.

Nested graphs are scopes beside each other, not inside each other, so that deep nesting costs no
recursion. A node's flat name is "outer/inner".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Longest node name, in characters.
MAX_NAME: Final = 512
#: A field whose value could not be read; a finding says why.
BROKEN: Final = object()


@dataclass(frozen=True, slots=True, eq=False)
class RawNode:
    """A node's type word and fields: numpy arrays, strings, ``BROKEN``, or None where unset.

    ``kind`` is empty where there is none; a finding says so.
    """

    name: str
    kind: str
    values: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RawScope:
    """One NIRGraph: its members by local name (a RawNode, or the name of a scope), and edges.

    ``name`` is flat, and empty for the outermost graph; edges use local names. ``is_whole`` is
    False where the edges could not be read.
    """

    name: str
    members: Mapping[str, RawNode | str]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class RawGraph:
    """All scopes by flat name, the outermost (name "") first. ``version`` is the writer's."""

    scopes: Mapping[str, RawScope]
    version: str | None = None

    @property
    def top(self) -> RawScope:
        """The outermost graph."""
        return self.scopes[""]

    def nodes(self) -> Iterator[RawNode]:
        """Yield the nodes of all scopes."""
        for scope in self.scopes.values():
            for member in scope.members.values():
                if isinstance(member, RawNode):
                    yield member


def inner_name(scope: str, name: str) -> str:
    """Return the flat name of ``name`` inside ``scope``."""
    return f"{scope}/{name}" if scope else name
