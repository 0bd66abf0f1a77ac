"""Choosing how many units of v stand for one membrane unit, so that nothing overflows.

The scale is ``64 * 2**p``: 64 because Lava shifts the synaptic sum by six bits, a power of two so
that weight exponents are whole. A larger p resolves threshold, bias and leak more finely; p is the
largest at which the synaptic sum cannot leave its range and the membrane stays in 24 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network import V_MAX, V_THRESHOLD_MAX, Population
from neurodeploy.quantization.rounding import RoundedWeight

#: Exponents of a synapse: what the chip's register holds.
WEIGHT_EXP_MIN, WEIGHT_EXP_MAX = -8, 7
#: The synaptic sum ``a`` must satisfy ``|a| < 2**17``, else ``a << 6`` wraps in u.
A_LIMIT = 2**17
#: Bias register: 13 bits signed, shifted left by up to 7.
BIAS_MANTISSA_MAX, BIAS_EXP_MAX = 4095, 7
#: A membrane that is not proven to fit must fit this many times what calibration showed.
CALIBRATION_HEADROOM = 4.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one population needs of its integer formats, in membrane units.

    ``a_bound``: largest possible |synaptic sum|; ``v_bound``: largest possible |v| over a sample;
    ``v_seen``: largest |v| on the calibration samples (None without any).
    """

    a_bound: float
    v_bound: float
    threshold: float
    bias: float
    v_seen: float | None


def demand_of(
    population: Population,
    rounded: Sequence[tuple[RoundedWeight, float]],
    bias: NDArray[np.float64],
    gain_max: float,
    steps: int,
    v_seen: float | None,
) -> Demand:
    """Bound sum and membrane of ``population`` over ``steps`` for any input.

    ``rounded`` pairs each incoming weight with the largest payload of its source (1 for spikes);
    ``bias`` [N] is what enters v per step, in membrane units; ``gain_max`` the largest DLIF gain.
    """
    size = population.size
    total = np.zeros(size)
    for weight, payload in rounded:
        positive = np.maximum(weight.mantissa, 0).sum(axis=1)
        negative = np.maximum(-weight.mantissa, 0).sum(axis=1)
        total += (
            np.ldexp(np.maximum(positive, negative).astype(np.float64), -weight.exponent) * payload
        )
    # The bias counts as input: with a gain it is multiplied too, and it may move to a synapse,
    # where rounding adds up to half a step, which is less than 1/128 of the largest bias.
    largest_bias = float(np.abs(bias).max(initial=0.0))
    per_step = (total + np.abs(bias) + largest_bias / 128) * gain_max
    keep = 1.0 - population.decay_v
    held = _geometric_sum(np.abs(keep), steps)
    start = np.abs(population.v_init - population.v_reset)
    finite = np.isfinite(population.v_threshold)
    threshold = np.abs(population.v_threshold - population.v_reset)[finite].max(initial=0.0)
    return Demand(
        a_bound=float(per_step.max(initial=0.0)),
        v_bound=float((per_step * held + start).max(initial=0.0)),
        threshold=float(threshold),
        bias=largest_bias if population.gain is None else 0.0,
        v_seen=v_seen,
    )


def _geometric_sum(ratio: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return ``1 + ratio + ... + ratio**(count - 1)`` for ratios in 0..1."""
    rest = np.where(ratio < 1.0, 1.0 - ratio, 1.0)
    # log1p and expm1 keep the digits where the ratio is close to 1.
    decayed = -np.expm1(count * np.log1p(-np.minimum(rest, 1.0 - 2.0**-53)))
    return np.where(ratio < 1.0, decayed / rest, float(count))


def choose_scale(where: str, demand: Demand, exponents: Sequence[int]) -> tuple[int, bool]:
    """Return the largest p that fits, and whether the membrane is proven not to saturate.

    Parameters
    ----------
    where : str
        Population, for messages.
    exponents : sequence of int
        Binary places of the population's synapses; ``p - exponent`` must be a legal weight
        exponent for each.

    Raises
    ------
    RangeError
        If no p satisfies all registers.
    """
    lowest = max((e + WEIGHT_EXP_MIN for e in exponents), default=-WEIGHT_EXP_MAX)
    highest = min((e + WEIGHT_EXP_MAX for e in exponents), default=17)
    hard = min(highest, _registers_allow(demand))
    proven = min(hard, _largest(demand.v_bound, V_MAX / 64))
    if proven >= lowest and _fine_enough(proven, demand):
        return proven, True
    seen = demand.v_seen
    if seen is not None:
        soft = min(hard, _largest(seen * CALIBRATION_HEADROOM, V_MAX / 64))
        if soft >= max(lowest, proven):
            return soft, False
    if proven >= lowest:
        return proven, True
    raise RangeError(
        f"{where}: no scale fits: weights need p in {lowest}..{highest}, the synaptic sum "
        f"({demand.a_bound:.4g}), threshold ({demand.threshold:.4g}) and bias ({demand.bias:.4g}) "
        f"allow p <= {hard}, the membrane bound {demand.v_bound:.4g} allows p <= {proven}; "
        "rescale the layer so that its weights, biases and threshold are of one size, use fewer "
        "encoder bits, or give --calibration data"
    )


def highest_exponent(demand: Demand) -> int:
    """Return the largest exponent of a weight at which some p still fits ``demand``."""
    p = _largest(demand.v_bound, V_MAX / 64)
    if demand.v_seen is not None:
        p = max(p, _largest(demand.v_seen * CALIBRATION_HEADROOM, V_MAX / 64))
    return min(p, _registers_allow(demand)) - WEIGHT_EXP_MIN


def _registers_allow(demand: Demand) -> int:
    """Return the largest p at which synaptic sum, threshold and bias fit."""
    return min(
        _largest(demand.a_bound, A_LIMIT - 4),
        _largest(demand.threshold, V_THRESHOLD_MAX),
        _largest(demand.bias, (BIAS_MANTISSA_MAX << BIAS_EXP_MAX) / 64),
    )


def _fine_enough(p: int, demand: Demand) -> bool:
    """Whether the threshold has at least six significant bits (or there is none)."""
    return demand.threshold == 0.0 or demand.threshold * 2.0**p >= 64


def _largest(value: float, limit: float) -> int:
    """Largest p with ``value * 2**p <= limit`` (a large p where the value is zero)."""
    return 30 if value <= 0 else int(np.floor(np.log2(limit / value)))
