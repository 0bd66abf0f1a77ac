"""The choices of the quantiser as tables: one row per synapse and per population."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, Network, Synapse


def describe_synapses(network: Network, net: FixedPointNetwork) -> list[dict[str, Any]]:
    """Return per synapse its format and its rounding error against the float network.

    ``error_rms`` and ``error_max`` are in units of the float weight's largest magnitude.
    """
    rows = []
    for synapse in net.synapses:
        row: dict[str, Any] = {
            "synapse": synapse.name,
            "weight_bits": synapse.weight_bits,
            "weight_exp": synapse.weight_exp,
            "sign_mode": synapse.sign_mode,
            "message_bits": synapse.message_bits,
            "shape": list(synapse.weight.shape),
            "zero_weights": int((synapse.weight == 0).sum()),
        }
        if synapse.source != ALWAYS_ON:
            target, original = net.population(synapse.target), _original(network, synapse.name)
            unit = network.encoder.step if synapse.source == INPUT else 1.0
            gain = network.population(synapse.target).input_gain[:, None]
            stored = np.ldexp(synapse.weight.astype(np.float64), synapse.weight_exp + 6)
            error = stored / target.scale - gain * original.weight * unit
            largest = float(np.abs(gain * original.weight * unit).max(initial=0.0)) or 1.0
            row["error_rms"] = float(np.sqrt(np.mean(error**2))) / largest
            row["error_max"] = float(np.abs(error).max(initial=0.0)) / largest
        rows.append(row)
    return rows


def describe_populations(net: FixedPointNetwork) -> list[dict[str, Any]]:
    """Return per population its kind, latency, scale and registers (lowest and highest value)."""
    return [
        {
            "name": p.name,
            "kind": p.kind,
            "size": p.size,
            "latency": p.latency,
            "scale": p.scale,
            "origin": [float(np.min(p.origin)), float(np.max(p.origin))],
            "v_threshold": [int(p.v_threshold.min()), int(p.v_threshold.max())],
            "decay_v": [int(p.decay_v.min()), int(p.decay_v.max())],
            "bias": [int(p.bias.min()), int(p.bias.max())],
            "bias_exp": p.bias_exp,
            "gain": None if p.gain is None else [int(m) for m in p.gain],
            "gain_shift": p.gain_shift,
        }
        for p in net.populations
    ]


def _original(network: Network, name: str) -> Synapse:
    return next(s for s in network.synapses if s.name == name)
