"""How well a scale rounds a population: the expected squared error of its membranes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.network import Population
from neurodeploy.network.arrays import FloatArray
from neurodeploy.quantization.convolutions import DemandOf
from neurodeploy.quantization.exponents import Fitted, fit_exponents
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.plain import threshold_distance
from neurodeploy.quantization.population_scale import Scale
from neurodeploy.quantization.rounders import MembraneRounder
from neurodeploy.quantization.rounding import Bits

#: Inputs of a neuron up to which the search looks at moments between them, too.
_SEARCHED = 256


def scale_loss(
    population: Population,
    incoming: Sequence[Incoming],
    bounds_in: Callable[[float], DemandOf],
    measured: MembraneRounder,
    bits: Bits,
) -> Callable[[float], float]:
    """Return the loss by factor: with a membrane unit so many times smaller, in its own units.

    Of weights, rounded to the nearest, and of thresholds, per neuron. A factor at which a state is
    no longer proven to stay in its register, which it is at factor 1, is no choice: a finer grid
    is not worth an overflow on input that nobody has seen.

    Parameters
    ----------
    population : Population
        In its own units.
    incoming : sequence of Incoming
        What enters it, in those units.
    bounds_in : callable
        Bounds of its states in units so many times smaller.

    Raises
    ------
    RangeError
        By the function that is returned, if no scale fits.
    """
    cheap = cheap_measure(measured, incoming)
    where = f"population {population.name}"

    def fitted_at(factor: float) -> tuple[list[Incoming], Fitted]:
        scaled = [replace(i, values=i.values * factor) for i in incoming]
        return scaled, fit_exponents(where, scaled, bits, bounds_in(factor)(scaled), cheap)

    kept = _proven(lambda: fitted_at(1.0)[1].scale)

    def loss(factor: float) -> float:
        scaled, fitted = fitted_at(factor)
        if not kept <= _proven(lambda: fitted.scale):
            raise RangeError(f"{where}: no scale is proven at a membrane unit of 1 / {factor}")
        lost = sum(cheap.loss(i, r) * _rows(i) for i, r in zip(scaled, fitted.rounded, strict=True))
        distance = threshold_distance(population) * factor
        distance = distance[np.isfinite(distance)]
        unit = 2.0**fitted.scale.p
        missed = ((np.rint(distance * unit) / unit - distance) ** 2).sum()
        return float(lost + missed) / factor**2

    return loss


def _proven(found: Callable[[], Scale]) -> set[str]:
    """Return the states that are proven to fit; none where no scale does."""
    try:
        scale = found()
    except RangeError:
        return set()
    return {name for name, proven in (("u", scale.u_proven), ("v", scale.v_proven)) if proven}


def fit_loss(
    population: Population,
    incoming: Sequence[Incoming],
    fitted: Fitted,
    cheap: MembraneRounder,
    factor: FloatArray | float = 1.0,
) -> float:
    """Return the loss of what was fitted where each neuron has a unit of its own.

    Parameters
    ----------
    population : Population
        In one unit for all.
    incoming : sequence of Incoming
        In units ``factor`` times smaller, one or each neuron's [N]; ``fitted`` from them.
    """
    every = np.broadcast_to(np.asarray(factor, np.float64), (population.size,))
    lost = 0.0
    for arriving, rounded in zip(incoming, fitted.rounded, strict=True):
        mantissa = rounded.mantissa.astype(np.float64)
        error = np.ldexp(mantissa, -rounded.exponent) - arriving.values
        own = row_losses(cheap, arriving, error)
        units = every.reshape(own.size, -1)[:, 0]
        lost += float((own / units**2).sum())
    distance = threshold_distance(population) * every
    finite, unit = np.isfinite(distance), 2.0**fitted.scale.p
    missed = (np.rint(distance[finite] * unit) / unit - distance[finite]) / every[finite]
    return lost + float((missed**2).sum())


def row_losses(cheap: MembraneRounder, incoming: Incoming, error: FloatArray) -> FloatArray:
    """Return the loss of the neurons of each row of the weights together [rows]."""
    return cheap.measure(incoming).row_losses(error, incoming.layout) * _rows(incoming)


def _rows(incoming: Incoming) -> float:
    """Return how many neurons share a row of the weights: the positions of a convolution."""
    rows = incoming.values.shape[0] if incoming.values.ndim > 1 else 1
    return incoming.row_sums(incoming.values).size / rows if incoming.values.ndim == 4 else 1.0


def cheap_measure(measured: MembraneRounder, incoming: Sequence[Incoming]) -> MembraneRounder:
    """Return the measure of the search: nearest mantissas, and moments no larger than they need."""
    wide = any(i.values[0].size > _SEARCHED for i in incoming if i.values.ndim > 1)
    moments = {n: m.diagonal() for n, m in measured.moments.items()} if wide else measured.moments
    return MembraneRounder(moments, corrects_bias=measured.corrects_bias)
