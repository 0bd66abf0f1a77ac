"""Integer populations and synapses from float ones, once scale and mantissas are chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network import (
    ALIGN_BITS,
    INPUT,
    V_THRESHOLD_MAX,
    ConvLayout,
    Encoder,
    FixedPopulation,
    FixedSynapse,
    Population,
)
from neurodeploy.network.fixed import FixedKind
from neurodeploy.network.fixed_population import GainForm
from neurodeploy.quantization.incoming import Drive, Incoming
from neurodeploy.quantization.plain import reset_origin, threshold_distance
from neurodeploy.quantization.rounding import RoundedWeight
from neurodeploy.register_limits import CHIP_LIMITS, RegisterLimits


def fixed_synapse(
    incoming: Incoming,
    weight: RoundedWeight,
    p: int,
    *,
    encoder: Encoder,
    weight_bits: int,
    delay: int,
) -> FixedSynapse:
    """Return the synapse with the mantissas of ``weight`` at scale ``64 * 2**p``."""
    synapse = incoming.synapse
    no_exponent = isinstance(incoming.layout, ConvLayout) or not weight.mantissa.any()
    return FixedSynapse(
        name=synapse.name,
        source=synapse.source,
        target=synapse.target,
        weight=weight.mantissa.astype(np.int32),
        weight_exp=0 if no_exponent else p - weight.exponent,
        sign_mode=weight.sign_mode,
        weight_bits=weight_bits,
        message_bits=_message_bits(synapse.source, encoder),
        delay=delay,
        layout=incoming.layout,
    )


def fixed_population(
    population: Population,
    drive: Drive,
    p: int,
    latency: int,
    gain: NDArray[np.int32] | None,
    gain_shift: int,
    limits: RegisterLimits = CHIP_LIMITS,
    gain_form: GainForm = "microcode",
) -> FixedPopulation:
    """Return the population at scale ``64 * 2**p``, with every bias of v in its register.

    Raises
    ------
    RangeError
        If the bias does not fit the register.
    """
    units = 2.0 ** (p + ALIGN_BITS)
    origin = reset_origin(population)
    distance = threshold_distance(population)
    finite = np.isfinite(distance)
    threshold = np.where(
        finite, np.rint(np.where(finite, distance, 0) * 2.0**p), V_THRESHOLD_MAX + 1
    )
    if gain is None:
        mantissa, bias_exp = _bias_register(drive.into_v * units, limits)
    else:
        # It joins the synaptic sum, which the gain multiplies.
        mantissa, bias_exp = np.rint(drive.into_sum * 2.0**p).astype(np.int32), 0
    decay = np.rint(4096 * population.decay_v).astype(np.int32)
    v_init = np.rint((population.v_init - origin) * units).astype(np.int32)
    kind: FixedKind = "readout" if population.kind == "li" else "lif"
    kind = "dlif" if gain is not None else kind
    subtracts = kind == "lif" and population.reset == "subtract"
    if kind == "lif":
        # Nothing can reach beyond it but a saturated membrane, which is counted.
        threshold = np.where(finite, threshold, limits.v_threshold_max)
    if kind == "lif" and not subtracts:
        # A membrane that keeps nothing forgets its start: the start that Lava can reach serves.
        v_init = np.where(decay == 4096, _settled(mantissa, bias_exp, threshold), v_init)
    if gain_form == "graded":
        # Its membrane is a stock LIF, which steps before its own first step, on nothing.
        v_init = np.where(decay == 4096, 0, v_init)
    return FixedPopulation(
        name=population.name,
        nir_nodes=population.nir_nodes,
        kind=kind,
        decay_u=current_decay(population),
        decay_v=decay,
        bias=mantissa,
        bias_exp=bias_exp,
        v_threshold=threshold.astype(np.int32),
        u_init=np.zeros(population.size, dtype=np.int32),
        v_init=v_init,
        latency=latency,
        scale=units,
        gain=gain,
        gain_shift=gain_shift,
        gain_form=gain_form,
        origin=origin,
        reset="subtract" if subtracts else "zero",
        shape=population.shape,
    )


def current_decay(population: Population) -> NDArray[np.int32]:
    """Return the register ``decay_u`` [N]: the chip keeps ``(4095 - decay_u) / 4096`` per step."""
    if population.decay_u is None:
        return np.full(population.size, 4095, dtype=np.int32)
    register = np.clip(np.rint(4096 * population.decay_u) - 1, 0, 4095)
    return np.asarray(register, dtype=np.int32)


def _settled(
    bias: NDArray[np.int32], bias_exp: int, threshold: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the membrane of a neuron without memory under its bias alone; 0 where that fires."""
    v = bias.astype(np.int64) << bias_exp
    return np.where(v > (threshold.astype(np.int64) << ALIGN_BITS), 0, v)


def _bias_register(
    bias_v: NDArray[np.float64], limits: RegisterLimits
) -> tuple[NDArray[np.int32], int]:
    """Round a bias in units of v to a mantissa and the smallest exponent that holds it."""
    for exponent in range(limits.bias_exp_max + 1):
        mantissa = np.rint(bias_v / 2.0**exponent)
        if np.abs(mantissa).max(initial=0.0) <= limits.bias_mantissa_max:
            return mantissa.astype(np.int32), exponent
    raise RangeError(
        f"bias of {np.abs(bias_v).max():.0f} units of v exceeds {limits.bias_mantissa_max} << "
        f"{limits.bias_exp_max}; rescale the network"
    )


def _message_bits(source: str, encoder: Encoder) -> int:
    """Return the width of what a source sends; codes of one bit are spikes."""
    return encoder.bits if source == INPUT and encoder.bits > 1 else 0
