"""Thresholds that give back the spikes that rounding took: a repair without gradients.

Rounded weights and biases shift membranes; a threshold that moves with them fires when the float
neuron does. Every neuron, or every population where a target has few settings, takes of a few
shifts the one at which its spikes differ least from the float network's. Populations go one after
the other, each behind those that have moved already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding, Result
from neurodeploy.network import FixedPointNetwork, FixedPopulation, Network, has_start_v
from neurodeploy.register_limits import RegisterLimits
from neurodeploy.simulate import run_fixed, run_float

#: Shifts that are tried, as shares of the threshold.
SHIFTS = (-0.08, -0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.04, 0.08)
#: Samples that are looked at: each shift is one run of all of them. Fewer of large networks.
MOST_SAMPLES, FEWEST_SAMPLES = 256, 16
_MOST_VALUES = 2**25
#: Noise of as many samples again, as share of all codes: directions that clean samples lack.
_NOISE = 0.1

_Spikes = Mapping[str, NDArray[np.bool_]]


def balanced_thresholds(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[Any],
    limits: RegisterLimits,
) -> Result[FixedPointNetwork]:
    """Return ``net`` with thresholds at which its spikes differ less from ``network``'s.

    Never more spikes differ than before, in all populations together, on the samples that are
    looked at: a population whose shifts make the sum worse keeps its thresholds.

    Parameters
    ----------
    network : Network
        The float network that the integers stand for.
    codes : int array [B, n_input] (held) or [T, B, n_input]
        Calibration samples; the first 256 (fewer of large networks) are looked at, each clean and
        with noise.
    limits : RegisterLimits
        With a limit on ``threshold_settings`` all neurons of a population move by one share.
    """
    samples = _with_noise(_first(net, codes), net.encoder.max_code)
    wanted = _spikes(run_float(network, samples, record=("spikes",)).records)
    known = {p.name for p in network.populations if p.fires}
    firing = [p.name for p in net.populations if p.kind != "readout" and p.name in known]
    before = now = _differing(net, samples, wanted, firing)
    moved: dict[str, int] = {}
    for name in firing:
        p = net.population(name)
        found = _best(net, p, samples, wanted[f"{name}/spikes"], limits)
        if (found.v_threshold == p.v_threshold).all():
            continue
        changed = _with(net, found)
        after = _differing(changed, samples, wanted, firing)
        if after < now:
            net, now = changed, after
            moved[name] = int((found.v_threshold != p.v_threshold).sum())
    total = sum(wanted[f"{name}/spikes"].size for name in firing)
    return Result(net, (_finding(before, now, total, moved),))


def _best(
    net: FixedPointNetwork,
    p: FixedPopulation,
    samples: NDArray[Any],
    wanted: NDArray[np.bool_],
    limits: RegisterLimits,
) -> FixedPopulation:
    """Return the population with the shift of least difference, of each neuron or of all."""
    tried, losses = [], []
    for share in SHIFTS:
        moved = _shifted(p, share, limits)
        spikes = _spikes(run_fixed(_with(net, moved), samples, record=("spikes",)).records)
        own = spikes[f"{p.name}/spikes"]
        tried.append(moved.v_threshold)
        losses.append((own != wanted).sum(axis=(0, 1)))
    # Of equal ones the smallest shift, and so its own threshold before any other.
    order = np.argsort(np.abs(SHIFTS), kind="stable")
    each = np.stack(losses)[order]
    if limits.threshold_settings is not None:
        each = np.broadcast_to(each.sum(axis=1, keepdims=True), each.shape)
    best = order[np.argmin(each, axis=0)]
    return replace(p, v_threshold=np.stack(tried)[best, np.arange(p.size)].astype(np.int32))


def _shifted(p: FixedPopulation, share: float, limits: RegisterLimits) -> FixedPopulation:
    """Return the population with thresholds moved by a share, where it can start so."""
    wanted = np.rint(p.v_threshold * (1.0 + share))
    threshold = np.clip(wanted, 1, limits.v_threshold_max).astype(np.int32)
    # What never fires, and what has no place to move to, stays.
    stays = (p.v_threshold < 1) | (p.v_threshold >= limits.v_threshold_max)
    moved = replace(p, v_threshold=np.where(stays, p.v_threshold, threshold))
    return moved if has_start_v(moved) or not has_start_v(p) else p


def _with(net: FixedPointNetwork, population: FixedPopulation) -> FixedPointNetwork:
    changed = (population if p.name == population.name else p for p in net.populations)
    return replace(net, populations=tuple(changed))


def _first(net: FixedPointNetwork, codes: NDArray[Any]) -> NDArray[Any]:
    """Return as many samples as are looked at."""
    steps = len(codes) if codes.ndim == 3 else net.steps or 1
    affordable = _MOST_VALUES // (steps * sum(p.size for p in net.populations))
    return codes[..., : min(MOST_SAMPLES, max(FEWEST_SAMPLES, affordable)), :]


def _with_noise(codes: NDArray[Any], highest: int) -> NDArray[Any]:
    """Return the samples, and as many again with Gaussian noise."""
    if highest == 1:
        return codes  # spikes, not a scale of codes
    random = np.random.default_rng(0)
    noisy = codes + random.normal(0.0, _NOISE * highest, codes.shape)
    moved = np.clip(np.rint(noisy), 0, highest).astype(codes.dtype)
    return np.concatenate([codes, moved], axis=-2)


def _spikes(records: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.bool_]]:
    return {k: np.asarray(v) != 0 for k, v in records.items() if k.endswith("/spikes")}


def _differing(
    net: FixedPointNetwork, samples: NDArray[Any], wanted: _Spikes, firing: Iterable[str]
) -> int:
    own = _spikes(run_fixed(net, samples, record=("spikes",)).records)
    return sum(int((own[f"{n}/spikes"] != wanted[f"{n}/spikes"]).sum()) for n in firing)


def _finding(before: int, after: int, total: int, moved: Mapping[str, int]) -> Finding:
    if not moved:
        text = f"thresholds stay: no shift gives back more spikes ({before} of {total} differ)"
    else:
        listed = ", ".join(f"{n} of {name}" for name, n in moved.items())
        text = (
            f"thresholds moved ({listed} neurons): {before} of {total} spikes differed from the "
            f"float network's on the calibration samples, clean and with noise, now {after}"
        )
    numbers = {"differing": [before, after], "compared": total, "moved": sum(moved.values())}
    return Finding("info", "thresholds", text, "", numbers)
