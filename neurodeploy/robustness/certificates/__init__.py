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
    from neurodeploy.robustness.certificates.deviation import (
        DeviationResult,
        certify_deviation,
    )
    from neurodeploy.robustness.certificates.deviation_flips import (
        FlipPrediction,
        measured_flips,
        predict_flips,
    )
    from neurodeploy.robustness.certificates.inputs import (
        InputBounds,
        ball,
        input_bounds,
    )
    from neurodeploy.robustness.certificates.smoothing import (
        SmoothingConfig,
        SmoothingResult,
        noisy_codes,
        smooth,
    )
    from neurodeploy.robustness.certificates.stability import (
        StabilityReport,
        stability_gains,
    )

_HOME = {
    "Certificate": "certificate",
    "DeviationResult": "deviation",
    "FlipPrediction": "deviation_flips",
    "InputBounds": "inputs",
    "SmoothingConfig": "smoothing",
    "SmoothingResult": "smoothing",
    "StabilityReport": "stability",
    "ball": "inputs",
    "certify": "certificate",
    "certify_deviation": "deviation",
    "certify_inputs": "certificate",
    "input_bounds": "inputs",
    "measured_flips": "deviation_flips",
    "noisy_codes": "smoothing",
    "predict_flips": "deviation_flips",
    "smooth": "smoothing",
    "stability_gains": "stability",
}

__all__ = [
    "Certificate",
    "DeviationResult",
    "FlipPrediction",
    "InputBounds",
    "SmoothingConfig",
    "SmoothingResult",
    "StabilityReport",
    "ball",
    "certify",
    "certify_deviation",
    "certify_inputs",
    "input_bounds",
    "measured_flips",
    "noisy_codes",
    "predict_flips",
    "smooth",
    "stability_gains",
]


def __getattr__(name: str) -> Any:
    """Load ``name`` from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
