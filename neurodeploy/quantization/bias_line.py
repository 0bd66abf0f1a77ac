"""Biases that may not act from Lava's first step: they move to a line of their own.

On Lava every neuron steps from hardware step 1, ``latency`` steps before its first input. A start
state undoes that where one exists (``neurodeploy.network.start_state``); else the bias enters
through a source that is 1 from the layer's own first step on.
"""

from __future__ import annotations

from dataclasses import replace

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
from neurodeploy.quantization.population_scale import WEIGHT_EXP_MAX, WEIGHT_EXP_MIN
from neurodeploy.quantization.rounding import quantize_weight


def with_bias_line(
    fixed: FixedPopulation, bias: NDArray[np.float64], p: int
) -> tuple[FixedPopulation, tuple[FixedSynapse, ...], tuple[Finding, ...]]:
    """Return ``fixed`` with start states for all neurons, and the line this takes, if any.

    Parameters
    ----------
    fixed : FixedPopulation
        With every bias in its register.
    bias : float64 [N]
        Bias per step in membrane units.
    p : int
        One membrane unit is ``64 * 2**p`` units of v.

    Raises
    ------
    RangeError
        If ``v_init`` itself has no start state, or the line no legal exponent.
    """
    moved = ~with_start_v(fixed)
    if not moved.any():
        return fixed, (), ()
    quiet = _without_bias(fixed, moved)
    if not has_start_v(quiet):
        raise RangeError(
            f"population {fixed.name}: v starts at 0, {quiet.v_init.min()}..{quiet.v_init.max()} "
            f"units away from v_reset, and no start state leads there in {fixed.latency} hardware "
            "steps without a spike or an overflow; train with v_reset = 0, or with a longer tau"
        )
    line = _always_on_line(fixed, np.where(moved, bias, 0.0), p)
    text = (
        f"no start state lets the bias of {moved.sum()} neurons (up to "
        f"{np.abs(bias[moved]).max():.4g}) act only from step 1; it enters through an always-on "
        f"line with exponent {line.weight_exp}"
    )
    return quiet, (line,), (Finding("warning", f"population {fixed.name}", text),)


def _always_on_line(fixed: FixedPopulation, bias: NDArray[np.float64], p: int) -> FixedSynapse:
    # A line of its own keeps 8 bits whatever the width of the weights: a bias is no weight.
    column = quantize_weight(bias[:, None], highest_exponent=p - WEIGHT_EXP_MIN)
    exponent = p - column.exponent if column.mantissa.any() else 0
    if exponent > WEIGHT_EXP_MAX:
        raise RangeError(
            f"population {fixed.name}: its bias (up to {np.abs(bias).max():.4g}) needs weight "
            f"exponent {exponent} on an always-on line, legal are {WEIGHT_EXP_MIN}.."
            f"{WEIGHT_EXP_MAX}; train with smaller biases"
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
