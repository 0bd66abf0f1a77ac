"""Choosing how many units of v stand for one membrane unit, so that nothing overflows.

The scale is ``64 * 2**p``: 64 because Lava shifts the synaptic sum by six bits, a power of two so
that weight exponents are whole. A larger p resolves threshold, bias and leak more finely; p is the
largest at which u cannot leave its range and the membrane stays in 24 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network import V_MAX, Population
from neurodeploy.network.fixed import WEIGHT_RANGE
from neurodeploy.quantization.incoming import Drive, Incoming, whole_name
from neurodeploy.quantization.plain import reset_origin, threshold_distance
from neurodeploy.quantization.rounding import RoundedWeight
from neurodeploy.register_limits import CHIP_LIMITS, RegisterLimits

#: ``u`` must satisfy ``|u| < 2**23``; without memory it is ``a << 6``, so ``|a| < 2**17``.
A_LIMIT = 2**17
#: A state that is not proven to fit must fit this many times what calibration showed.
CALIBRATION_HEADROOM = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Largest |v - origin| and |current| of a population, or of each neuron [N], on the samples.

    In membrane units; ``current`` is the current's gain on the membrane times itself, 0 without.
    """

    v: NDArray[np.float64] | float
    current: NDArray[np.float64] | float = 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one population needs of its integer formats, in membrane units.

    ``a_bound``, ``u_bound``, ``v_bound``: largest possible |synaptic sum|, |u| and |v| over a
    sample; ``u_floors``: units of ``a`` by which the floors of all sums may add up in u; ``bias``
    and ``line``: what enters v by its register, and the current by an always-on line; ``seen``: on
    the calibration samples (None without any); ``limits``: what the target's registers hold.
    """

    a_bound: float
    u_bound: float
    u_floors: float
    v_bound: float
    threshold: float
    bias: float
    line: float
    seen: Seen | None
    has_current: bool
    limits: RegisterLimits = CHIP_LIMITS


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What every neuron of a population needs [N], in membrane units; see Demand."""

    a: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    held_u: NDArray[np.float64]


def demand_of(
    population: Population,
    incoming: Sequence[Incoming],
    rounded: Sequence[RoundedWeight],
    drive: Drive,
    gain_max: float,
    steps: int,
    seen: Seen | None,
    limits: RegisterLimits = CHIP_LIMITS,
) -> Demand:
    """Bound sum, current and membrane of ``population`` over ``steps`` for any input.

    Feedback and delays change nothing: a source sends at most one spike, or its payload, per step.
    ``rounded`` holds the mantissas of ``incoming``; ``gain_max`` is the largest DLIF gain.
    """
    signed = [(np.maximum(w.mantissa, 0), np.maximum(-w.mantissa, 0), w.exponent) for w in rounded]
    total = _largest_sums(population, incoming, signed)
    needs = _needs(population, total, drive, gain_max, steps)
    has_current = population.decay_u is not None
    threshold = threshold_distance(population)
    sums = max(3, len(incoming) + 1)
    return Demand(
        a_bound=float(needs.a.max(initial=0.0)),
        u_bound=float(needs.u.max(initial=0.0)),
        u_floors=float(sums * needs.held_u.max(initial=1.0)),
        v_bound=float(needs.v.max(initial=0.0)),
        threshold=float(threshold[np.isfinite(threshold)].max(initial=0.0)),
        bias=float(np.abs(drive.into_v).max(initial=0.0)),
        line=float(np.abs(drive.into_sum).max(initial=0.0)) if has_current else 0.0,
        seen=seen,
        has_current=has_current,
        limits=limits,
    )


def needs_of(
    population: Population,
    incoming: Sequence[Incoming],
    drive: Drive,
    gain_max: float,
    steps: int,
) -> Needs:
    """Bound the states of every neuron with its weights as they are, before they are rounded."""
    signed = [(np.maximum(i.values, 0), np.maximum(-i.values, 0), 0) for i in incoming]
    total = _largest_sums(population, incoming, signed)
    return _needs(population, total, drive, gain_max, steps)


