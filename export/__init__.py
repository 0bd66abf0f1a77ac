"""Ways out and in: NIR, Lava, NetX. Importing this package imports nothing; names load on use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "neurodeploy.export":
    raise ImportError("this folder is a package of neurodeploy: import neurodeploy.export")

if TYPE_CHECKING:
    from neurodeploy.export.netx import from_netx

__all__ = ["from_netx"]


def __getattr__(name: str) -> Any:
    if name == "from_netx":
        from neurodeploy.export.netx import from_netx

        return from_netx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
