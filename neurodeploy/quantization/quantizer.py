"""Network and profile to FixedPointNetwork: nearest rounding, one power-of-two exponent each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import NeurodeployError, RangeError, ResourceError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import (
    DELAY_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    require_legal,
)
from neurodeploy.quantization.bias_line import with_bias_line
from neurodeploy.quantization.coarse_values import coarse_rows, coarse_thresholds
from neurodeploy.quantization.convolutions import arriving_at
from neurodeploy.quantization.exponents import Demanded, fit_exponents
from neurodeploy.quantization.fixed_parts import fixed_population, fixed_synapse
from neurodeploy.quantization.gain import quantize_gain
from neurodeploy.quantization.incoming import Drive, Incoming, drive_of
from neurodeploy.quantization.latencies import (
    Timeline,
    latency_findings,
    solve_latencies,
)
from neurodeploy.quantization.plain import require_plain, threshold_distance
from neurodeploy.quantization.population_scale import Demand, Scale, Seen, demand_of
from neurodeploy.quantization.rounding import RoundedWeight

#: Weights, biases and thresholds beyond this, or all below its inverse, are no model's.
_LARGEST = 1e60


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """What the quantiser may choose.

    Parameters
    ----------
    weight_bits : int
        Width of a weight, 2..8; a mixed-sign matrix spends one bit on the sign.
    gain_bits : int
        Largest width of a DLIF gain mantissa, 1..8.
    lava_quirks : bool
        Keep integers that Lava takes and no chip holds.
    sparse_limit : int
        Most connections of a convolution that is written out as a sparse matrix.
    """

    weight_bits: int = 8
    gain_bits: int = 8
    lava_quirks: bool = False
    sparse_limit: int = 2**22

    def __post_init__(self) -> None:
        """Check the widths."""
        if not 2 <= self.weight_bits <= 8:
            raise RangeError(f"weight_bits is {self.weight_bits}; Loihi stores 2 to 8 bits")
        if not 1 <= self.gain_bits <= 8:
            raise RangeError(f"gain_bits is {self.gain_bits}; a gain mantissa has 1 to 8 bits")
        if self.sparse_limit < 0:
            raise RangeError(f"sparse_limit is {self.sparse_limit}; it cannot be negative")


@dataclass(slots=True)
class _Built:
    """Integer parts made so far, in update order."""

    populations: list[FixedPopulation] = field(default_factory=list)
    synapses: list[FixedSynapse] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def quantize_network(
    network: Network,
    profile: Profile,
    config: QuantizeConfig | None = None,
    *,
    seen: Mapping[str, Seen] | None = None,
    steps: int | None = None,
    calibration_hashes: tuple[str, ...] = (),
) -> Result[FixedPointNetwork]:
    """Quantise every synapse and population of ``network``.

    Parameters
    ----------
    network : Network
        Deployable float network: every synapse one matrix, sparse matrix or convolution.
    profile : Profile
        Target chip; its TOML text is stored in the result.
    config : QuantizeConfig
        Widths and limits.
    seen : mapping of population to Seen
        How far its states went on the calibration samples.
    steps : int
        Longest sample that bounds are for; default: the network's steps.
    calibration_hashes : tuple of str
        Hashes of those samples.

    Raises
    ------
    RangeError
        If a population fits no scale, or a synapse waits too long; the message has the numbers.
    UnsupportedNodeError
        For all that has no place on the target, at once.
    ResourceError
        For a convolution too large for what it needs.
    """
    require_plain(network)
    config = config or QuantizeConfig()
    steps = steps or network.steps or 0
    timeline = solve_latencies(network, longest_delay(profile))
    built = _Built(findings=latency_findings(network, timeline, measured=seen is not None))
    refused: list[NeurodeployError] = []
    for population in network.populations:
        # Numbers beyond float64 are refused by name, not by a warning of numpy's.
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                _quantize_population(
                    network, population, timeline, config, (seen or {}), steps, built
                )
            except (RangeError, ResourceError) as error:
                refused.append(error)
    if refused:
        raise _all_of(refused)
    net = FixedPointNetwork(
        populations=tuple(built.populations),
        synapses=tuple(built.synapses),
        n_input=network.n_input,
        encoder=network.encoder,
        readout=network.readout,
        steps=network.steps or 0,
        contract=network.contract,
        profile=profile.text,
        nir_file=network.nir_file,
        calibration=calibration_hashes,
        input_shape=network.input_shape,
    )
    if not config.lava_quirks:
        require_legal(net)
    return Result(net, tuple(built.findings))


def _all_of(refused: Sequence[NeurodeployError]) -> NeurodeployError:
    """Return one error that says what all of them say, of the first one's class."""
    if len(refused) == 1:
        return refused[0]
    lines = "\n  ".join(str(error) for error in refused)
    return type(refused[0])(f"{len(refused)} populations cannot be quantised:\n  {lines}")