def _largest_sums(
    population: Population,
    incoming: Sequence[Incoming],
    signed: Sequence[tuple[NDArray[Any], NDArray[Any], int]],
) -> NDArray[np.float64]:
    # What arrives through the two halves of a split matrix is one sum, of one source.
    sides: dict[str, list[NDArray[np.float64]]] = {}
    for arriving, (positive, negative, exponent) in zip(incoming, signed, strict=True):
        found = [
            np.ldexp(arriving.row_sums(side), -exponent) * arriving.payload
            for side in (positive, negative)
        ]
        known = sides.get(whole_name(arriving.synapse.name))
        if known is not None:
            found = [a + b for a, b in zip(known, found, strict=True)]
        sides[whole_name(arriving.synapse.name)] = found
    total = np.zeros(population.size)
    for positive, negative in sides.values():
        total += np.maximum(positive, negative)
    return total


def _needs(
    population: Population,
    total: NDArray[np.float64],
    drive: Drive,
    gain_max: float,
    steps: int,
) -> Needs:
    has_current = population.decay_u is not None
    # A bias counts as input: a gain multiplies it too, and it may move to a synapse, where rounding
    # adds up to half a step, which is less than 1/128 of the largest bias.
    on_synapse = np.abs(drive.into_sum) + (0 if has_current else np.abs(drive.into_v))
    per_step = (total + on_synapse + float(on_synapse.max(initial=0.0)) / 128) * gain_max
    held_u = np.ones(population.size)
    if population.decay_u is not None:
        held_u = _geometric_sum(1.0 - population.decay_u, steps)
    drift = np.abs(drive.into_v) if has_current else 0.0
    held_v = _geometric_sum(np.abs(1.0 - population.decay_v), steps)
    origin = reset_origin(population)
    start = np.abs(population.v_init - origin)
    return Needs(
        a=per_step,
        u=per_step * held_u,
        v=(per_step * held_u + drift) * held_v + start,
        held_u=held_u,
    )


