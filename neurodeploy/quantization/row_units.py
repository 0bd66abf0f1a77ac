"""A membrane unit of its own for every neuron, so that each row of weights fills its mantissas.

The weights of a population share an exponent, and the largest of all decides it. With a unit of its
own a neuron's row, bias, threshold and reset stand on another grid, and it fires as before
(``membrane_units.py``). The neurons of a convolution's channel share a kernel, and so a unit.

Exponents are known to be ruined by rows of dead neurons, whose tiny weights ask for absurd units:
here no neuron leaves what the registers hold at the scale of the population, and none has a
threshold of less than 64 units, or less than it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network import ConvLayout, Network, Population
from neurodeploy.network.arrays import FloatArray
from neurodeploy.quantization.convolutions import DemandOf
from neurodeploy.quantization.exponents import Fitted, fit_exponents
from neurodeploy.quantization.incoming import Drive, Incoming, drive_of, per_weight
from neurodeploy.quantization.membrane_units import FACTORS, Factor
from neurodeploy.quantization.plain import threshold_distance
from neurodeploy.quantization.population_scale import Needs, largest_factors, needs_of
from neurodeploy.quantization.rounders import MembraneRounder
from neurodeploy.quantization.rounding import (
    Bits,
    RoundedWeight,
    bits_of,
    round_weight,
    sign_mode_of,
    weight_limits,
)
from neurodeploy.quantization.scale_loss import cheap_measure, fit_loss, row_losses

#: Powers of two tried around the one at which a row's largest weight just fits: up to two more
#: clip it.
_OCTAVES = (-1, 0, 1, 2)
#: Powers of two by which weights may become finer beside thresholds; what comes after one that is
#: no better than the one before is not tried.
_SHIFTS = range(12)
#: What float weights may grow by when they are rounded.
_MARGIN = 15 / 16
#: Units that a threshold keeps.
_FINE = 64
#: Another unit must be better by this share.
_BETTER = 1 - 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class RowUnits:
    """Units of their own.

    Parameters
    ----------
    factor : float64 [N]
        How many times smaller they are than the population's one unit.
    exponents : mapping of synapse to int
        Binary places that all its rows share.
    gain : float
        Expected squared error of the membranes with them, as a share of that with one unit.
    thresholds : int
        Different integer thresholds.
    """

    factor: FloatArray
    exponents: Mapping[str, int]
    gain: float
    thresholds: int


@dataclass(frozen=True, slots=True, eq=False)
class GivenExponents:
    """A rounder whose exponents were chosen with the units of the rows."""

    rounder: MembraneRounder
    exponents: Mapping[str, int]

    def best(
        self, arriving: Incoming, bits: int, *, highest_exponent: int | None = None
    ) -> RoundedWeight:
        """Round at the given exponent, or the highest that is allowed."""
        exponent = self.exponents[arriving.synapse.name]
        if highest_exponent is not None:
            exponent = min(exponent, highest_exponent)
        return self.rounder.at(arriving, exponent, bits)

    def at(self, arriving: Incoming, exponent: int, bits: int) -> RoundedWeight:
        """Round at one exponent."""
        return self.rounder.at(arriving, exponent, bits)

    def mean_error(self, arriving: Incoming, rounded: RoundedWeight) -> NDArray[np.float64]:
        """Return what a bias could take away [N]."""
        return self.rounder.mean_error(arriving, rounded)


def rows_of(
    network: Network,
    population: Population,
    incoming: Sequence[Incoming],
    bits: Bits,
    bounds_in: Callable[[Factor], DemandOf],
    gain_max: float,
    steps: int,
    measured: MembraneRounder,
    *,
    powers_of_two: bool,
) -> tuple[RowUnits | None, list[Finding]]:
    """Return units of their own for the neurons of ``population``, if they may have them.

    Populations that are read by their membrane keep one unit, as their values are compared with
    each other; so do those on a target with one threshold per population.

    Parameters
    ----------
    gain_max, steps
        Largest DLIF gain, and steps of a sample.
    others
        As ``best_rows``.
    """
    read = network.readout.population == population.name and network.readout.kind != "count"
    if read or not population.fires or population.v_min is not None:
        return None, []
    where, drive = f"population {population.name}", drive_of(network, population)
    needs = needs_of(population, incoming, drive, gain_max, steps)
    found = best_rows(
        population, incoming, bits, bounds_in, needs, drive, measured, powers_of_two=powers_of_two
    )
    if found is None:
        text = (
            "all neurons keep one membrane unit: others of their own would round no better, or "
            "need more different thresholds than the target has"
        )
        return None, [Finding("info", where, text)]
    text = (
        f"{np.unique(found.factor).size} membrane units for {population.size} neurons, "
        f"{found.factor.min():.4g} to {found.factor.max():.4g} times finer than the common one, "
        f"with {found.thresholds} different thresholds: rounding makes {found.gain:.1%} of the "
        "squared membrane error"
    )
    numbers = {"loss_ratio": found.gain, "thresholds": found.thresholds}
    return found, [Finding("info", where, text, "", numbers)]


def best_rows(
    population: Population,
    incoming: Sequence[Incoming],
    bits: Bits,
    bounds_in: Callable[[Factor], DemandOf],
    needs: Needs,
    drive: Drive,
    measured: MembraneRounder,
    *,
    powers_of_two: bool,
) -> RowUnits | None:
    """Return the units of least loss together with the exponents; None where one unit is best.

    Parameters
    ----------
    population : Population
        In the one unit that is best for it, as ``incoming``, ``needs`` and ``drive`` are.
    bounds_in : callable
        Bounds of its states in units so many times smaller than that.
    measured : MembraneRounder
        The measure.
    powers_of_two : bool
        Whether units differ by powers of two alone.

    Raises
    ------
    RangeError
        If no scale fits with one unit.
    """
    where, cheap = f"population {population.name}", cheap_measure(measured, incoming)
    base = fit_exponents(where, incoming, bits, bounds_in(1.0)(incoming), cheap)
    rows = _rows(population, incoming)
    highest = largest_factors(population, needs, drive, base.demand, base.scale) * _MARGIN
    steps = (1.0,) if powers_of_two else FACTORS
    before = fit_loss(population, incoming, base, cheap)
    found, least, last = None, before, np.inf
    for shift in _SHIFTS:
        at = _shifted(incoming, base, shift)
        if at is None:
            break
        search = _Search(population, incoming, bits, at, base.scale.p, cheap)
        factor = search.best(rows, highest, steps)[rows]
        scaled = [replace(i, values=i.values * per_weight(factor, i.layout)) for i in incoming]
        rounder = GivenExponents(cheap, at)
        try:
            fitted = fit_exponents(where, scaled, bits, bounds_in(factor)(scaled), rounder)
        except RangeError:
            continue
        # A finer grid is not worth an overflow on input that nobody has seen.
        u, v = fitted.scale.u_proven, fitted.scale.v_proven
        if (base.scale.u_proven and not u) or (base.scale.v_proven and not v):
            continue
        loss = fit_loss(population, scaled, fitted, cheap, factor)
        if loss > last:
            break
        last = loss
        thresholds = _thresholds(population, factor, fitted.scale.p)
        allowed = base.demand.limits.threshold_settings
        if loss < least * _BETTER and (allowed is None or thresholds <= allowed):
            found, least = RowUnits(factor, at, loss / before, thresholds), loss
    return found


def _rows(population: Population, incoming: Sequence[Incoming]) -> NDArray[np.int64]:
    """Return which unit each neuron has [N]: one per channel where a convolution comes in."""
    channels = next(
        (i.layout.output_shape[0] for i in incoming if isinstance(i.layout, ConvLayout)),
        population.size,
    )
    return np.repeat(np.arange(channels), population.size // channels)


def _shifted(incoming: Sequence[Incoming], base: Fitted, shift: int) -> dict[str, int] | None:
    """Return exponents so many places finer at the same scale; None where no chip has them."""
    found = {}
    for arriving, rounded in zip(incoming, base.rounded, strict=True):
        found[arriving.synapse.name] = exponent = rounded.exponent + shift
        conv = isinstance(arriving.layout, ConvLayout)
        too_fine = base.scale.p - exponent < base.demand.limits.weight_exp_min
        if shift and rounded.mantissa.any() and (conv or too_fine):
            return None
    return found


def _thresholds(population: Population, factor: FloatArray, p: int) -> int:
    wanted = threshold_distance(population) * factor * 2.0**p
    return int(np.unique(np.rint(wanted[np.isfinite(wanted)])).size)


class _Search:
    """Rows of one population at given exponents, all at once."""

    def __init__(
        self,
        population: Population,
        incoming: Sequence[Incoming],
        bits: Bits,
        exponents: Mapping[str, int],
        p: int,
        cheap: MembraneRounder,
    ) -> None:
        self._incoming, self._cheap, self._p = incoming, cheap, p
        self._at = [
            (exponents[i.synapse.name], sign_mode_of(i.values), bits_of(bits, i.synapse.name))
            for i in incoming
        ]
        distance = threshold_distance(population)
        self._threshold = np.where(np.isfinite(distance), distance, 0.0)

    def best(
        self, rows: NDArray[np.int64], highest: FloatArray, steps: tuple[float, ...]
    ) -> FloatArray:
        """Return the factor of least loss of each row, at most ``highest`` [N]; 1 where none is."""
        count = int(rows[-1]) + 1
        factor = np.ones(count)
        least = self._losses(factor, rows)
        most = np.full(count, np.inf)
        np.minimum.at(most, rows, highest)
        units = self._threshold * 2.0**self._p
        fewest = np.zeros(count)
        # What is coarser than 64 units already may not become so still more. Less than one unit
        # says nothing.
        coarsest = np.where(units >= 1, np.minimum(_FINE / np.maximum(units, 1.0), 1.0), 0.0)
        np.maximum.at(fewest, rows, coarsest)
        room = np.exp2(np.floor(np.log2(np.clip(most, 2.0**-60, 2.0**60))))
        fits = np.minimum(self._fits(rows, count), room)
        for octave in _OCTAVES:
            for step in steps:
                tried = fits * 2.0**octave * step
                losses = self._losses(tried, rows)
                better = (tried >= fewest) & (tried <= most) & (losses < least * _BETTER)
                factor, least = np.where(better, tried, factor), np.where(better, losses, least)
        return factor

    def _fits(self, rows: NDArray[np.int64], count: int) -> FloatArray:
        """Return the power of two at which the largest weight of each row just fits."""
        largest = np.zeros(count)
        for arriving, (exponent, mode, bits) in zip(self._incoming, self._at, strict=True):
            limit = max(np.abs(weight_limits(mode, bits)))
            size = np.ldexp(np.abs(arriving.values), exponent) / limit
            own = np.zeros(_row_count(arriving, rows))
            np.maximum.at(own, _row_index(arriving), size.reshape(-1))
            np.maximum.at(largest, _to_units(own.size, rows), own)
        safe = np.where(largest > 0, largest, 1.0)
        return np.asarray(np.exp2(np.floor(-np.log2(safe))))

    def _losses(self, factor: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
        """Return the loss of each row's neurons together, in units of the population."""
        total = np.zeros(factor.size)
        for arriving, (exponent, mode, bits) in zip(self._incoming, self._at, strict=True):
            scaled = arriving.values * per_weight(factor[rows], arriving.layout)
            mantissa = round_weight(scaled, exponent, mode, bits)
            error = np.ldexp(mantissa.astype(np.float64), -exponent) - scaled
            own = row_losses(self._cheap, arriving, error)
            np.add.at(total, _to_units(own.size, rows), own)
        wanted = self._threshold * factor[rows] * 2.0**self._p
        missed = ((np.rint(wanted) - wanted) * 2.0**-self._p) ** 2
        np.add.at(total, rows, missed)
        return np.asarray(total / factor**2)


def _row_count(arriving: Incoming, rows: NDArray[np.int64]) -> int:
    """Return how many rows the weights have: channels of a convolution, neurons otherwise."""
    layout = arriving.layout
    return layout.output_shape[0] if isinstance(layout, ConvLayout) else rows.size


def _row_index(arriving: Incoming) -> NDArray[np.int64]:
    """Return the row of each weight, flat."""
    layout, shape = arriving.layout, arriving.values.shape
    if layout is not None and not isinstance(layout, ConvLayout):
        return np.repeat(np.arange(layout.indptr.size - 1), np.diff(layout.indptr))
    return np.repeat(np.arange(shape[0]), int(np.prod(shape[1:])))


def _to_units(count: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which unit each of ``count`` rows has: a channel's own, or its neuron's."""
    return rows if count == rows.size else np.arange(count)
