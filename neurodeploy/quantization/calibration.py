"""What calibration samples tell the quantiser before it chooses, and the user afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.quantization.plain import require_plain
from neurodeploy.quantization.quantizer import QuantizeConfig, quantize_network
from neurodeploy.simulate import run_fixed, run_float

#: Calibration looks at no more samples than this; ranges settle long before.
MAX_SAMPLES = 512
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

    Parameters
    ----------
    network : Network
        Float network.
    profile : Profile
        Target chip.
    config : QuantizeConfig
        Widths; defaults to 8 bits.
    calibration : int array [B, n_input]
        Input codes. Without them only proven bounds are used.
    calibration_hashes : tuple of str
        Hashes of all samples that were given for tuning, stored in the result.

    Raises
    ------
    RangeError, UnsupportedNodeError, ContractError
        As ``quantize_network``.
    """
    require_plain(network)
    if calibration is None:
        net, findings = quantize_network(network, profile, config)
        where, text = "calibration", "no calibration data: overflow and rates were not checked"
        note = Finding("info", where, text, "give --calibration")
        return Result(net, (*findings, note))
    codes = np.asarray(calibration)[:MAX_SAMPLES]
    net, findings = quantize_network(
        network,
        profile,
        config,
        v_seen=_v_seen(network, codes),
        calibration_hashes=calibration_hashes,
    )
    return Result(net, (*findings, *_check(network, net, codes)))


def _v_seen(network: Network, codes: NDArray[Any]) -> dict[str, float]:
    """Largest |v_pre - v_reset| of each population, in membrane units."""
    traces = run_float(network, codes, record=("v_pre",))
    return {
        p.name: float(np.abs(traces.records[f"{p.name}/v_pre"] - p.v_reset).max(initial=0.0))
        for p in network.populations
    }


def _check(network: Network, net: FixedPointNetwork, codes: NDArray[Any]) -> list[Finding]:
    """Run both networks on the calibration codes; report overflow, silence and rate changes."""
    before = run_float(network, codes, record=("spikes",))
    after = run_fixed(net, codes, record=("spikes",))
    findings = []
    for population in net.populations:
        name, where = population.name, f"population {population.name}"
        wraps = int(after.counts[f"{name}/wraps"].sum())
        clamps = int(after.counts[f"{name}/clamps"].sum())
        if wraps or clamps:
            text = f"u wrapped {wraps} times and v saturated {clamps} times on {len(codes)} samples"
            remedy = "use fewer weight bits or rescale the weights"
            found = {"wraps": wraps, "clamps": clamps}
            findings.append(Finding("warning", where, text, remedy, found))
        if population.kind == "readout":
            continue
        float_spikes = before.records[f"{name}/spikes"]
        fixed_spikes = after.records[f"{name}/spikes"]
        findings += _rates(where, float_spikes, fixed_spikes)
    return findings


def _rates(where: str, before: NDArray[Any], after: NDArray[Any]) -> list[Finding]:
    old, new = float(before.mean()), float(after.mean())
    agreement = float((before == after).mean())
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
