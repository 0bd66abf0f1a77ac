"""From a float network to Loihi's integers."""

from neurodeploy.quantize.calibration import quantize
from neurodeploy.quantize.description import describe_populations, describe_synapses
from neurodeploy.quantize.quantizer import QuantizeConfig, quantize_network
from neurodeploy.quantize.rounding import RoundedWeight, quantize_weight, round_weight

__all__ = [
    "QuantizeConfig",
    "RoundedWeight",
    "describe_populations",
    "describe_synapses",
    "quantize",
    "quantize_network",
    "quantize_weight",
    "round_weight",
]
