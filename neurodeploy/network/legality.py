"""What a target cannot hold though Lava computes it: one error finding per violated register.

The limits are the target's (``RegisterLimits``); a network that names no profile is held against
what both Loihi chips share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed import (
    V_MAX,
    V_THRESHOLD_MAX,
    WEIGHT_RANGE,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)
from neurodeploy.network.graded_gain import (
    BIAS_MAX,
    DRIVE_LIMIT,
    MESSAGE_BITS,
    largest_drive,
)
from neurodeploy.register_limits import CHIP_LIMITS, RegisterLimits

#: Widest code that an input sends: what a port declares (lava-nc 0.10.0).
_CODE_BITS = 24
_RESCALE = "rescale the layer so that its weights, biases and threshold are of one size"
_NEAREST = "prepare the weights: neurodeploy quantize rounds to what the register holds"
_NO_DLIF = "use --remap fold or bitplane, or a chip with microcode or graded messages"
_QUIRKS = "or pass --lava-quirks to compute what Lava computes"


def check_legality(
    net: FixedPointNetwork, limits: RegisterLimits = CHIP_LIMITS
) -> tuple[Finding, ...]:
    """Return one ``error`` finding per register of ``net`` that ``limits`` do not allow.

    Each has what is used, the limit, and a remedy; ``numbers`` hold ``used`` and ``limit``, as
    [lowest, highest] where the register is a range.
    """
    findings: list[Finding] = []
    for population in net.populations:
        findings += _check_population(population, limits)
        if population.is_graded:
            findings += check_drive(net, population)
    for synapse in net.synapses:
        findings += _check_synapse(synapse, limits)
    return tuple(findings)


def require_legal(net: FixedPointNetwork, limits: RegisterLimits = CHIP_LIMITS) -> None:
    """Raise one RangeError with every violation if ``net`` holds what ``limits`` do not allow."""
    violations = check_legality(net, limits)
    if violations:
        lines = "\n  ".join(f"{v.where}: {v.what}; {v.remedy}" for v in violations)
        few = "1 register" if len(violations) == 1 else f"{len(violations)} registers"
        raise RangeError(f"{few} beyond what {limits.target} holds:\n  {lines}\n  {_QUIRKS}")


def _interval(
    where: str, what: str, values: object, low: int, high: int, remedy: str = _RESCALE
) -> list[Finding]:
    array = np.asarray(values)
    if array.size == 0 or (array.min() >= low and array.max() <= high):
        return []
    used = [int(array.min()), int(array.max())]
    text = f"{what} is {used[0]}..{used[1]}, the register holds {low}..{high}"
    return [_error(where, text, remedy, used, [low, high])]


def _error(where: str, text: str, remedy: str, used: Any, limit: Any) -> Finding:
    return Finding("error", where, text, remedy, {"used": used, "limit": limit})


def _check_population(p: FixedPopulation, limits: RegisterLimits) -> list[Finding]:
    where = f"population {p.name}"
    found = _interval(where, "decay_v", p.decay_v, 0, 4096, "use a tau of one step or longer")
    found += _interval(where, "u_init", p.u_init, -V_MAX, V_MAX)
    found += _interval(where, "v_init", p.v_init, -V_MAX, V_MAX)
    # One above the largest threshold is the agreed value of a read-out, which must not fire.
    highest = V_THRESHOLD_MAX + 1 if p.kind == "readout" else limits.v_threshold_max
    found += _interval(where, "v_threshold", p.v_threshold, 0, highest)
    if p.kind == "dlif":
        found += _interval(where, "gain", p.gain, 1, 255, "train with gains of one size")
        found += _interval(where, "gain_shift", p.gain_shift, 0, 7, "train with larger gains")
        largest = BIAS_MAX if p.is_graded else V_MAX
        found += _interval(where, "bias (24 bits)", p.bias, -largest, largest)
    else:
        found += _check_lif(where, p, limits)
    return found + _check_rules(where, p, limits) + _check_settings(where, p, limits)


def check_drive(net: FixedPointNetwork, p: FixedPopulation) -> list[Finding]:
    """Return an error if what a gain on graded messages sends may be too large for its LIF."""
    largest = largest_drive(net, p)
    if largest < DRIVE_LIMIT:
        return []
    text = (
        f"graded drive may reach {largest}, and a LIF without current takes less than {DRIVE_LIMIT}"
    )
    remedy = "rescale the weights, or use --remap microcode, where it saturates"
    limit = [-DRIVE_LIMIT + 1, DRIVE_LIMIT - 1]
    return [_error(f"population {p.name}", text, remedy, [-largest, largest], limit)]


def _check_lif(where: str, p: FixedPopulation, limits: RegisterLimits) -> list[Finding]:
    slow = "use a tau of one step to 4096 steps"
    found = _interval(where, "decay_u", p.decay_u, limits.decay_u_min, 4095, slow)
    largest, bits = limits.bias_mantissa_max, limits.bias_mantissa_bits
    found += _interval(
        where, f"bias mantissa ({bits} bits signed)", p.bias, -largest - 1, largest,
        "use a larger bias_exp, or carry the bias on an always-on line",
    )  # fmt: skip
    found += _interval(where, "bias_exp", p.bias_exp, 0, limits.bias_exp_max)
    found += _interval(
        where, "refractory_steps", p.refractory_steps, 0, limits.refractory_max,
        "use a shorter refractory time, or a longer dt",
    )  # fmt: skip
    return found


def _check_rules(where: str, p: FixedPopulation, limits: RegisterLimits) -> list[Finding]:
    """Check that the target's neurons follow the population's rule at all."""
    if p.is_graded and limits.message_bits < MESSAGE_BITS:
        has = f"of {limits.message_bits} bits" if limits.message_bits else "that are spikes alone"
        text = (
            f"is a dlif whose gain needs graded messages of {MESSAGE_BITS} bits, {limits.target} "
            f"has messages {has}"
        )
        return [_error(where, text, _NO_DLIF, MESSAGE_BITS, limits.message_bits)]
    if p.kind == "dlif" and not (limits.own_neurons or p.is_graded):
        has = " and graded messages" if limits.message_bits >= MESSAGE_BITS else ""
        text = f"is a dlif with a gain per step, {limits.target} has stock neurons{has} alone"
        remedy = "use --remap graded" if has else _NO_DLIF
        return [_error(where, text, remedy, "dlif", "lif")]
    if p.reset == "subtract" and not (limits.own_neurons or limits.subtracts):
        text = f"resets by subtraction, the neurons of {limits.target} reset to zero alone"
        remedy = "train with reset 'value', or use a chip with microcode"
        return [_error(where, text, remedy, "subtract", "zero")]
    return []


def _check_settings(where: str, p: FixedPopulation, limits: RegisterLimits) -> list[Finding]:
    """Check how many different per-neuron settings the target's cores hold."""
    found = []
    # A dlif has no current.
    pairs = np.stack([p.decay_v if p.kind == "dlif" else p.decay_u, p.decay_v])
    for what, values, most in (
        ("thresholds", p.v_threshold[None], limits.threshold_settings),
        ("pairs of decays", pairs, limits.decay_settings),
    ):
        used = np.unique(values, axis=1).shape[1]
        if most is not None and used > most:
            text = f"has {used} different {what}, {limits.target} holds {most}"
            remedy = f"share {what} among neurons, or split the population"
            found.append(_error(where, text, remedy, used, most))
    return found


