"""What calibration samples tell the quantiser before it chooses, and the user afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile, limits_of
from neurodeploy.network import FixedPointNetwork, Network, in_form
from neurodeploy.quantization.feedback_effect import FeedbackEffect
from neurodeploy.quantization.gain_choice import remap_gains
from neurodeploy.quantization.input_moments import input_moments
from neurodeploy.quantization.latencies import solve_latencies, with_extra_steps
from neurodeploy.quantization.plain import require_plain, reset_origin
from neurodeploy.quantization.population_scale import Seen
from neurodeploy.quantization.quantize_config import QuantizeConfig, config_for
from neurodeploy.quantization.quantizer import longest_delay, quantize_network
from neurodeploy.quantization.threshold_balancing import balanced_thresholds
from neurodeploy.simulate import run_fixed, run_float

#: Calibration looks at no more samples than this; ranges settle long before.
MAX_SAMPLES = 512
#: States recorded at a time, in values.
_BLOCK_VALUES = 2**23
#: Choices made by fewer samples than this get a finding.
FEW_SAMPLES = 16
#: A population outside these mean rates (spikes per neuron and step) gets a finding.
SILENT_RATE, SATURATED_RATE = 1e-4, 0.95


def quantize(
    network: Network,
    profile: Profile,
    config: QuantizeConfig | None = None,
    *,
    calibration: NDArray[Any] | None = None,
    calibration_hashes: tuple[str, ...] = (),
) -> Result[FixedPointNetwork]:
    """Quantise ``network`` for ``profile`` and check the result on the calibration samples.

    The integers are those that its encoder's form needs (``neurodeploy.network.in_form``).

    Parameters
    ----------
    network : Network
        Deployable float network (``neurodeploy.lowering.compose``).
    profile : Profile
        Target chip.
    config : QuantizeConfig
        Widths and choices; by default 8 bits and what ``config_for`` says.
    calibration : int array [B, n_input] (held for every step) or [T, B, n_input]
        Input codes. Without them only proven bounds are used.
    calibration_hashes : tuple of str
        Hashes of all samples that were given for tuning, stored in the result.

    Raises
    ------
    RangeError, ResourceError, UnsupportedNodeError, ContractError
        As ``quantize_network`` and ``in_form``.
    InputError
        For choices that need samples, without any; and as ``in_form``.
    ShapeError
        For codes of another shape.
    """
    require_plain(network)
    limits = limits_of(profile)
    config = config or config_for(calibrated=calibration is not None)
    if calibration is None:
        if config.threshold == "balanced":
            raise InputError(
                "threshold balanced needs calibration samples to count spikes on; give "
                "--calibration, or take threshold own"
            )
        mapped, remapped = remap_gains(network, config.remap, profile, config.gain_bits)
        net, findings = quantize_network(mapped.network, profile, config, graded=mapped.graded)
        where, text = "calibration", "no calibration data: overflow and rates were not checked"
        note = Finding("info", where, text, "give --calibration")
        formed, fitted = in_form(net, limits)
        return Result(formed, (*remapped, *findings, *fitted, note))
    codes = _checked(network, np.asarray(calibration))
    mapped, remapped = remap_gains(
        network, config.remap, profile, config.gain_bits, lambda: _blocks(network, codes)
    )
    extra = solve_latencies(mapped.network, longest_delay(profile), mapped.drive_steps).extra
    # What the chip can do: feedback that is slower there is so in calibration too.
    possible = with_extra_steps(mapped.network, extra)
    net, findings = quantize_network(
        mapped.network,
        profile,
        config,
        seen=_seen(possible, codes),
        moments=input_moments(possible, _blocks(possible, codes)) if config.measures else None,
        steps=max(network.steps or 0, len(codes) if codes.ndim == 3 else 0),
        calibration_hashes=calibration_hashes,
        graded=mapped.graded,
    )
    # Thresholds and checks are about the integers as they are saved.
    net, fitted = in_form(net, limits)
    findings = (*findings, *fitted)
    if config.threshold == "balanced":
        net, balanced = balanced_thresholds(possible, net, codes, limits)
        findings = (*findings, *balanced)
    # Against the network of real gains, so that what folding cost is in the numbers; feedback
    # through the gates of a gain has other synapses there.
    meant = network if extra.keys() <= {s.name for s in network.synapses} else mapped.network
    effect = FeedbackEffect(meant, with_extra_steps(meant, extra)) if extra else None
    checks = _check(network, effect, net, codes)
    few = _few_samples(codes.shape[-2]) if config.measures else []
    return Result(net, (*remapped, *findings, *few, *checks))


def _few_samples(count: int) -> list[Finding]:
    """Warn where what entered on so few samples decided how weights are rounded."""
    if count >= FEW_SAMPLES:
        return []
    text = (
        f"scales, roundings and biases were chosen by {count} samples; they say little about others"
    )
    remedy = f"give at least {FEW_SAMPLES}"
    return [Finding("warning", "calibration", text, remedy, {"samples": count})]


def _checked(network: Network, codes: NDArray[Any]) -> NDArray[Any]:
    """Return the first samples of ``codes``."""
    if codes.ndim not in (2, 3) or codes.shape[-1] != network.n_input:
        raise ShapeError(
            f"calibration: codes have shape {codes.shape}, needs [B, {network.n_input}] or "
            f"[T, B, {network.n_input}]"
        )
    if 0 in codes.shape:
        raise ShapeError(
            f"calibration: codes have shape {codes.shape}; give at least one sample and one step, "
            "or no calibration"
        )
    return codes[..., :MAX_SAMPLES, :]


def _blocks(network: Network, codes: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut the samples so that records of all states stay small."""
    steps = len(codes) if codes.ndim == 3 else network.steps or 1
    per_sample = 2 * steps * sum(p.size for p in network.populations)
    block = max(1, _BLOCK_VALUES // per_sample)
    for first in range(0, codes.shape[-2], block):
        yield codes[..., first : first + block, :]


def _seen(network: Network, codes: NDArray[Any]) -> dict[str, Seen]:
    """Return how far v and the current of each neuron went."""
    v = {p.name: np.zeros(p.size) for p in network.populations}
    current = dict(v)
    quantities = ("v_pre", "u") if any(p.decay_u is not None for p in network.populations) else (
        "v_pre",
    )  # fmt: skip
    for block in _blocks(network, codes):
        records = run_float(network, block, record=quantities).records
        for p in network.populations:
            away = np.abs(records[f"{p.name}/v_pre"] - reset_origin(p))
            v[p.name] = np.maximum(v[p.name], away.max(axis=(0, 1), initial=0.0))
            if p.decay_u is not None:
                u = np.abs(records[f"{p.name}/u"] * p.input_gain)
                current[p.name] = np.maximum(current[p.name], u.max(axis=(0, 1), initial=0.0))
    return {name: Seen(v[name], current[name]) for name in v}


class _Agreement:
    """Spikes of one population in both networks, added up over blocks."""

    def __init__(self) -> None:
        self.before = self.after = self.equal = self.total = self.wraps = self.clamps = 0

    def add(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        self.before += int(before.sum())
        self.after += int(after.sum())
        self.equal += int((before == after).sum())
        self.total += before.size


def _check(
    network: Network, effect: FeedbackEffect | None, net: FixedPointNetwork, codes: NDArray[Any]
) -> list[Finding]:
    """Run both networks on the calibration codes; report overflow, silence and rate changes.

    ``effect``: what feedback as slow as on the chip changes in float, if it is slower there.
    """
    found = {p.name: _Agreement() for p in net.populations}
    meant = {p.name for p in network.populations}
    for block in _blocks(network, codes):
        before = run_float(network, block, record=("spikes",))
        after = run_fixed(net, block, record=("spikes",))
        if effect is not None:
            effect.add(block, before)
        for name, agreement in found.items():
            agreement.wraps += int(after.counts[f"{name}/wraps"].sum())
            agreement.clamps += int(after.counts[f"{name}/clamps"].sum())
            if name in meant and net.population(name).kind != "readout":
                key = f"{name}/spikes"
                agreement.add(before.records[key], after.records[key])
    findings = [] if effect is None else effect.findings()
    for name, agreement in found.items():
        where = f"population {name}"
        if agreement.wraps or agreement.clamps:
            text = (
                f"u wrapped {agreement.wraps} times and v saturated {agreement.clamps} times on "
                f"{codes.shape[-2]} samples"
            )
            remedy = "use fewer weight bits or rescale the weights"
            numbers = {"wraps": agreement.wraps, "clamps": agreement.clamps}
            findings.append(Finding("warning", where, text, remedy, numbers))
        if agreement.total:
            findings += _rates(where, agreement)
    return findings


def _rates(where: str, found: _Agreement) -> list[Finding]:
    old, new = found.before / found.total, found.after / found.total
    agreement = found.equal / found.total
    numbers = {"rate_float": old, "rate_fixed": new, "agreement": agreement}
    text = f"rate {old:.4f} float, {new:.4f} fixed; {agreement:.2%} of spikes agree"
    findings = [Finding("info", where, text, "", numbers)]
    if new < SILENT_RATE:
        cause = "and in float too" if old < SILENT_RATE else "though not in float"
        remedy = "look at v_threshold, weights and dt"
        findings.append(Finding("warning", where, f"no spikes ({cause})", remedy, numbers))
    if new > SATURATED_RATE:
        text = f"fires at {new:.1%} of all steps"
        findings.append(Finding("warning", where, text, "look at v_threshold and bias", numbers))
    return findings