def _geometric_sum(ratio: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return ``1 + ratio + ... + ratio**(count - 1)`` for ratios in 0..1."""
    rest = np.where(ratio < 1.0, 1.0 - ratio, 1.0)
    # log1p and expm1 keep the digits where the ratio is close to 1.
    decayed = -np.expm1(count * np.log1p(-np.minimum(rest, 1.0 - 2.0**-53)))
    return np.where(ratio < 1.0, decayed / rest, float(count))


@dataclass(frozen=True, slots=True)
class Scale:
    """``p``, and whether u and v are proven to stay in 24 bits on any input."""

    p: int
    u_proven: bool
    v_proven: bool


def choose_scale(where: str, demand: Demand, lowest: int, highest: int) -> Scale:
    """Return the largest p of ``lowest`` .. ``highest`` that fits.

    Parameters
    ----------
    where : str
        Population, for messages.
    lowest, highest : int
        What the weight exponents of its synapses allow.

    Raises
    ------
    RangeError
        If no p satisfies all registers.
    """
    proven = min(highest, _proven(demand))
    if proven >= lowest and fine_enough(proven, demand):
        return scale_at(proven, demand)
    if demand.seen is not None:
        soft = min(highest, _likely(demand, demand.seen))
        if soft >= max(lowest, proven):
            return scale_at(soft, demand)
    if proven >= lowest:
        return scale_at(proven, demand)
    raise RangeError(
        f"{where}: no scale fits: weights need p in {lowest}..{highest}, the synaptic sum "
        f"({demand.a_bound:.4g}), threshold ({demand.threshold:.4g}) and bias ({demand.bias:.4g}) "
        f"allow p <= {min(_u_allows(demand.u_bound, demand), _registers_allow(demand))}, the "
        f"membrane bound {demand.v_bound:.4g} allows "
        f"p <= {_largest(demand.v_bound, V_MAX / 64)}; rescale the layer so that its weights, "
        "biases and threshold are of one size, use fewer encoder bits, or give --calibration data"
    )


def allowed_weight_exps(exponents: Sequence[int], limits: RegisterLimits) -> tuple[int, int]:
    """Return the lowest and highest p at which every ``p - exponent`` is a legal weight exponent.

    ``exponents``: binary places of the weights of a population's dense and sparse synapses.
    """
    lowest = max((e + limits.weight_exp_min for e in exponents), default=-limits.weight_exp_max)
    highest = min((e + limits.weight_exp_max for e in exponents), default=17)
    return lowest, highest


def highest_scale(demand: Demand) -> int:
    """Return the largest p that ``choose_scale`` would take, whatever the weight exponents."""
    proven = _proven(demand)
    if demand.seen is None:
        return proven
    return max(proven, _likely(demand, demand.seen))


def largest_factors(
    population: Population, needs: Needs, drive: Drive, demand: Demand, scale: Scale
) -> NDArray[np.float64]:
    """Return how many times smaller the unit of each neuron may be at ``scale`` [N].

    So that its states stay as safe as those of the population are, and its registers fit.
    """
    limits, unit, seen = demand.limits, 2.0**scale.p, demand.seen
    room_u, room_v = A_LIMIT - 1 - demand.u_floors, V_MAX / 64
    u, v = needs.u, needs.v
    if seen is not None and not scale.u_proven:
        u = np.broadcast_to(np.asarray(seen.current * CALIBRATION_HEADROOM), u.shape)
    if seen is not None and not scale.v_proven:
        v = np.broadcast_to(np.asarray(seen.v * CALIBRATION_HEADROOM), v.shape)
    threshold = threshold_distance(population)
    threshold = np.where(np.isfinite(threshold), threshold, 0.0)
    bias = min(limits.bias_mantissa_max << limits.bias_exp_max, V_MAX) / 64
    line = WEIGHT_RANGE["mixed"][1] << limits.weight_exp_max
    most = np.full(population.size, np.inf)
    for value, room in (
        (u, room_u),
        (v, room_v),
        (threshold, limits.v_threshold_max),
        (np.abs(drive.into_v), bias),
        (np.abs(drive.into_sum) if demand.has_current else np.zeros(population.size), line),
    ):
        most = np.minimum(most, np.divide(room / unit, value, out=most.copy(), where=value > 0))
    return most


def fine_enough(p: int, demand: Demand) -> bool:
    """Whether the threshold has at least six significant bits (or there is none)."""
    return demand.threshold == 0.0 or demand.threshold * 2.0**p >= 64


def scale_at(p: int, demand: Demand) -> Scale:
    """Return the scale ``p`` with what is proven at it."""
    u_proven = p <= _u_allows(demand.u_bound, demand)
    return Scale(p, u_proven, p <= _largest(demand.v_bound, V_MAX / 64))


def _proven(demand: Demand) -> int:
    """Return the largest p at which neither u nor v can leave 24 bits."""
    v = _largest(demand.v_bound, V_MAX / 64)
    return min(_u_allows(demand.u_bound, demand), v, _registers_allow(demand))


def _likely(demand: Demand, seen: Seen) -> int:
    """Return the largest p at which the states seen fit with headroom.

    A current may then wrap on other input; a sum without memory never may.
    """
    u = _u_allows(demand.u_bound, demand)
    if demand.has_current:
        u = max(u, _u_allows(float(np.max(seen.current)) * CALIBRATION_HEADROOM, demand))
    v = _largest(float(np.max(seen.v)) * CALIBRATION_HEADROOM, V_MAX / 64)
    return min(u, v, _registers_allow(demand))


def _u_allows(largest_u: float, demand: Demand) -> int:
    """Return the largest p at which |u| of at most ``largest_u`` cannot wrap."""
    return _largest(largest_u, A_LIMIT - 1 - demand.u_floors)


def _registers_allow(demand: Demand) -> int:
    """Return the largest p at which threshold and bias fit."""
    limits = demand.limits
    # No register for v holds more than v itself.
    bias = min(limits.bias_mantissa_max << limits.bias_exp_max, V_MAX)
    return min(
        _largest(demand.threshold, limits.v_threshold_max),
        _largest(demand.bias, bias / 64),
        _largest(demand.line, WEIGHT_RANGE["mixed"][1] << limits.weight_exp_max),
    )


def _largest(value: float, limit: float) -> int:
    """Largest p with ``value * 2**p <= limit`` (a large p where the value is zero)."""
    return 30 if value <= 0 else int(np.floor(np.log2(max(limit, 1.0) / value)))
