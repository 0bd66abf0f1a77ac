"""Network and profile to FixedPointNetwork: nearest rounding, one power-of-two exponent each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, NeurodeployError, RangeError, ResourceError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile, limits_of
from neurodeploy.network import (
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    require_legal,
)
from neurodeploy.network.fixed_population import GainForm
from neurodeploy.quantization.bias_correction import fit_with_bias
from neurodeploy.quantization.bias_line import with_bias_line
from neurodeploy.quantization.coarse_values import (
    clipped_weights,
    coarse_rows,
    coarse_thresholds,
    vanished_rows,
)
from neurodeploy.quantization.convolutions import DemandOf, arriving_at
from neurodeploy.quantization.exponents import Demanded, fit_exponents
from neurodeploy.quantization.fixed_parts import fixed_population, fixed_synapse
from neurodeploy.quantization.gain import quantize_gain
from neurodeploy.quantization.incoming import Drive, Incoming, drive_of
from neurodeploy.quantization.input_moments import Moments
from neurodeploy.quantization.latencies import (
    Timeline,
    latency_findings,
    solve_latencies,
)
from neurodeploy.quantization.membrane_units import (
    Factor,
    best_factor,
    in_own_units,
    in_units,
    seen_in_units,
)
from neurodeploy.quantization.mixed_precision import fit_widths, memory_of
from neurodeploy.quantization.plain import require_plain, threshold_distance
from neurodeploy.quantization.population_scale import Demand, Scale, Seen, demand_of
from neurodeploy.quantization.quantize_config import QuantizeConfig
from neurodeploy.quantization.rounders import (
    MeanErrorRounder,
    MembraneRounder,
    NearestRounder,
    Rounder,
)
from neurodeploy.quantization.rounding import Bits, RoundedWeight, bits_of
from neurodeploy.quantization.row_units import GivenExponents, rows_of
from neurodeploy.quantization.scale_loss import scale_loss
from neurodeploy.quantization.sign_split import split_signs
from neurodeploy.register_limits import RegisterLimits

#: Weights, biases and thresholds beyond this, or all below its inverse, are no model's.
_LARGEST = 1e60


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
    moments: Mapping[str, Moments] | None = None,
    steps: int | None = None,
    calibration_hashes: tuple[str, ...] = (),
    graded: Collection[str] = (),
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
    moments : mapping of synapse to Moments
        What they sent.
    steps : int
        Longest sample that bounds are for; default: the network's steps.
    calibration_hashes : tuple of str
        Hashes of those samples.
    graded : collection of str
        Populations whose gain goes on graded messages; others with one are microcode.

    Raises
    ------
    RangeError
        If a population fits no scale, or a synapse waits too long; the message has the numbers.
    UnsupportedNodeError
        For all that has no place on the target, at once.
    ResourceError
        For a convolution too large for what it needs, or weights too many for the memory.
    """
    require_plain(network)
    config = config or QuantizeConfig()
    steps = steps or network.steps or 0
    limits = limits_of(profile)
    if config.weight_bits != "auto" and config.weight_bits > limits.weight_bits:
        raise RangeError(
            f"weight_bits is {config.weight_bits}, {limits.target} stores {limits.weight_bits} "
            "at most; give --weight-bits"
        )
    if config.needs_samples and moments is None:
        raise InputError(
            f"rounding {config.rounding} with bias {config.bias} needs calibration samples to "
            "know what enters a neuron; give --calibration, or take rounding nearest and bias own"
        )
    measured = MembraneRounder(
        moments or {}, config.rounding == "adaptive", corrects_bias=config.bias == "corrected"
    )
    split: list[Finding] = []
    if config.sign_split == "auto" and config.weight_bits != "auto":
        network, known, split = split_signs(network, moments or {}, measured, config.weight_bits)
        measured = replace(measured, moments=known)

    def build(bits: Bits) -> Result[FixedPointNetwork]:
        return _built(
            network, profile, config, bits, measured, seen, steps or 0, calibration_hashes, graded
        )

    if config.weight_bits == "auto":
        memory = memory_of(profile, config.memory_bytes)
        return fit_widths(network, measured, memory, min(limits.weight_bits, 8), build)
    net, findings = build(config.weight_bits)
    return Result(net, (*split, *findings))


