"""The choices of the quantiser as tables: one row per synapse and per population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodeploy.network import ALWAYS_ON, FixedPointNetwork, FixedPopulation, Network, Synapse
from neurodeploy.network.arrays import FloatArray
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.incoming import incoming_of, per_weight


def describe_synapses(network: Network, net: FixedPointNetwork) -> list[dict[str, Any]]:
    """Return per synapse its format and its rounding error against the float network.

    ``shape`` is that of the stored weights, ``zero_weights`` those of them that are zero.
    ``error_rms`` and ``error_max`` are in units of the float weight's largest magnitude. ``delay``:
    hardware steps beyond the one that every synapse costs; ``logical_delay``: what that means. A
    folded gain belongs to the weights on both sides.
    """
    network = as_mapped(network, net)
    rows = []
    for synapse in net.synapses:
        row: dict[str, Any] = {
            "synapse": synapse.name,
            "kind": synapse.kind,
            "weight_bits": synapse.weight_bits,
            "weight_exp": synapse.weight_exp,
            "sign_mode": synapse.sign_mode,
            "message_bits": synapse.message_bits,
            "shape": list(synapse.weight.shape),
            "zero_weights": int((synapse.weight == 0).sum()),
            "delay": int(np.max(synapse.delay)),
            "logical_delay": int(np.max(net.logical_delay(synapse))),
        }
        if synapse.source != ALWAYS_ON:
            target = network.population(synapse.target)
            original = incoming_of(
                network, target, _original(network, synapse.name),
                written_out=synapse.kind == "sparse",
            )  # fmt: skip
            scale = per_weight(net.population(synapse.target).scales, original.layout)
            stored = np.ldexp(synapse.weight.astype(np.float64), synapse.weight_exp + 6) / scale
            error = stored - original.values
            largest = float(np.abs(original.values).max(initial=0.0)) or 1.0
            row["error_rms"] = float(np.sqrt(np.mean(error**2))) / largest if error.size else 0.0
            row["error_max"] = float(np.abs(error).max(initial=0.0)) / largest
        rows.append(row)
    return rows


def describe_populations(net: FixedPointNetwork) -> list[dict[str, Any]]:
    """Return per population its kind, latency, scale and registers (lowest and highest value).

    ``scale`` and ``origin`` are one number where all neurons share it. ``decay_u`` is None without
    a current.
    """
    return [
        {
            "name": p.name,
            "kind": p.kind,
            "size": p.size,
            "shape": list(p.shape),
            "latency": p.latency,
            "scale": _one_or_range(p.scale),
            "origin": _one_or_range(p.origin),
            "v_threshold": [int(p.v_threshold.min()), int(p.v_threshold.max())],
            "decay_u": _current(p),
            "decay_v": [int(p.decay_v.min()), int(p.decay_v.max())],
            "bias": [int(p.bias.min()), int(p.bias.max())],
            "bias_exp": p.bias_exp,
            "reset": p.reset,
            "gain": None if p.gain is None else [int(m) for m in p.gain],
            "gain_shift": p.gain_shift,
            "gain_form": None if p.gain is None else p.gain_form,
        }
        for p in net.populations
    ]


def scale_text(row: Mapping[str, Any]) -> str:
    """Return the scale of a population's row in a few characters."""
    scale = row["scale"]
    return f"{scale[0]:.4g}..{scale[1]:.4g}" if isinstance(scale, list) else f"{scale:g}"


def _one_or_range(values: FloatArray | float) -> float | list[float]:
    lowest, highest = float(np.min(values)), float(np.max(values))
    return lowest if lowest == highest else [lowest, highest]


def _current(p: FixedPopulation) -> list[int] | None:
    if p.kind == "dlif" or (p.decay_u == 4095).all():
        return None
    return [int(p.decay_u.min()), int(p.decay_u.max())]


def _original(network: Network, name: str) -> Synapse:
    return next(s for s in network.synapses if s.name == name)
