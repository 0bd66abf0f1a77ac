"""Biases on a line of their own: those of synaptic currents, and those without a start state.

A bias of a current-based neuron enters u, which no register of the chip does. On Lava moreover
every neuron steps from hardware step 1, ``latency`` steps before its first input. A start state
undoes that where one exists (``neurodeploy.network.start_state``); else the bias enters through a
source that is 1 from the layer's own first step on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network import (
    ALWAYS_ON,
    FixedPopulation,
    FixedSynapse,
    has_start_v,
    with_start_v,
)
from neurodeploy.network.arrays import FloatArray
from neurodeploy.quantization.incoming import Drive
from neurodeploy.quantization.rounding import quantize_weight, sign_mode_of, weight_step
from neurodeploy.register_limits import CHIP_LIMITS, RegisterLimits

Lined = tuple[FixedPopulation, tuple[FixedSynapse, ...], tuple[Finding, ...]]


def with_bias_line(
    fixed: FixedPopulation,
    drive: Drive,
    p: int,
    *,
    has_current: bool,
    factor: FloatArray | float = 1.0,
    limits: RegisterLimits = CHIP_LIMITS,
) -> Lined:
    """Return ``fixed`` with start states for all neurons, and the line this takes, if any.

    Parameters
    ----------
    fixed : FixedPopulation
        With every bias of v in its register.
    drive : Drive
        Biases per step in membrane units.
    p : int
        One membrane unit is ``64 * 2**p`` units of v.
    has_current : bool
        Whether what arrives on a line passes through a current.
    factor : float or float64 [N]
        ``drive`` is in units that are so many times smaller than the membrane's, one or each [N].
    limits : RegisterLimits
        Of the target.

    Raises
    ------
    RangeError
        If ``v_init`` itself has no start state, or the line no legal exponent.
    """
    if has_current:
        return _with_current_bias(fixed, drive, p, factor, limits)
    moved = ~with_start_v(fixed)
    if not moved.any():
        return fixed, (), ()
    quiet = _without_bias(fixed, moved)
    _require_start(quiet)
    line = _always_on_line(fixed, np.where(moved, drive.into_v, 0.0), p, limits)
    text = (
        f"no start state lets the bias of {moved.sum()} neurons (up to "
        f"{np.abs(drive.into_v / factor)[moved].max():.4g}) act only from step 1; it enters "
        f"through an always-on line with exponent {line.weight_exp}"
    )
    wanted = np.where(moved, drive.into_v, 0.0)
    exact = (np.ldexp(line.weight[:, 0].astype(np.float64), line.weight_exp - p) == wanted).all()
    severity: Literal["info", "warning"] = "info" if exact else "warning"
    return quiet, (line,), (Finding(severity, f"population {fixed.name}", text),)


def _with_current_bias(
    fixed: FixedPopulation, drive: Drive, p: int, factor: FloatArray | float, limits: RegisterLimits
) -> Lined:
    where = f"population {fixed.name}"
    stuck = ~with_start_v(fixed)
    if (stuck & (fixed.decay_u != 4095)).any() and has_start_v(_without_bias(fixed, stuck)):
        raise RangeError(
            f"{where}: v_leak moves the membrane of {stuck.sum()} neurons by up to "
            f"{np.abs(drive.into_v / factor)[stuck].max():.4g} per step, and no start state lets "
            f"that act only from the layer's own first step (hardware step {fixed.latency + 1}); a "
            "line would pass through the synaptic current: train with v_leak = v_reset"
        )
    quiet = _without_bias(fixed, stuck)
    _require_start(quiet)
    # A current without memory passes on what it gets, so the line may carry a bias of v as well.
    bias = drive.into_sum + np.where(stuck, drive.into_v, 0.0)
    if not bias.any():
        return quiet, (), ()
    line = _always_on_line(fixed, bias, p, limits)
    stored = np.ldexp(line.weight[:, 0].astype(np.float64), line.weight_exp - p)
    error = float(np.abs((stored - bias) / factor).max())
    largest = float(np.abs(bias / factor).max())
    text = (
        f"the bias enters the synaptic current (up to {largest:.4g} per step) through an "
        f"always-on line, rounded by up to {error / largest:.2%} of the largest"
    )
    lines = (line,) if line.weight.any() else ()
    return quiet, lines, (Finding("info", where, text, "", {"error": error}),)


def _require_start(quiet: FixedPopulation) -> None:
    if not has_start_v(quiet):
        raise RangeError(
            f"population {quiet.name}: v starts at 0, {quiet.v_init.min()}..{quiet.v_init.max()} "
            f"units away from v_reset, and no start state leads there in {quiet.latency} hardware "
            "steps without a spike or an overflow; train with v_reset = 0, or with a longer tau"
        )


def _always_on_line(
    fixed: FixedPopulation, bias: NDArray[np.float64], p: int, limits: RegisterLimits
) -> FixedSynapse:
    # A line of its own keeps 8 bits whatever the width of the weights: a bias is no weight. The
    # chip would floor what is finer than one unit; rounding to whole units here is nearer.
    step = weight_step(sign_mode_of(bias), 8)
    highest = p + (step == 2)
    column = quantize_weight(bias[:, None], highest_exponent=highest, finest=True)
    exponent = p - column.exponent if column.mantissa.any() else 0
    if exponent > limits.weight_exp_max:
        raise RangeError(
            f"population {fixed.name}: its bias (up to {np.abs(bias).max():.4g}) needs weight "
            f"exponent {exponent} on an always-on line, legal are {limits.weight_exp_min}.."
            f"{limits.weight_exp_max}; train with smaller biases"
        )
    return FixedSynapse(
        name=f"{ALWAYS_ON}->{fixed.name}",
        source=ALWAYS_ON,
        target=fixed.name,
        weight=column.mantissa.astype(np.int32),
        weight_exp=exponent,
        sign_mode=column.sign_mode,
    )


def _without_bias(fixed: FixedPopulation, moved: NDArray[np.bool_]) -> FixedPopulation:
    """Clear the register of the ``moved`` neurons (and the start of those without memory)."""
    forgets = moved & (fixed.decay_v == 4096) & (fixed.kind == "lif")
    return replace(
        fixed,
        bias=np.where(moved, 0, fixed.bias),
        v_init=np.where(forgets, 0, fixed.v_init),
    )
