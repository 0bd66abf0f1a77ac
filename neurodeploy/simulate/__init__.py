"""One simulator, two number systems: float and fixed point, with gradients through both.

Names are loaded on first use: the fixed-point kernels need numba, the gradients torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodeploy.simulate.fixed import run_fixed
    from neurodeploy.simulate.fixed_gradient import FixedGradient
    from neurodeploy.simulate.fixed_torch import run_torch
    from neurodeploy.simulate.float_gradient import FloatGradient
    from neurodeploy.simulate.floating import run_float
    from neurodeploy.simulate.stimulus import input_hash
    from neurodeploy.simulate.weight_gradient import WeightGradient

__all__ = [
    "FixedGradient",
    "FloatGradient",
    "WeightGradient",
    "input_hash",
    "run_fixed",
    "run_float",
    "run_torch",
]

_HOMES = {
    "FixedGradient": "fixed_gradient",
    "FloatGradient": "float_gradient",
    "WeightGradient": "weight_gradient",
    "input_hash": "stimulus",
    "run_fixed": "fixed",
    "run_float": "floating",
    "run_torch": "fixed_torch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
