"""Network and profile to FixedPointNetwork: nearest rounding, one power-of-two exponent each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import (
    ALIGN_BITS,
    INPUT,
    V_THRESHOLD_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    Synapse,
    require_legal,
)
from neurodeploy.network.fixed import FixedKind
from neurodeploy.quantization.bias_line import with_bias_line
from neurodeploy.quantization.coarse_values import coarse_rows, coarse_thresholds
from neurodeploy.quantization.gain import quantize_gain
from neurodeploy.quantization.plain import require_plain
from neurodeploy.quantization.population_scale import (
    BIAS_EXP_MAX,
    BIAS_MANTISSA_MAX,
    Demand,
    choose_scale,
    demand_of,
    highest_exponent,
)
from neurodeploy.quantization.rounding import RoundedWeight, quantize_weight

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
    """

    weight_bits: int = 8
    gain_bits: int = 8
    lava_quirks: bool = False

    def __post_init__(self) -> None:
        """Check the widths."""
        if not 2 <= self.weight_bits <= 8:
            raise RangeError(f"weight_bits is {self.weight_bits}; Loihi stores 2 to 8 bits")
        if not 1 <= self.gain_bits <= 8:
            raise RangeError(f"gain_bits is {self.gain_bits}; a gain mantissa has 1 to 8 bits")


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
    v_seen: dict[str, float] | None = None,
    calibration_hashes: tuple[str, ...] = (),
) -> Result[FixedPointNetwork]:
    """Quantise every synapse and population of ``network``.

    Parameters
    ----------
    network : Network
        Float network, plain NIR-Euler.
    profile : Profile
        Target chip; its TOML text is stored in the result.
    config : QuantizeConfig
        Widths.
    v_seen : dict
        Largest |v - v_reset| per population on the calibration samples, in membrane units.
    calibration_hashes : tuple of str
        Hashes of those samples.

    Raises
    ------
    RangeError
        If a population fits no scale; the message has the numbers.
    UnsupportedNodeError
        For parameters with no place on the target.
    """
    require_plain(network)
    config = config or QuantizeConfig()
    built = _Built()
    latencies = _latencies(network)
    for population in network.populations:
        # Numbers beyond float64 are refused by name, not by a warning of numpy's.
        with np.errstate(over="ignore", invalid="ignore"):
            _quantize_population(
                network, population, latencies[population.name], config, (v_seen or {}), built
            )
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
    )
    if not config.lava_quirks:
        require_legal(net)
    return Result(net, tuple(built.findings))


def _latencies(network: Network) -> dict[str, int]:
    """Hardware steps from the input to each population; all paths must be equally long."""
    latency = {INPUT: 0}
    for population in network.populations:
        found = {s.source: latency[s.source] for s in network.synapses_into(population.name)}
        if len(set(found.values())) > 1:
            raise UnsupportedNodeError(
                f"population {population.name}: its sources arrive at different steps {found}; "
                "paths of unequal length need synaptic delays, which are not supported yet"
            )
        latency[population.name] = 1 + (next(iter(found.values())) if found else 0)
    return latency


def _quantize_population(
    network: Network,
    population: Population,
    latency: int,
    config: QuantizeConfig,
    v_seen: dict[str, float],
    built: _Built,
) -> None:
    where = f"population {population.name}"
    incoming = network.synapses_into(population.name)
    weights, bias = into_membrane(network, population, incoming)
    _check_sizes(where, population, weights, bias)
    payloads = [float(network.encoder.max_code) if s.source == INPUT else 1.0 for s in incoming]
    gain, shift, gain_max = quantize_gain(where, population.gain, config.gain_bits, built.findings)
    seen = v_seen.get(population.name)

    def demanded(rounded: list[RoundedWeight]) -> Demand:
        pairs = list(zip(rounded, payloads, strict=True))
        return demand_of(population, pairs, bias, gain_max, network.steps or 0, seen)

    rounded, demand = _round_weights(where, weights, config.weight_bits, demanded, built.findings)
    for synapse, weight, stored, payload in zip(incoming, weights, rounded, payloads, strict=True):
        built.findings += coarse_rows(synapse.name, population, weight, stored, payload)
    exponents = [r.exponent for r in rounded if r.mantissa.any()]
    p, proven = choose_scale(where, demand, exponents)
    if not proven:
        text = (
            f"|v| may exceed 24 bits on unseen input (bound {demand.v_bound:.4g}, scale 2^{p + 6})"
        )
        built.findings.append(
            Finding("warning", where, text, "watch the clamp counter", {"v_bound": demand.v_bound})
        )
    for synapse, stored in zip(incoming, rounded, strict=True):
        built.synapses.append(_fixed_synapse(network, synapse, stored, p, config))
    fixed = _fixed_population(population, bias, p, latency, gain, shift)
    fixed, line, moved = with_bias_line(fixed, bias, p)
    built.populations.append(fixed)
    built.synapses += line
    built.findings += moved
    built.findings += coarse_thresholds(population, fixed, p)


