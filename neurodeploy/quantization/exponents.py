"""The exponents of all synapses into one population, and the scale that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network import ConvLayout
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.population_scale import (
    Demand,
    Scale,
    allowed_weight_exps,
    choose_scale,
    fine_enough,
    highest_scale,
)
from neurodeploy.quantization.rounders import NearestRounder, Rounder
from neurodeploy.quantization.rounding import Bits, RoundedWeight, bits_of

Demanded = Callable[[Sequence[RoundedWeight]], Demand]

_NEAREST = NearestRounder()
#: Bits that a convolution may lose to a common scale before it is better written out.
EASY_LOSS = 1
#: Bits that it may lose where it is too large to be written out.
HARD_LOSS = 4


@dataclass(frozen=True, slots=True)
class Fitted:
    """Mantissas of all synapses, the bounds that follow, and the scale."""

    rounded: tuple[RoundedWeight, ...]
    demand: Demand
    scale: Scale
    findings: tuple[Finding, ...]


def fit_exponents(
    where: str,
    incoming: Sequence[Incoming],
    bits: Bits,
    demanded: Demanded,
    rounder: Rounder = _NEAREST,
) -> Fitted:
    """Round every synapse at its best exponent, or the best that some scale can follow.

    Convolutions among ``incoming`` have no exponent of their own: the scale follows theirs (see
    ``misfits``).

    Raises
    ------
    RangeError
        If weights vanish at every legal exponent, or no scale fits.
    """
    widths = [bits_of(bits, i.synapse.name) for i in incoming]
    best = [rounder.best(i, n) for i, n in zip(incoming, widths, strict=True)]
    demand = demanded(best)
    rounded = best
    p: int | None = None
    # Coarser weights change the bounds a little, and so the exponent that fits: twice settles it.
    for _ in range(4):
        wanted = _conv_scale(incoming, best, demand)
        # Only ever down, so that two bounds close together cannot alternate.
        p = wanted if p is None or wanted is None else min(p, wanted)
        limit = (highest_scale(demand) if p is None else p) - demand.limits.weight_exp_min
        again = [
            _refit(i, b, r, n, limit, p, rounder)
            for i, b, r, n in zip(incoming, best, rounded, widths, strict=True)
        ]
        settled = all(a is b for a, b in zip(again, rounded, strict=True))
        rounded = again
        if settled:
            break
        demand = demanded(rounded)
    exponents = [
        r.exponent
        for i, r in zip(incoming, rounded, strict=True)
        if r.mantissa.any() and not isinstance(i.layout, ConvLayout)
    ]
    lowest, highest = allowed_weight_exps(exponents, demand.limits)
    if p is not None:
        lowest, highest = max(lowest, p), min(highest, p)
    findings = _lost_bits(where, incoming, best, rounded, demand)
    scale = choose_scale(where, demand, lowest, highest)
    return Fitted(tuple(rounded), demand, scale, tuple(findings))


def misfits(
    incoming: Sequence[Incoming], bits: Bits, demanded: Demanded, tolerated: int
) -> dict[str, str]:
    """Return the convolutions that cannot stay one, by synapse, with the reason for each.

    The scale of their population is the exponent of their mantissas, for all of them together. It
    must leave them all but ``tolerated`` bits, resolve the threshold, and let the other synapses
    follow with legal weight exponents.
    """
    best = [_NEAREST.best(i, bits_of(bits, i.synapse.name)) for i in incoming]
    demand = demanded(best)
    p = _conv_scale(incoming, best, demand)
    if p is None:
        return {}
    limit = highest_scale(demand)
    found = {}
    others = [
        (i.synapse.name, r.exponent)
        for i, r in zip(incoming, best, strict=True)
        if not isinstance(i.layout, ConvLayout) and r.mantissa.any()
    ]
    too_large = [name for name, e in others if p - e > demand.limits.weight_exp_max]
    for arriving, weight in zip(incoming, best, strict=True):
        if not (isinstance(arriving.layout, ConvLayout) and weight.mantissa.any()):
            continue
        name, lost = arriving.synapse.name, weight.exponent - p
        if lost > tolerated:
            cause = (
                "the ranges of sum, membrane, threshold and bias"
                if p == limit
                else "another convolution into the same population"
            )
            found[name] = f"{cause} would cost it {lost} of its {bits_of(bits, name)} bits"
        elif p < limit and not fine_enough(p, demand):
            found[name] = (
                f"at its scale the threshold ({demand.threshold:.4g}) would be "
                f"{demand.threshold * 2.0**p:.3g} units"
            )
        elif too_large:
            found[name] = f"the weights of {too_large[0]} are too large for its scale"
    return found


def _conv_scale(
    incoming: Sequence[Incoming], best: Sequence[RoundedWeight], demand: Demand
) -> int | None:
    """Return the scale that the convolutions dictate, or None without any."""
    exponents = [
        b.exponent
        for i, b in zip(incoming, best, strict=True)
        if isinstance(i.layout, ConvLayout) and b.mantissa.any()
    ]
    return min((*exponents, highest_scale(demand))) if exponents else None


def _refit(
    arriving: Incoming,
    best: RoundedWeight,
    now: RoundedWeight,
    bits: int,
    limit: int,
    p: int | None,
    rounder: Rounder,
) -> RoundedWeight:
    """Round again where the exponent is out of reach; return ``now`` itself where it is not."""
    if not best.mantissa.any():
        return now
    if p is not None and isinstance(arriving.layout, ConvLayout):
        return now if now.exponent == p else rounder.at(arriving, p, bits)
    if now.exponent <= limit:
        return now
    return rounder.best(arriving, bits, highest_exponent=limit)


def _lost_bits(
    where: str,
    incoming: Sequence[Incoming],
    best: Sequence[RoundedWeight],
    rounded: Sequence[RoundedWeight],
    demand: Demand,
) -> list[Finding]:
    """Warn of weights that keep fewer bits than they could; refuse those that vanish."""
    findings = []
    for arriving, before, after in zip(incoming, best, rounded, strict=True):
        if after is before:
            continue
        largest = float(np.abs(arriving.values).max())
        if not after.mantissa.any():
            raise RangeError(
                f"{where}: its weights (up to {largest:.4g} per spike or code) vanish beside "
                f"threshold ({demand.threshold:.4g}), bias ({demand.bias:.4g}), synaptic sum (up "
                f"to {demand.a_bound:.4g}) or membrane (up to {demand.v_bound:.4g}): the chip's "
                "weight exponents do not reach so far down; rescale the layer, use fewer encoder "
                "bits or steps, or give --calibration data"
            )
        lost, error = before.exponent - after.exponent, after.rms_error / largest
        cause = "the chip's exponents do not reach so far below the synaptic sum"
        if isinstance(arriving.layout, ConvLayout):
            cause = "a convolution has no exponent, so the scale of its population is its own"
        text = (
            f"weights keep {lost} bits less than they could (rms error {error:.2%} of the largest):"
            f" {cause}"
        )
        remedy = "use fewer encoder bits, or smaller biases and thresholds beside these weights"
        found = {"bits_lost": lost, "error_rms": float(error)}
        findings.append(Finding("warning", where, text, remedy, found))
    return findings
