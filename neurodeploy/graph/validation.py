"""Parameters under their contract: time constants against dt, thresholds against the reset rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.finding_list import FindingList, node_at
from neurodeploy.graph.nodes import IF, LIF, CubaLIF, Delay, Node, array_fields

#: A delay this close to a whole number of steps is whole.
WHOLE_STEP = 1e-6
#: Rounding of float32 that does not make dt longer than tau.
_ROUNDING = 1e-6
_FIRING = (IF, LIF, CubaLIF)


def check_node(
    name: str, node: Node, contract: Contract, max_elements: int, findings: FindingList
) -> None:
    """Add every finding about one node's numbers under ``contract`` (``dt`` may be unknown)."""
    for field, values in array_fields(node).items():
        if field.startswith("tau"):
            _check_tau(name, field, np.asarray(values, np.float64), contract, findings)
    if isinstance(node, _FIRING):
        _check_threshold(name, node, contract, findings)
    if isinstance(node, Delay):
        delay = np.asarray(node.delay, np.float64)
        if np.isfinite(delay).all():
            _check_delay(name, delay, contract, max_elements, findings)
    if "dlif_gain" in node.metadata:
        _check_gain(name, node, findings)


def _check_tau(name: str, field: str, tau: Any, contract: Contract, findings: FindingList) -> None:
    where = node_at(name)
    if not np.isfinite(tau).all():
        return
    shortest = float(tau.min())
    if shortest <= 0:
        text = f"{field} is {shortest:g} s; a time constant is positive"
        remedy = "a neuron without memory has tau = dt"
        findings.error(where, text, remedy, field=field, tau=shortest)
        return
    dt = contract.dt
    if dt is None or contract.decay == "exponential":
        return
    share = dt / shortest
    numbers: dict[str, Any] = {field: shortest, "dt": dt, "ratio": share}
    if share >= 2 - _ROUNDING:
        text = (
            f"dt {dt:g} s is {share:.3g} times {field} {shortest:g} s: "
            "Euler steps are unstable from 2 on"
        )
        remedy = "give the dt the network was trained with (--dt), or --decay exponential"
        findings.error(where, text, remedy, **numbers)
    elif share > 1 + _ROUNDING:
        text = f"dt {dt:g} s exceeds {field} {shortest:g} s: an Euler step overshoots its goal"
        remedy = "is dt right? No chip's decay can overshoot"
        findings.warning(where, text, remedy, **numbers)


def _check_threshold(
    name: str, node: IF | LIF | CubaLIF, contract: Contract, findings: FindingList
) -> None:
    where = node_at(name)
    threshold = np.asarray(node.v_threshold, np.float64)
    v_reset = np.asarray(node.v_reset, np.float64)
    if np.isnan(threshold).any() or np.isnan(v_reset).any():
        return
    lowest = float(threshold.min())
    low = int(np.count_nonzero(threshold <= 0))
    subtracts = contract.reset not in (None, "value")
    few = f"{low} of {threshold.size} thresholds are not positive (lowest {lowest:g})"
    if low and contract.spikes == "multiple":
        text = f"{few}, and spikes multiple divides by them"
        findings.error(where, text, "use --spikes single", v_threshold=lowest)
    elif low and subtracts:
        text = f"{few}: subtracting them never resets"
        findings.warning(where, text, "use --reset value", v_threshold=lowest)
    elif (threshold < 0).any():
        text = f"v_threshold is {lowest:g}: a membrane at rest (0) fires without input"
        findings.warning(where, text, "", v_threshold=lowest)
    if subtracts:
        if v_reset.any():
            text = f"v_reset is not zero, and reset {contract.reset} ignores it"
            findings.warning(where, text, "use --reset value if it is meant")
        return
    above = int(np.count_nonzero(v_reset > threshold))
    if above:
        text = f"v_reset is above v_threshold in {above} of {threshold.size} neurons"
        findings.warning(
            where, text, "they fire at every step; are the two exchanged?", count=above
        )
    if isinstance(contract.v_min, float) and (v_reset < contract.v_min).any():
        text = (
            f"v_reset {v_reset.min():g} is below v_min {contract.v_min:g}, so it is never reached"
        )
        findings.warning(where, text)


def _check_delay(
    name: str, delay: Any, contract: Contract, max_elements: int, findings: FindingList
) -> None:
    where = node_at(name)
    if (delay < 0).any():
        text = f"delay is {delay.min():g} s; a signal cannot come before it was sent"
        findings.error(where, text, delay=float(delay.min()))
        return
    if contract.dt is None:
        return
    with np.errstate(over="ignore"):  # infinitely many steps are refused below
        steps = delay / contract.dt
    if steps.max() > max_elements / delay.size:
        text = (
            f"delay {delay.max():g} s of {delay.size} values is {steps.max():g} steps long; "
            f"the limit is {max_elements} values in all"
        )
        findings.error(where, text, "is dt right?", steps=float(steps.max()))
        return
    whole = np.rint(steps)
    fractions = np.abs(steps - whole) > WHOLE_STEP * np.maximum(1.0, WHOLE_STEP * whole)
    if not fractions.any():
        return
    worst = float(steps[fractions].flat[0])
    text = f"delay of {worst:g} steps of {contract.dt:g} s is no whole number"
    if contract.delay_rounding in (None, "error"):
        remedy = "say how to round it with --delay-rounding nearest or floor"
        findings.error(where, text, remedy, raises=ContractError, steps=worst)
    else:
        count = int(fractions.sum())
        text += f"; {count} of {delay.size} are rounded ({contract.delay_rounding})"
        findings.warning(where, text, "", steps=worst, count=count)


def _check_gain(name: str, node: Node, findings: FindingList) -> None:
    where, entry = node_at(name), node.metadata["dlif_gain"]
    if not isinstance(node, _FIRING):
        text = f"metadata dlif_gain on a {type(node).__name__} has no meaning"
        findings.warning(where, text, "it belongs to LIF, IF or CubaLIF nodes")
        return
    if not isinstance(entry, Mapping) or "values" not in entry:
        findings.error(where, "metadata dlif_gain has no values")
        return
    values = np.asarray(entry["values"])
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "fiu":
        findings.error(where, f"dlif_gain values need shape [T], have {values.shape}")
    elif not np.isfinite(values).all() or (values <= 0).any():
        text = f"dlif_gain is {values.min():g}..{values.max():g}; gains must be positive and finite"
        findings.error(where, text, "train with a non-negative gain")
    elif not isinstance(after := entry.get("after", "last"), str) or after != "last":
        findings.error(where, f"dlif_gain after {after!r} is not supported; use 'last'")
