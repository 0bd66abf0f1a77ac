"""How far a population's registers are from what the float network says."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network import ALIGN_BITS, ALWAYS_ON, FixedPointNetwork, Network
from neurodeploy.quantization.quantizer import into_membrane


def register_errors(network: Network, net: FixedPointNetwork) -> dict[str, dict[str, float]]:
    """Return the largest error of each population's registers; 0 where they are exact.

    ``decay``: of the share lost per step. ``v_threshold`` and ``bias``: in membrane units, relative
    to the largest finite distance from reset to threshold (absolute where there is none).
    """
    found: dict[str, dict[str, float]] = {}
    for p in network.populations:
        fixed = net.population(p.name)
        distance = p.v_threshold - p.v_reset
        finite = np.isfinite(distance)
        unit = float(np.abs(distance[finite]).max(initial=0.0)) or 1.0
        meant = fixed.v_threshold * 2.0**ALIGN_BITS / fixed.scale
        bias = into_membrane(network, p, network.synapses_into(p.name))[1]
        stored = _stored_bias(net, p.name)
        found[p.name] = {
            "decay": float(np.abs(fixed.decay_v / 4096 - p.decay_v).max(initial=0.0)),
            "v_threshold": float(np.abs(meant - distance)[finite].max(initial=0.0)) / unit,
            "bias": float(np.abs(stored - bias).max(initial=0.0)) / unit,
        }
    return found


def _stored_bias(net: FixedPointNetwork, name: str) -> Any:
    """Return what is added to the membrane at every step, by register and by always-on line."""
    p = net.population(name)
    units = p.bias_shifted.astype(np.float64)
    if p.kind == "dlif":
        # Its bias joins the synaptic sum, which is shifted into v.
        units = units * 2.0**ALIGN_BITS
    for s in net.synapses_into(name):
        if s.source == ALWAYS_ON:
            line = np.ldexp(s.weight[:, 0].astype(np.float64), s.weight_exp + ALIGN_BITS)
            units = units + line
    return units / p.scale