def _check_sizes(
    where: str,
    population: Population,
    weights: list[NDArray[np.float64]],
    bias: NDArray[np.float64],
) -> None:
    """Raise RangeError for values whose squares and sums leave float64."""
    threshold = population.v_threshold - population.v_reset
    named = [*(("weights", w) for w in weights), ("biases", bias)]
    named.append(("thresholds", threshold[np.isfinite(threshold)]))
    for what, values in named:
        largest = float(np.abs(values).max(initial=0.0))
        if largest and not 1 / _LARGEST < largest < _LARGEST:
            raise RangeError(
                f"{where}: its {what} are up to {largest:.4g} per step, beyond "
                f"{1 / _LARGEST:.0e}..{_LARGEST:.0e}; rescale the model, or check r, tau and dt"
            )


def _round_weights(
    where: str,
    weights: list[NDArray[np.float64]],
    bits: int,
    demanded: Callable[[list[RoundedWeight]], Demand],
    findings: list[Finding],
) -> tuple[list[RoundedWeight], Demand]:
    """Round at the best exponents; where no scale can follow, at the best that one can.

    A synapse reaches at most 8 binary places below the synaptic sum. Weights far smaller than the
    bias, or multiplied by wide input codes, need more: they keep fewer of their bits.
    """
    best = [quantize_weight(weight, bits) for weight in weights]
    rounded, demand = best, demanded(best)
    # Coarser weights change the bounds a little, and so the exponent that fits: twice settles it.
    for _ in range(3):
        limit = highest_exponent(demand)
        if all(r.exponent <= limit for r in rounded if r.mantissa.any()):
            break
        rounded = [
            r if r.exponent <= limit else quantize_weight(weight, bits, highest_exponent=limit)
            for r, weight in zip(rounded, weights, strict=True)
        ]
        demand = demanded(rounded)
    for before, after, weight in zip(best, rounded, weights, strict=True):
        if after is before:
            continue
        if not after.mantissa.any():
            raise RangeError(
                f"{where}: its weights (up to {np.abs(weight).max():.4g} per spike or code) "
                f"vanish beside threshold ({demand.threshold:.4g}), bias ({demand.bias:.4g}), "
                f"synaptic sum (up to {demand.a_bound:.4g}) or membrane (up to "
                f"{demand.v_bound:.4g}): the chip's weight exponents do not reach so far down; "
                "rescale the layer, use fewer encoder bits or steps, or give --calibration data"
            )
        lost, error = before.exponent - after.exponent, after.rms_error / np.abs(weight).max()
        text = (
            f"weights keep {lost} bits less than they could (rms error {error:.2%} of the largest):"
            " the chip's exponents do not reach so far below the synaptic sum"
        )
        remedy = "use fewer encoder bits, or smaller biases and thresholds beside these weights"
        found = {"bits_lost": lost, "error_rms": float(error)}
        findings.append(Finding("warning", where, text, remedy, found))
    return rounded, demand