def longest_delay(profile: Profile) -> int:
    """Return the longest synaptic delay of a chip, in hardware steps; its lower estimate."""
    known = profile.numerics.max_delay.interval("count")
    return DELAY_MAX if known is None else min(int(known[0]), DELAY_MAX)


def _quantize_population(
    network: Network,
    population: Population,
    timeline: Timeline,
    config: QuantizeConfig,
    seen: Mapping[str, Seen],
    steps: int,
    built: _Built,
) -> None:
    where, bits = f"population {population.name}", config.weight_bits
    drive = drive_of(network, population)
    _check_sizes(where, population, drive)
    gain, shift, gain_max = quantize_gain(where, population.gain, config.gain_bits, built.findings)

    def bounds_for(incoming: Sequence[Incoming]) -> Demanded:
        for i in incoming:
            _require_size(where, "weights", i.values)

        def demanded(rounded: Sequence[RoundedWeight]) -> Demand:
            known = seen.get(population.name)
            return demand_of(population, incoming, rounded, drive, gain_max, steps, known)

        return demanded

    incoming, written_out = arriving_at(
        network, population, timeline.delay, bounds_for, bits=bits, limit=config.sparse_limit
    )
    built.findings += written_out
    fitted = fit_exponents(where, incoming, bits, bounds_for(incoming))
    built.findings += fitted.findings
    p = fitted.scale.p
    for arriving, stored in zip(incoming, fitted.rounded, strict=True):
        built.findings += coarse_rows(population, arriving, stored)
        built.synapses.append(
            fixed_synapse(
                arriving,
                stored,
                p,
                encoder=network.encoder,
                weight_bits=bits,
                delay=timeline.delay[arriving.synapse.name],
            )
        )
    built.findings += _unproven(where, fitted.demand, fitted.scale)
    latency = timeline.latency[population.name]
    fixed = fixed_population(population, drive, p, latency, gain, shift)
    has_current = population.decay_u is not None
    fixed, line, moved = with_bias_line(fixed, drive, p, has_current=has_current)
    built.populations.append(fixed)
    built.synapses += line
    built.findings += moved
    built.findings += coarse_thresholds(population, fixed, p)


def _unproven(where: str, demand: Demand, scale: Scale) -> list[Finding]:
    """Warn of states that fit what calibration showed, and not every input."""
    findings = []
    for state, proven, bound, counter in (
        ("u", scale.u_proven, demand.u_bound, "wrap"),
        ("v", scale.v_proven, demand.v_bound, "clamp"),
    ):
        if not proven:
            text = (
                f"|{state}| may exceed 24 bits on unseen input (bound {bound:.4g}, scale "
                f"2^{scale.p + 6})"
            )
            remedy, found = f"watch the {counter} counter", {f"{state}_bound": bound}
            findings.append(Finding("warning", where, text, remedy, found))
    return findings


def _check_sizes(where: str, population: Population, drive: Drive) -> None:
    """Raise RangeError for values whose squares and sums leave float64."""
    threshold = threshold_distance(population)
    _require_size(where, "biases", drive.into_sum)
    _require_size(where, "biases", drive.into_v)
    _require_size(where, "thresholds", threshold[np.isfinite(threshold)])


def _require_size(where: str, what: str, values: NDArray[np.float64]) -> None:
    largest = float(np.abs(values).max(initial=0.0))
    if largest and not 1 / _LARGEST < largest < _LARGEST:
        raise RangeError(
            f"{where}: its {what} are up to {largest:.4g} per step, beyond {1 / _LARGEST:.0e}.."
            f"{_LARGEST:.0e}; rescale the model, or check r, tau and dt"
        )
