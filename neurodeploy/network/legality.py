"""What Lava would accept but a Loihi chip would not: one error finding per violated register.

Widths: docstrings of lava-nc 0.10.0's LIF and Dense processes; weight exponents: brian2_loihi and
nengo-loihi.
"""

from __future__ import annotations

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network.fixed import (
    DELAY_MAX,
    V_MAX,
    V_THRESHOLD_MAX,
    WEIGHT_RANGE,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)

#: Loihi 1's register for refractory delays (brian2_loihi).
_REFRACTORY_MAX = 64

_REMEDY = "rescale the network, or pass --lava-quirks to compute what Lava computes"


def check_legality(net: FixedPointNetwork) -> tuple[Finding, ...]:
    """Return one ``error`` finding per register that a value of ``net`` does not fit."""
    findings: list[Finding] = []
    for population in net.populations:
        findings += _check_population(population)
    for synapse in net.synapses:
        findings += _check_synapse(synapse)
    return tuple(findings)


def require_legal(net: FixedPointNetwork) -> None:
    """Raise RangeError with every violation if ``net`` holds chip-illegal values."""
    violations = check_legality(net)
    if violations:
        lines = "\n  ".join(f"{v.where}: {v.what}" for v in violations)
        raise RangeError(f"{len(violations)} values no chip can hold:\n  {lines}\n  {_REMEDY}")


def _interval(where: str, what: str, values: object, low: int, high: int) -> list[Finding]:
    array = np.asarray(values)
    if array.size == 0 or (array.min() >= low and array.max() <= high):
        return []
    found = {"lowest": int(array.min()), "highest": int(array.max()), "low": low, "high": high}
    text = f"{what} is {array.min()}..{array.max()}, the register holds {low}..{high}"
    return [Finding("error", where, text, _REMEDY, found)]


def _check_population(p: FixedPopulation) -> list[Finding]:
    where = f"population {p.name}"
    found = _interval(where, "decay_v", p.decay_v, 0, 4096)
    found += _interval(where, "u_init", p.u_init, -V_MAX, V_MAX)
    found += _interval(where, "v_init", p.v_init, -V_MAX, V_MAX)
    # One above the largest threshold is the agreed value of a read-out, which must not fire.
    highest = V_THRESHOLD_MAX + (p.kind == "readout")
    found += _interval(where, "v_threshold", p.v_threshold, 0, highest)
    if p.kind == "dlif":
        found += _interval(where, "gain", p.gain, 1, 255)
        found += _interval(where, "gain_shift", p.gain_shift, 0, 7)
        found += _interval(where, "bias (24 bits)", p.bias, -V_MAX, V_MAX)
    else:
        found += _interval(where, "decay_u", p.decay_u, 0, 4095)
        found += _interval(where, "bias mantissa (13 bits signed)", p.bias, -4096, 4095)
        found += _interval(where, "bias_exp", p.bias_exp, 0, 7)
        found += _interval(where, "refractory_steps", p.refractory_steps, 0, _REFRACTORY_MAX)
    return found


def _check_synapse(s: FixedSynapse) -> list[Finding]:
    where = f"synapse {s.name}"
    found = _interval(where, "weight_bits", s.weight_bits, 1, 8)
    found += _interval(where, "weight_exp", s.weight_exp, -8, 7)
    found += _interval(where, "message_bits", s.message_bits, 0, 24)
    found += _interval(where, "delay", s.delay, 0, DELAY_MAX)
    if found:
        return found
    low, high, step = WEIGHT_RANGE[s.sign_mode]
    step *= 2 ** (8 - s.weight_bits)
    found += _interval(where, f"weight ({s.sign_mode})", s.weight, low, high)
    if (s.weight % step != 0).any():
        text = f"weights are not multiples of {step}, as {s.weight_bits} bits {s.sign_mode} need"
        found.append(Finding("error", where, text, _REMEDY, {"step": step}))
    return found
