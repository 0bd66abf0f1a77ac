"""Findings about values that an integer format resolves badly: single rows, small thresholds."""

from __future__ import annotations

import numpy as np

from neurodeploy.findings import Finding
from neurodeploy.network import V_THRESHOLD_MAX, FixedPopulation, Population
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.plain import threshold_distance
from neurodeploy.quantization.rounding import RoundedWeight

#: Relative rounding error of a threshold or of a neuron's weights that gets a finding.
_COARSE = 0.25


def coarse_rows(population: Population, incoming: Incoming, stored: RoundedWeight) -> list[Finding]:
    """Warn of neurons whose weights are badly rounded beside their own threshold.

    A neuron counts if the rounding errors of its weights, added as independent ones at the largest
    payload, exceed a quarter of its distance from v_reset to v_threshold.
    """
    error = np.ldexp(stored.mantissa.astype(np.float64), -stored.exponent) - incoming.values
    distance = threshold_distance(population)
    size = incoming.payload * np.sqrt(incoming.row_sums(error**2))
    # Beyond a thousand thresholds (or beside none at all) how many is of no interest.
    share = size / np.maximum(distance, np.maximum(size / 1000, 2.0**-1000))
    coarse = np.flatnonzero(share > _COARSE)
    if not coarse.size:
        return []
    worst = int(share.argmax())
    text = (
        f"the weights of {coarse.size} of {len(share)} neurons are rounded by more than "
        f"{_COARSE:.0%} of their threshold (worst: neuron {worst}, {share[worst]:.3g} thresholds)"
    )
    remedy = "use more weight bits, or scale each neuron's r, weights and threshold to one size"
    found = {"neurons": int(coarse.size), "worst": worst, "share": float(share[worst])}
    return [Finding("warning", f"synapse {incoming.synapse.name}", text, remedy, found)]


def coarse_thresholds(population: Population, fixed: FixedPopulation, p: int) -> list[Finding]:
    """Warn of thresholds that the chosen scale cannot resolve."""
    wanted = threshold_distance(population) * 2.0**p
    finite = np.isfinite(wanted)
    error = np.abs(fixed.v_threshold - wanted)[finite] / np.maximum(wanted[finite], 2.0**-40)
    if not (error > _COARSE).any():
        return []
    worst = float(min(error.max(), 1.0))
    text = (
        f"{int((error > _COARSE).sum())} of {fixed.size} thresholds are rounded by up to "
        f"{worst:.0%} (smallest: {int(fixed.v_threshold.min())} of 1 .. {V_THRESHOLD_MAX}): they "
        "are small beside what the membrane may reach"
    )
    remedy = "rescale the layer so that thresholds, weights and biases are of one size"
    found = {"worst": worst, "smallest": int(fixed.v_threshold.min())}
    return [Finding("warning", f"population {fixed.name}", text, remedy, found)]
