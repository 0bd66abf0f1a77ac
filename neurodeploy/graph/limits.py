"""How much a graph may hold before the reader refuses it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.hdf5_scan import StoredGroup, stored_arrays

#: Arrays that declare less than this together are never called a compression bomb, in bytes.
EXPANSION_FREE_BYTES = 2**27
#: Largest number of chunks beyond the first of each array; h5py's own choice stays far below.
MAX_CHUNKS = 2**16


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
        Largest ratio of an array's declared size to its size in the file. Arrays beyond it may
        declare 128 MiB together: trained weights hardly compress, a compression bomb does.
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


def check_arrays(tree: StoredGroup, where: str, limits: ReadLimits) -> None:
    """Refuse arrays that were never written, bombs, and arrays cut into very many pieces.

    Each array counts by itself, so that other data in the file cannot hide a bomb.

    Raises
    ------
    FileFormatError
        Naming the array, or the sums.
    """
    declared = stored = pieces = 0
    for item in stored_arrays(tree):
        if item.shape is not None and 0 not in item.shape and not item.is_written:
            raise FileFormatError(
                f"{where}: {item.path} declares shape {item.shape} but no value was ever written; "
                "the tool that wrote it did not finish"
            )
        if item.n_bytes > limits.max_expansion * item.n_stored:
            declared += item.n_bytes
            stored += item.n_stored
        pieces += item.n_chunks - 1
        if pieces > MAX_CHUNKS:
            raise FileFormatError(
                f"{where}: its arrays are cut into more than {MAX_CHUNKS} chunks (at {item.path}: "
                f"{item.n_chunks} of shape {item.chunks}); write it again with larger ones"
            )
    if declared > EXPANSION_FREE_BYTES:
        raise FileFormatError(
            f"{where}: {stored} bytes declare {declared} bytes of data, more than "
            f"{limits.max_expansion} times as much; {limits.how_to_raise('max_expansion')}"
        )