def _check_synapse(s: FixedSynapse, limits: RegisterLimits) -> list[Finding]:
    where = f"synapse {s.name}"
    conv = isinstance(s.layout, ConvLayout)
    widest = limits.conv_weight_bits if conv else limits.weight_bits
    bits = _interval(where, "weight_bits", s.weight_bits, 1, min(widest, 8), "use fewer bits")
    found = bits + _interval(
        where, "weight_exp", s.weight_exp, limits.weight_exp_min, limits.weight_exp_max
    )
    # What enters a network is no neuron's message.
    payload = max(limits.message_bits, _CODE_BITS) if s.source == INPUT else limits.message_bits
    narrower = "use fewer encoder bits" if s.source == INPUT else "send spikes"
    found += _interval(where, "message_bits", s.message_bits, 0, payload, narrower)
    found += _interval(
        where, "delay", s.delay, 0, limits.delay_max,
        "use shorter delays, or put a relay on the way",
    )  # fmt: skip
    if s.sign_mode not in limits.sign_modes:
        text = f"has {s.sign_mode} weights, {limits.target} holds {', '.join(limits.sign_modes)}"
        remedy = "split the matrix by sign"
        found.append(_error(where, text, remedy, s.sign_mode, list(limits.sign_modes)))
    # A step that follows from illegal bits would mean nothing.
    return found if bits else found + _check_weights(where, s, widest)


def _check_weights(where: str, s: FixedSynapse, widest: int) -> list[Finding]:
    if isinstance(s.layout, ConvLayout) and widest > 8:
        bound = 2 ** (widest - 1)
        return _interval(where, "weight", s.weight, -bound, bound - 1, _NEAREST)
    low, high, step = WEIGHT_RANGE[s.sign_mode]
    step *= 2 ** (8 - s.weight_bits)
    found = _interval(where, f"weight ({s.sign_mode})", s.weight, low, high, _NEAREST)
    odd = int((s.weight % step != 0).sum())
    if odd:
        text = (
            f"{odd} of {s.weight.size} weights are not multiples of {step}, as {s.weight_bits} "
            f"bits {s.sign_mode} need"
        )
        found.append(_error(where, text, _NEAREST, odd, {"step": step}))
    return found
