"""From a NIR graph to float populations and synapses."""

from neurodeploy.lowering.lower import lower

__all__ = ["lower"]
