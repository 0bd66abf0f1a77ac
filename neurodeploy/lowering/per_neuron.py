"""Which parameters differ within a population: nothing is split, targets hold them per neuron."""

from __future__ import annotations

import numpy as np

from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.passes import Pass
from neurodeploy.network import Network, Population

_NAMES = ("decay_v", "decay_u", "input_gain", "w_in", "v_leak", "v_threshold", "v_reset", "v_init")


class NamePerNeuron(Pass):
    """The network stays as it is; findings say what is kept per neuron.

    The gain, the rule of reset and v_min belong to a population as a whole already.
    """

    name = "parameters per neuron"

    def change(self, network: Network) -> Result[Network]:
        """Return the network itself."""
        return Result(network, tuple(f for p in network.populations for f in _findings(p)))


def _findings(p: Population) -> list[Finding]:
    differing = {
        name: (float(values.min()), float(values.max()))
        for name in _NAMES
        if (values := getattr(p, name)) is not None and (values != values.flat[0]).any()
    }
    if not differing:
        return []
    ranges = ", ".join(f"{name} {low:g}..{high:g}" for name, (low, high) in differing.items())
    text = f"differ between its neurons and are kept per neuron: {ranges}"
    numbers = {name: list(np.asarray(ends)) for name, ends in differing.items()}
    return [Finding("info", f"node {p.name!r}", text, numbers=numbers)]
