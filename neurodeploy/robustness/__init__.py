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
    from neurodeploy.robustness.given_points import GivenPoints, load_points
    from neurodeploy.robustness.overlap import check_overlap
    from neurodeploy.robustness.protocol import evaluate, evaluate_classifiers
    from neurodeploy.robustness.result import RobustnessResult
    from neurodeploy.robustness.seed_clusters import clustered_drop
    from neurodeploy.robustness.statistics import PairedDrop, detectable_drop, paired_drop
    from neurodeploy.robustness.surrogates import Surrogate

_HOME = {
    "Evidence": "evidence",
    "EvidenceRow": "evidence",
    "GivenPoints": "given_points",
    "NetworkClassifier": "classifiers",
    "PairedDrop": "statistics",
    "Replay": "evidence",
    "RobustnessConfig": "config",
    "RobustnessResult": "result",
    "Surrogate": "surrogates",
    "ThreatModel": "config",
    "check_overlap": "overlap",
    "clustered_drop": "seed_clusters",
    "detectable_drop": "statistics",
    "evaluate": "protocol",
    "evaluate_classifiers": "protocol",
    "load_evidence": "evidence",
    "load_points": "given_points",
    "paired_drop": "statistics",
    "replay": "evidence",
    "save_evidence": "evidence",
}

__all__ = [
    "Evidence",
    "EvidenceRow",
    "GivenPoints",
    "NetworkClassifier",
    "PairedDrop",
    "Replay",
    "RobustnessConfig",
    "RobustnessResult",
    "Surrogate",
    "ThreatModel",
    "check_overlap",
    "clustered_drop",
    "detectable_drop",
    "evaluate",
    "evaluate_classifiers",
    "load_evidence",
    "load_points",
    "paired_drop",
    "replay",
    "save_evidence",
]


def __getattr__(name: str) -> Any:
    """Load ``name`` from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
