"""From a float network to Loihi's integers."""

from neurodeploy.quantization.calibration import quantize
from neurodeploy.quantization.description import describe_populations, describe_synapses
from neurodeploy.quantization.latencies import Timeline, solve_latencies, with_extra_steps
from neurodeploy.quantization.plain import obstacles, require_plain
from neurodeploy.quantization.population_scale import Seen
from neurodeploy.quantization.quantize_config import QuantizeConfig, config_for
from neurodeploy.quantization.quantizer import quantize_network
from neurodeploy.quantization.register_errors import register_errors
from neurodeploy.quantization.rounding import RoundedWeight, quantize_weight, round_weight

__all__ = [
    "QuantizeConfig",
    "RoundedWeight",
    "Seen",
    "Timeline",
    "config_for",
    "describe_populations",
    "describe_synapses",
    "obstacles",
    "quantize",
    "quantize_network",
    "quantize_weight",
    "register_errors",
    "require_plain",
    "round_weight",
    "solve_latencies",
    "with_extra_steps",
]
