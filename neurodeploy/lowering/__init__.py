"""From a NIR graph to float populations and synapses, and to single matrices."""

from neurodeploy.lowering.compose import compose
from neurodeploy.lowering.delays import delay_in_steps
from neurodeploy.lowering.feedback import is_population
from neurodeploy.lowering.lower import lower

__all__ = ["compose", "delay_in_steps", "is_population", "lower"]
