"""Certificates: what is proven of the deployed integers.

Names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodeploy.robustness.certificates.certificate import (
        Certificate,
        certify,
        certify_inputs,
    )
    from neurodeploy.robustness.certificates.inputs import InputBounds, ball, input_bounds

_HOME = {
    "Certificate": "certificate",
    "InputBounds": "inputs",
    "ball": "inputs",
    "certify": "certificate",
    "certify_inputs": "certificate",
    "input_bounds": "inputs",
}

__all__ = ["Certificate", "InputBounds", "ball", "certify", "certify_inputs", "input_bounds"]


def __getattr__(name: str) -> Any:
    """Load ``name`` from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
