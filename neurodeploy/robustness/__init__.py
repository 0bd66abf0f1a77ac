"""Evidence: does robustness survive deployment.

Names are loaded on first use, so that replaying evidence loads no attack code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodeploy.robustness.classifiers import NetworkClassifier
    from neurodeploy.robustness.config import RobustnessConfig, ThreatModel
    from neurodeploy.robustness.evidence import (
        Evidence,
        EvidenceRow,
        Replay,
        load_evidence,
        replay,
        save_evidence,
    )
    from neurodeploy.robustness.overlap import check_overlap
    from neurodeploy.robustness.protocol import evaluate, evaluate_classifiers
    from neurodeploy.robustness.result import RobustnessResult

_HOME = {
    "Evidence": "evidence",
    "EvidenceRow": "evidence",
    "NetworkClassifier": "classifiers",
    "Replay": "evidence",
    "RobustnessConfig": "config",
    "RobustnessResult": "result",
    "ThreatModel": "config",
    "check_overlap": "overlap",
    "evaluate": "protocol",
    "evaluate_classifiers": "protocol",
    "load_evidence": "evidence",
    "replay": "evidence",
    "save_evidence": "evidence",
}

__all__ = [
    "Evidence",
    "EvidenceRow",
    "NetworkClassifier",
    "Replay",
    "RobustnessConfig",
    "RobustnessResult",
    "ThreatModel",
    "check_overlap",
    "evaluate",
    "evaluate_classifiers",
    "load_evidence",
    "replay",
    "save_evidence",
]


def __getattr__(name: str) -> Any:
    """Load ``name`` from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
