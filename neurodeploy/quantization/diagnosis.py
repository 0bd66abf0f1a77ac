"""What rounding will do to each layer, before any accuracy is measured: numbers and remedies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding
from neurodeploy.network import V_MAX, FixedPointNetwork, Network, Population
from neurodeploy.quantization.plain import reset_origin
from neurodeploy.quantization.prediction import ROUNDINGS, PredictedLayer, predict
from neurodeploy.quantization.rounded_weights import rounded_synapse
from neurodeploy.quantization.sign_split import as_split

#: Upper ends of the bins of |membrane - threshold|, in distances from reset to threshold.
MARGIN_BINS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
#: A neuron that fires in this share of all steps says nothing.
SATURATED = 0.95
#: How many layers are named with a remedy.
_WORST = 3
#: Expected turns below this share of all spikes are nothing to mend.
_FEW = 0.001
_REMEDIES = {
    "weights": "more weight bits, or --scale search --rounding adaptive --bias corrected",
    "bias": "fewer encoder bits, or smaller biases beside the weights",
    "threshold": "thresholds and weights of one size, so that the scale can grow",
    "decay": "a decay that 12 bits hold: dt / tau of at least 1/64",
    "gain": "more gain bits, or gains of one size",
    "floors": "larger weights beside the threshold, so that fewer bits are shifted away",
}


@dataclass(frozen=True, slots=True)
class LayerDiagnosis:
    """One population that fires.

    Parameters
    ----------
    name : str
    neurons : int
    rate : float
        Spikes per neuron and step in float.
    turned : float
        Expected share of neuron-steps whose spike turns.
    by_rounding : mapping of str to float
        The same with one rounding alone switched on (see ``prediction.ROUNDINGS``).
    margins : tuple of float
        Share of neuron-steps by distance from the threshold, see ``MARGIN_BINS``; the last beyond.
    deviation_rms, deviation_max : float
        Of the membrane, for neurons in step, in distances from reset to threshold (their mean).
    dead, saturated : int
        Neurons that never fire, and that fire in at least 95 % of all steps.
    headroom_bits : float
        How many times the largest membrane seen could double before it saturates.
    effective_bits : float
        Of the coarsest synapse into it: ``log2(range / (rms error * sqrt(12)))``.
    """

    name: str
    neurons: int
    rate: float
    turned: float
    by_rounding: Mapping[str, float]
    margins: tuple[float, ...]
    deviation_rms: float
    deviation_max: float
    dead: int
    saturated: int
    headroom_bits: float
    effective_bits: float

    @property
    def worst_rounding(self) -> str:
        """The rounding that turns most spikes by itself."""
        return max(self.by_rounding, key=lambda name: self.by_rounding[name])

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON types."""
        values = asdict(self)
        return {**values, "margins": list(self.margins), "by_rounding": dict(self.by_rounding)}


def diagnose(
    network: Network, net: FixedPointNetwork, codes: NDArray[np.int32]
) -> tuple[LayerDiagnosis, ...]:
    """Diagnose every population that fires, in update order.

    Parameters
    ----------
    network, net, codes
        As for ``prediction.predict``.
    """
    network = as_split(network, net)
    layers = predict(network, net, codes)
    alone: dict[str, dict[str, float]] = {layer.name: {} for layer in layers}
    for rounding in ROUNDINGS:
        for layer in predict(network, net, codes, roundings=(rounding,)):
            alone[layer.name][rounding] = float(layer.turned.mean())
    return tuple(_layer(network, net, layer, alone[layer.name]) for layer in layers)


def _layer(
    network: Network, net: FixedPointNetwork, layer: PredictedLayer, alone: Mapping[str, float]
) -> LayerDiagnosis:
    p = network.population(layer.name)
    distance = float(np.abs(p.v_threshold - reset_origin(p)).mean()) or 1.0
    rates = (layer.margin > 0).mean(axis=(0, 1))
    away = np.abs(layer.margin) / distance
    shares = np.histogram(away, bins=(0.0, *MARGIN_BINS, np.inf))[0] / away.size
    reached = np.abs(layer.margin + p.v_threshold - reset_origin(p))
    largest = float((reached * net.population(p.name).scale).max(initial=1.0))
    return LayerDiagnosis(
        name=p.name,
        neurons=p.size,
        rate=float(rates.mean()),
        turned=float(layer.turned.mean()),
        by_rounding=dict(alone),
        margins=tuple(float(x) for x in shares),
        deviation_rms=float(np.sqrt((layer.deviation**2).mean())) / distance,
        deviation_max=float(np.abs(layer.deviation).max(initial=0.0)) / distance,
        dead=int((rates == 0).sum()),
        saturated=int((rates >= SATURATED).sum()),
        headroom_bits=float(np.log2(V_MAX / largest)),
        effective_bits=_effective_bits(network, net, p),
    )


def _effective_bits(network: Network, net: FixedPointNetwork, p: Population) -> float:
    stored = {s.name for s in net.synapses_into(p.name)}
    found = []
    for synapse in network.synapses_into(p.name):
        if synapse.name not in stored:
            continue
        both = rounded_synapse(network, net, p, synapse)
        values = both.weight.toarray() if both.weight.nnz == 0 else both.weight.data
        span = float(np.ptp(np.append(values, 0.0)))
        error = (both.stored - both.weight).data
        rms = float(np.sqrt((error**2).sum() / max(both.weight.nnz, 1)))
        if span > 0 and rms > 0:
            found.append(float(np.log2(span / (rms * np.sqrt(12)))))
    return min(found, default=float("inf"))


def worst_findings(layers: Sequence[LayerDiagnosis]) -> list[Finding]:
    """Return a finding for each of the three layers that will turn most spikes, with the remedy."""
    worst = sorted(layers, key=lambda layer: -layer.turned)[:_WORST]
    findings = []
    for layer in worst:
        if layer.turned < _FEW:
            continue
        cause = layer.worst_rounding
        text = (
            f"rounding is expected to turn {layer.turned:.2%} of its spikes, its {cause} alone "
            f"{layer.by_rounding[cause]:.2%}; {sum(layer.margins[:3]):.1%} of all membranes come "
            f"within 5 % of the threshold"
        )
        numbers = {"turned": layer.turned, **{f"by_{k}": v for k, v in layer.by_rounding.items()}}
        findings.append(
            Finding("info", f"population {layer.name}", text, _REMEDIES[cause], numbers)
        )
    return findings
