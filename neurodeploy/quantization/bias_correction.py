"""Biases that take the mean error of rounded weights away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from neurodeploy.findings import Finding
from neurodeploy.network import Population
from neurodeploy.quantization.exponents import Demanded, Fitted, fit_exponents
from neurodeploy.quantization.incoming import Drive, Incoming
from neurodeploy.quantization.population_scale import highest_scale, scale_at
from neurodeploy.quantization.rounders import MeanErrorRounder
from neurodeploy.quantization.rounding import Bits

#: A corrected bias moves the bounds of the states a little, and so the scale: twice settles it.
_TRIES = 4


def fit_with_bias(
    population: Population,
    drive: Drive,
    incoming: Sequence[Incoming],
    bits: Bits,
    bounds_of: Callable[[Drive], Demanded],
    rounder: MeanErrorRounder,
) -> tuple[Fitted, Drive]:
    """Round every synapse, and return the biases that take the mean error of it away.

    What a neuron gets is rounded with errors of one sign more often than of the other; together
    they shift its membrane at every step. A constant takes that away as far as the input is one.

    Parameters
    ----------
    drive : Drive
        The population's own biases.
    bounds_of : callable
        What bounds its states with given biases.

    Raises
    ------
    RangeError
        As ``fit_exponents``.
    """
    where, now = f"population {population.name}", drive
    for _ in range(_TRIES):
        fitted = fit_exponents(where, incoming, bits, bounds_of(now), rounder)
        corrected = _corrected(population, drive, incoming, fitted, rounder)
        demand = bounds_of(corrected)(fitted.rounded)
        p = fitted.scale.p
        if p <= highest_scale(demand):
            return replace(fitted, demand=demand, scale=scale_at(p, demand)), corrected
        now = corrected
    fitted = fit_exponents(where, incoming, bits, bounds_of(drive), rounder)
    text = "its biases were not corrected: with them no scale settled"
    told = (*fitted.findings, Finding("warning", where, text, "use more weight bits"))
    return replace(fitted, findings=told), drive


def _corrected(
    population: Population,
    drive: Drive,
    incoming: Sequence[Incoming],
    fitted: Fitted,
    rounder: MeanErrorRounder,
) -> Drive:
    error = np.zeros(population.size)
    for arriving, rounded in zip(incoming, fitted.rounded, strict=True):
        error += rounder.mean_error(arriving, rounded)
    if population.decay_u is not None or population.gain is not None:
        return Drive(drive.into_sum - error, drive.into_v)
    return Drive(drive.into_sum, drive.into_v - error)
