"""How much a graph may hold before the reader refuses it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from neurodeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds of the NIR reader; every message about one of them names it.

    Parameters
    ----------
    max_bytes : int
        Largest sum of declared array sizes, and largest size of one layer's float64 values.
    max_nodes : int
        Largest number of nodes, nested graphs and their nodes included.
    max_depth : int
        Deepest nesting of graphs.
    max_objects : int
        Largest number of HDF5 groups and datasets.
    max_expansion : int
        Largest ratio of declared size to file size, for files that declare more than 128 MiB:
        trained weights hardly compress, a compression bomb does.
    """

    max_bytes: int = 2**31
    max_nodes: int = 4096
    max_depth: int = 100
    max_objects: int = 100_000
    max_expansion: int = 100

    def __post_init__(self) -> None:
        """Check that every bound is positive."""
        for field in fields(self):
            if getattr(self, field.name) < 1:
                value = getattr(self, field.name)
                raise InputError(f"ReadLimits: {field.name} is {value}; needs 1 or more")

    @property
    def max_edges(self) -> int:
        """Largest number of edges of one graph."""
        return 64 * self.max_nodes

    def how_to_raise(self, name: str) -> str:
        """Say how a caller gets past the bound ``name``."""
        return f"a trusted file can be read with limits=ReadLimits({name}=...)"
