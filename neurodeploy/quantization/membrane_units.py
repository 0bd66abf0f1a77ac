"""A population in another unit of its membrane: the same spikes, another grid of integers.

The quantiser's scale is a power of two per membrane unit, so that weight exponents are whole. A
membrane has no unit of its own: with all that enters and all it is compared with times a factor,
a neuron fires as before. Factors between 1 and 2 give the scales between two powers of two. All
neurons of a population have one factor, or each its own (``row_units.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from neurodeploy.errors import NeurodeployError
from neurodeploy.network import FixedPopulation, Population
from neurodeploy.network.arrays import FloatArray
from neurodeploy.quantization.plain import reset_origin
from neurodeploy.quantization.population_scale import Seen

#: Factors tried: 1, 33/32, ... 63/32, so that units of v stay short binary numbers.
FACTORS = tuple(k / 32 for k in range(32, 64))
#: Another factor must be better than 1 by this share: rounding of the measure decides nothing.
_BETTER = 1 - 1e-9


#: How many times smaller units are than the membrane's own: of all neurons, or of each [N].
Factor: TypeAlias = FloatArray | float


def in_units(population: Population, factor: Factor) -> Population:
    """Return ``population`` with its membrane in units that are ``factor`` times smaller."""
    if np.all(factor == 1.0):
        return population
    return replace(
        population,
        input_gain=population.input_gain * factor,
        v_leak=population.v_leak * factor,
        v_threshold=population.v_threshold * factor,
        v_reset=population.v_reset * factor,
        v_init=population.v_init * factor,
        v_min=None if population.v_min is None else population.v_min * float(np.max(factor)),
    )


def seen_in_units(seen: Seen | None, factor: Factor) -> Seen | None:
    """Return the ranges seen in those units."""
    return None if seen is None else Seen(seen.v * factor, seen.current * factor)


def in_own_units(fixed: FixedPopulation, population: Population, factor: Factor) -> FixedPopulation:
    """Return integers made in other units, as integers of ``population`` itself."""
    if np.all(factor == 1.0):
        return fixed
    return replace(fixed, scale=fixed.scale * factor, origin=reset_origin(population))


def best_factor(loss: Callable[[float], float]) -> float:
    """Return the factor of least loss; the smallest where several are alike.

    Parameters
    ----------
    loss : callable
        Loss in the population's own units; what fits no register raises.

    Raises
    ------
    NeurodeployError
        That of the first factor, if none fits.
    """
    losses: list[float] = []
    first: NeurodeployError | None = None
    for factor in FACTORS:
        try:
            losses.append(loss(factor))
        except NeurodeployError as error:
            first = first or error
            losses.append(np.inf)
    if first is not None and not np.isfinite(losses).any():
        raise first
    best = int(np.argmin(losses))
    return FACTORS[best] if losses[best] < losses[0] * _BETTER else FACTORS[0]
