"""Files that hold integers: our own NET.h5, and lava-dl's NetX."""

from __future__ import annotations

from pathlib import Path

from neurodeploy.findings import Result
from neurodeploy.network import FixedPointNetwork, load_network

_OWN = (".h5", ".hdf5")
_NETX = ".net"


def holds_integers(path: str | Path) -> bool:
    """Whether a file of this name holds a fixed-point network, not a graph."""
    return Path(path).suffix in (*_OWN, _NETX)


def read_integers(path: str | Path) -> Result[FixedPointNetwork]:
    """Read a NET.h5 or a NetX file.

    Raises
    ------
    FileFormatError
        If the file is damaged or of another kind.
    UnsupportedNodeError
        For layers of a NetX file that have no place in a network.
    """
    if Path(path).suffix == _NETX:
        from neurodeploy.export.netx import from_netx

        result: Result[FixedPointNetwork] = from_netx(path)
        return result
    return Result(load_network(path))
