"""How far a population's registers are from what the float network says."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network import ALIGN_BITS, ALWAYS_ON, FixedPointNetwork, Network
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.incoming import drive_of
from neurodeploy.quantization.plain import threshold_distance


def register_errors(network: Network, net: FixedPointNetwork) -> dict[str, dict[str, float]]:
    """Return the largest error of each population's registers; 0 where they are exact.

    ``decay``: of the share lost per step, by membrane or current. ``v_threshold`` and ``bias``: in
    membrane units, relative to the largest finite distance from reset to threshold (absolute where
    there is none).
    """
    network = as_mapped(network, net)
    found: dict[str, dict[str, float]] = {}
    for p in network.populations:
        fixed = net.population(p.name)
        distance = threshold_distance(p)
        finite = np.isfinite(distance)
        unit = float(np.abs(distance[finite]).max(initial=0.0)) or 1.0
        meant = fixed.v_threshold * 2.0**ALIGN_BITS / fixed.scale
        decay = float(np.abs(fixed.decay_v / 4096 - p.decay_v).max(initial=0.0))
        if p.decay_u is not None:
            lost = (fixed.decay_u + 1) / 4096
            decay = max(decay, float(np.abs(lost - p.decay_u).max(initial=0.0)))
        drive = drive_of(network, p)
        on_line = _line(net, p.name)
        in_register = fixed.bias_shifted / fixed.scale
        if p.gain is not None:
            # Its bias joins the synaptic sum, which is shifted into v.
            errors = [in_register * 2.0**ALIGN_BITS - drive.into_sum]
        elif p.decay_u is not None:
            # A line may carry what has no start state in the register.
            moved = (in_register == 0) & (fixed.decay_u == 4095)
            into_v = np.where(moved, 0.0, drive.into_v)
            into_sum = drive.into_sum + np.where(moved, drive.into_v, 0.0)
            errors = [on_line - into_sum, in_register - into_v]
        else:
            errors = [on_line + in_register - drive.into_v]
        found[p.name] = {
            "decay": decay,
            "v_threshold": float(np.abs(meant - distance)[finite].max(initial=0.0)) / unit,
            "bias": max(float(np.abs(e).max(initial=0.0)) for e in errors) / unit,
        }
    return found


def _line(net: FixedPointNetwork, name: str) -> Any:
    """Return what always-on lines add to the synaptic sum at every step, in membrane units."""
    p = net.population(name)
    total = np.zeros(p.size)
    for s in net.synapses_into(name):
        if s.source == ALWAYS_ON:
            total += np.ldexp(s.weight[:, 0].astype(np.float64), s.weight_exp + ALIGN_BITS)
    return total / p.scale
