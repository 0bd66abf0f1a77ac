"""Thresholds as neurons that keep nothing: the same spikes, in a form that targets have."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.conditions import NO_THRESHOLDS
from neurodeploy.lowering.passes import Pass
from neurodeploy.network import Network, Population


class ThresholdsToNeurons(Pass):
    """``s = x > v_threshold`` becomes a membrane that loses all of itself in every step."""

    name = "threshold neurons"
    gives = (NO_THRESHOLDS,)

    def change(self, network: Network) -> Result[Network]:
        """Return the network without populations of kind ``threshold``."""
        populations = tuple(_neuron(p) if p.kind == "threshold" else p for p in network.populations)
        findings = tuple(
            Finding("info", f"node {p.name!r}", "a threshold runs as a neuron without memory")
            for p in network.populations
            if p.kind == "threshold"
        )
        return Result(dataclasses.replace(network, populations=populations), findings)


def _neuron(p: Population) -> Population:
    # v + 1 * (0 - v) + 1 * x is x, whatever v was. A reset below the threshold suits registers.
    start = np.where(np.isfinite(p.v_threshold), np.minimum(p.v_threshold, 0.0), 0.0)
    return dataclasses.replace(
        p,
        kind="lif",
        decay_v=np.ones(p.size),
        input_gain=np.ones(p.size),
        v_leak=np.zeros(p.size),
        v_reset=start,
        v_init=start,
        reset="value",
        spikes="single",
        v_min=None,
    )
