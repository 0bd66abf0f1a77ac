"""From a NIR graph to float populations and synapses."""
