"""Findings about values that an integer format resolves badly: single rows, small thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding
from neurodeploy.network import V_THRESHOLD_MAX, FixedPopulation, Population
from neurodeploy.network.fixed import WEIGHT_RANGE
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.plain import threshold_distance
from neurodeploy.quantization.rounding import RoundedWeight, round_weight

#: Relative rounding error of a threshold or of a neuron's weights that gets a finding.
_COARSE = 0.25
#: Errors are told up to so many times what they stand beside.
_MOST = 1000
_AT_ZERO = ", whose integer threshold is 0,"


def coarse_rows(population: Population, incoming: Incoming, stored: RoundedWeight) -> list[Finding]:
    """Warn of neurons whose weights are badly rounded beside their own threshold.

    A neuron counts if the rounding errors of its weights, added as independent ones at the largest
    payload, exceed a quarter of its distance from v_reset to v_threshold; where that is 0, a
    quarter of its weights, added alike: then the sign of what arrives decides.
    """
    error = np.ldexp(stored.mantissa.astype(np.float64), -stored.exponent) - incoming.values
    distance = threshold_distance(population)
    size = incoming.payload * np.sqrt(incoming.row_sums(error**2))
    whole = incoming.payload * np.sqrt(incoming.row_sums(incoming.values**2))
    beside = np.where(distance > 0, distance, whole)
    # Beyond the limit how many times is of no interest. A row of zeros has no error.
    share = size / np.maximum(beside, np.maximum(size / _MOST, 2.0**-1000))
    where = f"synapse {incoming.synapse.name}"
    return [
        *_coarse(where, share, distance > 0, "their threshold", "thresholds"),
        *_coarse(where, share, distance == 0, "their own size", "times its size", _AT_ZERO),
    ]


def clipped_weights(incoming: Incoming, stored: RoundedWeight) -> list[Finding]:
    """Tell which weights are larger than the grid reaches: it is finer for the others instead."""
    if not stored.clipped:
        return []
    lowest, highest, _ = WEIGHT_RANGE[stored.sign_mode]
    scaled = np.ldexp(incoming.values, stored.exponent)
    times = max(scaled.max() / max(highest, 1), scaled.min() / min(lowest, -1))
    text = (
        f"{stored.clipped} of {incoming.values.size} weights are clipped, the largest from "
        f"{times:.3g} times what the grid reaches: a coarser grid would round the others worse"
    )
    remedy = "train with fewer outliers, or use --granularity neuron"
    found = {"clipped": stored.clipped, "weights": incoming.values.size, "times": float(times)}
    return [Finding("info", f"synapse {incoming.synapse.name}", text, remedy, found)]


def vanished_rows(incoming: Incoming, stored: RoundedWeight, bits: int) -> list[Finding]:
    """Tell of neurons whose weights all round to zero, and which of them keep some all the same."""
    nearest = round_weight(incoming.values, stored.exponent, stored.sign_mode, bits)
    meant, near, kept = (
        incoming.row_sums(np.abs(v) > 0) > 0 for v in (incoming.values, nearest, stored.mantissa)
    )
    gone = meant & ~near
    if not gone.any():
        return []
    alive = int((gone & kept).sum())
    text = (
        f"all weights of {int(gone.sum())} of {gone.size} neurons round to zero; {alive} of them "
        "keep some at one step, as that is nearer to what their membranes do"
    )
    remedy = "use more weight bits, or --granularity neuron"
    found = {"neurons": int(gone.sum()), "kept": alive}
    return [Finding("info", f"synapse {incoming.synapse.name}", text, remedy, found)]


def _coarse(
    where: str, share: NDArray[np.float64], group: NDArray[np.bool_], what: str, unit: str,
    which: str = "",
) -> list[Finding]:  # fmt: skip
    """Return a warning of the coarse neurons of a group, if there are any."""
    coarse = np.flatnonzero(group & (share > _COARSE))
    if not coarse.size:
        return []
    worst = int(coarse[share[coarse].argmax()])
    times = f"{_MOST} or more" if share[worst] >= _MOST else f"{share[worst]:.3g}"
    text = (
        f"the weights of {coarse.size} of {len(share)} neurons{which} are rounded by more than "
        f"{_COARSE:.0%} of {what} (worst: neuron {worst}, {times} {unit})"
    )
    remedy = "use more weight bits, or scale each neuron's r, weights and threshold to one size"
    found = {"neurons": int(coarse.size), "worst": worst, "share": float(share[worst])}
    return [Finding("warning", where, text, remedy, found)]


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
