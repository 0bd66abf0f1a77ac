"""Cost per inference of one model: clean and under attack, from fixed runs and from float runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost import Activity, compare, count_activity, estimate
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import FixedPointNetwork, Network, decide
from neurodeploy.robustness import RobustnessResult
from neurodeploy.simulate import run_fixed, run_float


def fixed_activity(
    net: FixedPointNetwork, codes: NDArray[Any], threads: int | None = None
) -> Activity:
    """Count what the chip would do for ``codes``: hardware time, drain steps included."""
    return count_activity(net, run_fixed(net, codes, timing="lava", threads=threads))


def float_activity(network: Network, net: FixedPointNetwork, codes: NDArray[Any]) -> Activity:
    """Count the same operations of the float network, on the same hardware time axis."""
    return count_activity(net, run_float(network, codes, timing="lava"))


def measure_cost(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[Any],
    result: RobustnessResult,
    profile: Profile,
    threads: int | None = None,
) -> dict[str, Any]:
    """Estimate energy and latency on clean samples and on the points that attacks found.

    The attacked inputs are, for the strongest attack at a middle radius, one point per sample: one
    that breaks the fixed-point network where there is one.
    """
    perturbation, radius = _middle_attack(result)
    attacked = breaking_points(net, result, perturbation, radius)
    clean_fixed = fixed_activity(net, codes, threads)
    hit_fixed = fixed_activity(net, attacked, threads)
    clean, hit = estimate(clean_fixed, profile), estimate(hit_fixed, profile)
    return {
        "clean": {
            "fixed": clean.as_dict(),
            "float": float_activity(network, net, codes).as_dict(),
        },
        "attacked": {
            "perturbation": perturbation,
            "radius_codes": radius,
            "fixed": hit.as_dict(),
            "float": float_activity(network, net, attacked).as_dict(),
        },
        "ratios": [
            {"what": "attacked to clean, fixed point", **compare(hit, clean).as_dict()},
        ],
        "summary": clean.summary(),
    }


def _middle_attack(result: RobustnessResult) -> tuple[str, int]:
    """Return the last gradient attack asked for and the middle radius."""
    config = result.config
    perturbations, radii = config.perturbations, config.radii_codes
    gradient = [p for p in perturbations if p != "gaussian"] or list(perturbations)
    return gradient[-1], radii[len(radii) // 2]


def breaking_points(
    net: FixedPointNetwork, result: RobustnessResult, perturbation: str, radius: int
) -> NDArray[np.int32]:
    """Return one found point per sample, int32 [n, n_input].

    The first member's point that makes the fixed-point network wrong; where none does, the first
    member's point.
    """
    evidence = result.evidence
    row = next(r for r in evidence.rows if r.key == f"{perturbation}/{radius}")
    chosen = row.points[0].copy()
    broken = np.zeros(len(chosen), dtype=np.bool_)
    for points in row.points:
        wrong = decide(run_fixed(net, points).scores()) != evidence.labels
        take = wrong & ~broken
        chosen[take] = points[take]
        broken |= wrong
    return chosen
