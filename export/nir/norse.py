"""The Norse modules the exporter knows by type, imported without Norse's import warnings."""

from __future__ import annotations

# First: importing Norse through this module silences what its source warns about.
from neurodeploy.neurons.norse_parts import LIFBoxCell, SequentialState, reset_value

# isort: split
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.encode import ConstantCurrentLIFEncoder
from norse.torch.module.iaf import IAF, IAFCell
from norse.torch.module.leaky_integrator import LI, LICell, LILinearCell
from norse.torch.module.leaky_integrator_box import LIBoxCell
from norse.torch.module.lif import LIF, LIFRecurrent, LIFRecurrentCell
from norse.torch.module.lif import LIFCell as NorseLIFCell
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import RecurrentSequential
from norse.torch.module.snn import SNN, SNNRecurrent
from norse.torch.utils.state import _is_module_stateful as is_stateful

__all__ = [
    "IAF",
    "LI",
    "LIF",
    "SNN",
    "ConstantCurrentLIFEncoder",
    "IAFCell",
    "LIBoxCell",
    "LICell",
    "LIFBoxCell",
    "LIFRecurrent",
    "LIFRecurrentCell",
    "LILinearCell",
    "Lift",
    "NorseLIFCell",
    "RecurrentSequential",
    "SNNRecurrent",
    "SequentialState",
    "is_stateful",
    "reset_subtract",
    "reset_value",
]
