"""Counts, energy and latency estimates from traces and a hardware profile."""

from neurodeploy.cost.activity import Activity, LayerActivity, SynapseActivity
from neurodeploy.cost.comparison import CostComparison, CountRatio, compare
from neurodeploy.cost.counting import count_activity
from neurodeploy.cost.estimate import CostEstimate, MissingTerm, estimate
from neurodeploy.cost.intervals import Count, Interval, Spread
from neurodeploy.cost.latency import Latency
from neurodeploy.cost.mapping import LayerMapping
from neurodeploy.cost.terms import Term
from neurodeploy.cost.text import format_estimate

__all__ = [
    "Activity",
    "CostComparison",
    "CostEstimate",
    "Count",
    "CountRatio",
    "Interval",
    "Latency",
    "LayerActivity",
    "LayerMapping",
    "MissingTerm",
    "Spread",
    "SynapseActivity",
    "Term",
    "compare",
    "count_activity",
    "estimate",
    "format_estimate",
]