def _built(
    network: Network,
    profile: Profile,
    config: QuantizeConfig,
    bits: Bits,
    measured: MembraneRounder,
    seen: Mapping[str, Seen] | None,
    steps: int,
    calibration_hashes: tuple[str, ...],
    graded: Collection[str],
) -> Result[FixedPointNetwork]:
    """Quantise with weights of given widths."""
    limits = limits_of(profile)
    timeline = solve_latencies(network, longest_delay(profile), dict.fromkeys(graded, 1))
    built = _Built(findings=latency_findings(network, timeline, measured=seen is not None))
    built.findings += _payloads(network, limits)
    refused: list[NeurodeployError] = []
    for population in network.populations:
        # Numbers beyond float64 are refused by name, not by a warning of numpy's.
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                _quantize_population(
                    network,
                    population,
                    timeline,
                    config,
                    bits,
                    measured,
                    (seen or {}),
                    steps,
                    limits,
                    built,
                    "graded" if population.name in graded else "microcode",
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
        require_legal(net, limits)
    return Result(net, tuple(built.findings))


def _payloads(network: Network, limits: RegisterLimits) -> list[Finding]:
    """Warn of input codes on a target whose messages are spikes alone."""
    encoder = network.encoder
    bits = encoder.bits
    if limits.message_bits or bits == 1 or encoder.levels.form == "bias":
        return []
    text = f"codes of {bits} bits enter as graded messages, and {limits.target} has spikes alone"
    remedy = "use an encoder of 1 bit, or a chip with graded spikes"
    if encoder.kind == "constant":
        text += (
            ": its host would have to give the first layer's sums as biases, which rounds them "
            "once more; that rounding is in no number here"
        )
        remedy = f"give held images as biases (--encoder-form bias), {remedy}"
    return [Finding("warning", "encoder", text, remedy, {"bits": bits, "limit": 0})]


def _all_of(refused: Sequence[NeurodeployError]) -> NeurodeployError:
    """Return one error that says what all of them say, of the first one's class."""
    if len(refused) == 1:
        return refused[0]
    lines = "\n  ".join(str(error) for error in refused)
    return type(refused[0])(f"{len(refused)} populations cannot be quantised:\n  {lines}")


def longest_delay(profile: Profile) -> int:
    """Return the longest synaptic delay of a chip, in hardware steps; its lower estimate."""
    return limits_of(profile).delay_max


def _quantize_population(
    network: Network,
    given: Population,
    timeline: Timeline,
    config: QuantizeConfig,
    bits: Bits,
    measured: MembraneRounder,
    seen: Mapping[str, Seen],
    steps: int,
    limits: RegisterLimits,
    built: _Built,
    gain_form: GainForm,
) -> None:
    where = f"population {given.name}"
    _check_sizes(where, given, drive_of(network, given))
    gain, shift, gain_max = quantize_gain(where, given.gain, config.gain_bits, built.findings)

    def bounds_in(factor: Factor, drive: Drive | None = None) -> DemandOf:
        return _bounds(
            in_units(given, factor), gain_max, steps, seen_in_units(seen.get(given.name), factor),
            drive or drive_of(network, in_units(given, factor)), limits,
        )  # fmt: skip

    def arriving_in(factor: Factor) -> tuple[list[Incoming], list[Finding]]:
        population = in_units(given, factor)
        return arriving_at(
            network, population, timeline.delay, bounds_in(factor), bits=bits,
            limit=config.sparse_limit,
        )  # fmt: skip

    factor: Factor = 1.0
    if config.scale == "search":
        arriving, _ = arriving_in(1.0)
        factor = best_factor(scale_loss(given, arriving, bounds_in, measured, bits))
    incoming, written_out = arriving_in(factor)
    judge: MeanErrorRounder = measured
    if config.granularity == "neuron":
        one = factor
        rows, told = rows_of(
            network, in_units(given, one), incoming, bits, lambda f: bounds_in(one * f),
            gain_max, steps, measured, powers_of_two=config.scale == "power_of_two",
        )  # fmt: skip
        built.findings += told
        if rows is not None:
            factor, judge = one * rows.factor, GivenExponents(measured, rows.exponents)
            incoming, written_out = arriving_in(factor)
    population = in_units(given, factor)
    drive = drive_of(network, population)
    built.findings += written_out
    if config.bias == "corrected":
        fitted, drive = fit_with_bias(
            population, drive, incoming, bits, lambda d: bounds_in(factor, d)(incoming), judge
        )
    else:
        nearest = NearestRounder(largest=config.weight_exponent == "largest_weight")
        rounder: Rounder = judge if config.measures else nearest
        fitted = fit_exponents(where, incoming, bits, bounds_in(factor)(incoming), rounder)
    built.findings += fitted.findings
    p = fitted.scale.p
    for each, stored in zip(incoming, fitted.rounded, strict=True):
        width = bits_of(bits, each.synapse.name)
        built.findings += coarse_rows(population, each, stored)
        built.findings += clipped_weights(each, stored)
        built.findings += vanished_rows(each, stored, width)
        delay = timeline.delay[each.synapse.name]
        built.synapses.append(
            fixed_synapse(each, stored, p, encoder=network.encoder, weight_bits=width, delay=delay)
        )
    built.findings += _unproven(where, fitted.demand, fitted.scale, factor)
    latency = timeline.latency[population.name]
    fixed = fixed_population(population, drive, p, latency, gain, shift, limits, gain_form)
    has_current = population.decay_u is not None
    fixed, line, moved = with_bias_line(
        fixed, drive, p, has_current=has_current, factor=factor, limits=limits
    )
    built.populations.append(in_own_units(fixed, given, factor))
    built.synapses += line
    built.findings += moved
    built.findings += coarse_thresholds(population, fixed, p)


def _bounds(
    population: Population,
    gain_max: float,
    steps: int,
    seen: Seen | None,
    drive: Drive,
    limits: RegisterLimits,
) -> DemandOf:
    """Return what bounds the states of ``population`` for given synapses and mantissas."""
    where = f"population {population.name}"

    def bounds_for(incoming: Sequence[Incoming]) -> Demanded:
        for i in incoming:
            _require_size(where, "weights", i.values)

        def demanded(rounded: Sequence[RoundedWeight]) -> Demand:
            return demand_of(population, incoming, rounded, drive, gain_max, steps, seen, limits)

        return demanded

    return bounds_for


def _unproven(where: str, demand: Demand, scale: Scale, factor: Factor) -> list[Finding]:
    """Warn of states that fit what calibration showed, and not every input.

    ``demand`` and ``scale`` are in units that are ``factor`` times smaller than the membrane's;
    bounds are told in the largest ones of neurons that have their own.
    """
    findings, factor = [], float(np.min(factor))
    for state, proven, bound, counter in (
        ("u", scale.u_proven, demand.u_bound / factor, "wrap"),
        ("v", scale.v_proven, demand.v_bound / factor, "clamp"),
    ):
        if not proven:
            text = (
                f"|{state}| may exceed 24 bits on unseen input (bound {bound:.4g}, scale "
                f"{2.0 ** (scale.p + 6) * factor:.6g})"
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
