"""From a NIR graph to float populations and synapses, and to the form that targets hold."""

from neurodeploy.lowering.compose import compose, is_deployable_form, lowering_passes
from neurodeploy.lowering.delays import delay_in_steps
from neurodeploy.lowering.deployable import obstacles, require_deployable
from neurodeploy.lowering.feedback import is_population
from neurodeploy.lowering.lower import lower

__all__ = [
    "compose",
    "delay_in_steps",
    "is_deployable_form",
    "is_population",
    "lower",
    "lowering_passes",
    "obstacles",
    "require_deployable",
]