def into_membrane(
    network: Network, population: Population, incoming: tuple[Synapse, ...]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return weights per input unit (code or spike) and the bias, as steps of v - v_reset.

    Raises
    ------
    UnsupportedNodeError
        For a gain with v_leak other than v_reset.
    """
    bias = population.input_gain * population.bias
    weights = []
    for synapse in incoming:
        weight = population.input_gain[:, None] * synapse.weight
        if synapse.source == INPUT:
            bias = bias + weight.sum(axis=1) * network.encoder.low
            weight = weight * network.encoder.step
        weights.append(weight)
    drift = population.decay_v * (population.v_leak - population.v_reset)
    if population.gain is not None and drift.any():
        raise UnsupportedNodeError(
            f"population {population.name}: a gain with v_leak != v_reset (largest drift "
            f"{np.abs(drift).max():.4g} per step) has no place in the integer rule, where the gain "
            "multiplies the bias; train with v_leak = v_reset"
        )
    return weights, bias + drift


def _fixed_synapse(
    network: Network, synapse: Synapse, weight: RoundedWeight, p: int, config: QuantizeConfig
) -> FixedSynapse:
    return FixedSynapse(
        name=synapse.name,
        source=synapse.source,
        target=synapse.target,
        weight=weight.mantissa.astype(np.int32),
        weight_exp=p - weight.exponent if weight.mantissa.any() else 0,
        sign_mode=weight.sign_mode,
        weight_bits=config.weight_bits,
        message_bits=network.encoder.bits if synapse.source == INPUT else 0,
    )


def _fixed_population(
    population: Population,
    bias: NDArray[np.float64],
    p: int,
    latency: int,
    gain: NDArray[np.int32] | None,
    gain_shift: int,
) -> FixedPopulation:
    units = 2.0 ** (p + ALIGN_BITS)
    distance = population.v_threshold - population.v_reset
    finite = np.isfinite(distance)
    threshold = np.where(
        finite, np.rint(np.where(finite, distance, 0) * 2.0**p), V_THRESHOLD_MAX + 1
    )
    if (threshold < 0).any():
        raise UnsupportedNodeError(
            f"population {population.name}: v_threshold lies below v_reset; no such register"
        )
    if gain is None:
        mantissa, bias_exp = _bias_register(bias * units)
    else:
        mantissa, bias_exp = np.rint(bias * 2.0**p).astype(np.int32), 0
    decay = np.rint(4096 * population.decay_v).astype(np.int32)
    v_init = np.rint((population.v_init - population.v_reset) * units).astype(np.int32)
    kind: FixedKind = "readout" if population.kind == "li" else "lif"
    kind = "dlif" if gain is not None else kind
    if kind == "lif":
        # Nothing can reach beyond it but a saturated membrane, which is counted.
        threshold = np.where(finite, threshold, V_THRESHOLD_MAX)
        # A membrane that keeps nothing forgets its start: the start that Lava can reach serves.
        v_init = np.where(decay == 4096, _settled(mantissa, bias_exp, threshold), v_init)
    return FixedPopulation(
        name=population.name,
        nir_nodes=population.nir_nodes,
        kind=kind,
        decay_u=np.full(population.size, 4095, dtype=np.int32),
        decay_v=decay,
        bias=mantissa,
        bias_exp=bias_exp,
        v_threshold=threshold.astype(np.int32),
        u_init=np.zeros(population.size, dtype=np.int32),
        v_init=v_init,
        latency=latency,
        scale=units,
        origin=_origin(population),
        gain=gain,
        gain_shift=gain_shift,
    )


def _settled(
    bias: NDArray[np.int32], bias_exp: int, threshold: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the membrane of a neuron without memory under its bias alone; 0 where that fires."""
    v = bias.astype(np.int64) << bias_exp
    return np.where(v > (threshold.astype(np.int64) << ALIGN_BITS), 0, v)


def _origin(population: Population) -> float:
    values = np.unique(population.v_reset)
    if values.size > 1:
        raise UnsupportedNodeError(
            f"population {population.name}: v_reset differs between neurons "
            f"({values[0]:g}..{values[-1]:g}); one value per population is supported"
        )
    return float(values[0])


def _bias_register(bias_v: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """Round a bias in units of v to a 13-bit mantissa and the smallest exponent that holds it."""
    for exponent in range(BIAS_EXP_MAX + 1):
        mantissa = np.rint(bias_v / 2.0**exponent)
        if np.abs(mantissa).max(initial=0.0) <= BIAS_MANTISSA_MAX:
            return mantissa.astype(np.int32), exponent
    raise RangeError(
        f"bias of {np.abs(bias_v).max():.0f} units of v exceeds {BIAS_MANTISSA_MAX} << "
        f"{BIAS_EXP_MAX}; rescale the network"
    )
