"""Norse cells of our own: LIF and DLIF with a strict threshold, and the time loop."""

from neurodeploy.neurons.cells import GAIN_MAX, GAIN_MIN, CellState, DLIFCell, LIFCell
from neurodeploy.neurons.scan import scan
from neurodeploy.neurons.sequence import SequenceOutput, SpikingSequence

__all__ = [
    "GAIN_MAX",
    "GAIN_MIN",
    "CellState",
    "DLIFCell",
    "LIFCell",
    "SequenceOutput",
    "SpikingSequence",
    "scan",
]
