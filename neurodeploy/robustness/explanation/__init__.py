"""Explanations: which layer, neuron, step and rounding changed a decision."""

from neurodeploy.robustness.explanation.culprit import Culprit
from neurodeploy.robustness.explanation.explanation import Explanation, StageLine, explain
from neurodeploy.robustness.explanation.rounding_ladder import RUNGS, Ladder, Shift

__all__ = ["RUNGS", "Culprit", "Explanation", "Ladder", "Shift", "StageLine", "explain"]
