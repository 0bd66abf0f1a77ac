"""Faults of hardware, on float and fixed-point networks alike, and accuracy under them."""

from neurodeploy.robustness.faults.curve import FaultCurve, bit_curves, fault_curve
from neurodeploy.robustness.faults.dropped_spikes import DroppedSpikes
from neurodeploy.robustness.faults.fault import Fault, NetworkFault, RunFault, faulty_scores
from neurodeploy.robustness.faults.joint import Joint
from neurodeploy.robustness.faults.mismatch import DecayMismatch, ThresholdMismatch
from neurodeploy.robustness.faults.stuck import StuckAtOne, StuckAtZero
from neurodeploy.robustness.faults.weights import WeightBitFlips, WeightNoise

__all__ = [
    "DecayMismatch",
    "DroppedSpikes",
    "Fault",
    "FaultCurve",
    "Joint",
    "NetworkFault",
    "RunFault",
    "StuckAtOne",
    "StuckAtZero",
    "ThresholdMismatch",
    "WeightBitFlips",
    "WeightNoise",
    "bit_curves",
    "fault_curve",
    "faulty_scores",
]
