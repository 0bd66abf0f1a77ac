"""The host's side of Lava: the isolated runtime, runs on it, and comparisons with them.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodeploy.export.lava import runtime
    from neurodeploy.export.lava.run import (
        LavaRun,
        StepTiming,
        run_lava,
        run_lava_batch,
        time_steps,
    )
    from neurodeploy.export.lava.verify import Mismatch, VerifyResult, compare, verify_against

__all__ = [
    "LavaRun",
    "Mismatch",
    "StepTiming",
    "VerifyResult",
    "compare",
    "run_lava",
    "run_lava_batch",
    "runtime",
    "time_steps",
    "verify_against",
]

_HOME = {
    "StepTiming": "run",
    "LavaRun": "run",
    "run_lava": "run",
    "run_lava_batch": "run",
    "time_steps": "run",
    "Mismatch": "verify",
    "VerifyResult": "verify",
    "compare": "verify",
    "verify_against": "verify",
}


def __getattr__(name: str) -> Any:
    if name == "runtime":
        return import_module("neurodeploy.export.lava.runtime")
    if name in _HOME:
        return getattr(import_module(f"neurodeploy.export.lava.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
