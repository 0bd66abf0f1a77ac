"""A checked NIR graph together with its execution contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from neurodeploy.findings import Finding
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.nodes import Input, Node, Output, Shape


class Origin(Protocol):
    """Where a graph came from, able to give it as a NIR file."""

    def content(self) -> bytes:
        """Return the bytes of a NIR file."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A flat graph with all its shapes and a complete contract.

    Parameters
    ----------
    nodes : mapping of name to node
        Nested graphs are inlined: inner nodes are called "outer/inner", an inner Input or Output is
        a Junction, and no Subgraph is left. Nodes that influence nothing are left out.
    edges : tuple of (source, target)
        Between names of ``nodes``.
    shapes : mapping of name to (input shape, output shape)
        Without batch and time; checked along every edge.
    contract : Contract
        ``steps``, ``readout_window`` and ``source_tool`` may be None.
    metadata : mapping
        Of the outermost graph.
    origin : Origin
        The file that was read, or the object.
    findings : tuple of Finding
        What was noticed and assumed on the way; runs of the graph list it again.
    """

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    shapes: Mapping[str, tuple[Shape, Shape]]
    contract: Contract
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    findings: tuple[Finding, ...] = ()
    _sources: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)
    _targets: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Freeze the mappings and index the edges."""
        sources: dict[str, list[str]] = {name: [] for name in self.nodes}
        targets: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            sources[target].append(source)
            targets[source].append(target)
        for name in ("nodes", "shapes", "metadata"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for name, index in (("_sources", sources), ("_targets", targets)):
            frozen = MappingProxyType({key: tuple(ends) for key, ends in index.items()})
            object.__setattr__(self, name, frozen)

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge into ``name``, in file order."""
        return self._sources[name]

    def targets_of(self, name: str) -> tuple[str, ...]:
        """Return the nodes that ``name`` has an edge to, in file order."""
        return self._targets[name]

    @property
    def input_name(self) -> str:
        """The node where the stimulus enters."""
        return next(name for name, node in self.nodes.items() if isinstance(node, Input))

    @property
    def output_name(self) -> str:
        """The node where the result leaves."""
        return next(name for name, node in self.nodes.items() if isinstance(node, Output))

    @property
    def nir_file(self) -> bytes:
        """The graph as the bytes of a NIR file, exactly as read where it came from a file.

        Raises
        ------
        InputError
            If that file has changed since, or is gone.
        """
        return b"" if self.origin is None else self.origin.content()
