"""NetX files of lava-dl (``.net``) to fixed-point networks.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodeploy.export.netx.clock import LayerTime
    from neurodeploy.export.netx.reader import from_netx

__all__ = ["LayerTime", "from_netx"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from neurodeploy.export.netx import clock, reader

        return getattr(clock if name == "LayerTime" else reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
