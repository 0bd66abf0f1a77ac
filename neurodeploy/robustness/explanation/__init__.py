"""Explanations: which layer, neuron, step and rounding changed a decision."""

from neurodeploy.robustness.explanation.explanation import (
    Culprit,
    Explanation,
    StageLine,
    explain,
)
from neurodeploy.robustness.explanation.rounding_ladder import RUNGS, Ladder

__all__ = ["RUNGS", "Culprit", "Explanation", "Ladder", "StageLine", "explain"]
