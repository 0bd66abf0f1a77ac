"""neurodeploy: put robust spiking networks on Loihi's fixed point and check what survives.

The names below load on first use, so that importing the package stays cheap and torch-free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neurodeploy.pipeline.library import (
        deploy,
        from_nir,
        load,
        load_samples,
        quantize,
        read,
        run,
        to_nir,
    )

__all__ = [
    "__version__",
    "deploy",
    "from_nir",
    "load",
    "load_samples",
    "quantize",
    "read",
    "run",
    "to_nir",
]


def __getattr__(name: str) -> Any:
    """Load the library's functions when they are first asked for."""
    if name in __all__:
        from neurodeploy.pipeline import library

        return getattr(library, name)
    raise AttributeError(f"module 'neurodeploy' has no attribute {name!r}")
