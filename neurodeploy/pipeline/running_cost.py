"""Cost per inference of one model: clean and under attack, from fixed runs and from float runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost import Activity, CostEstimate, compare, count_activity, estimate
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import ALWAYS_ON, FixedPointNetwork, Network, decide
from neurodeploy.quantization.gain_remapping import as_built
from neurodeploy.robustness import RobustnessResult
from neurodeploy.robustness.evidence import evidence_key
from neurodeploy.simulate import run_fixed, run_float


def fixed_activity(
    net: FixedPointNetwork, codes: NDArray[Any], threads: int | None = None
) -> Activity:
    """Count what the chip would do for ``codes``: hardware time, drain steps included."""
    traces = run_fixed(net, codes, record=("spikes",), timing="lava", threads=threads)
    return count_activity(net, traces, codes)


def aligned_activities(
    network: Network, net: FixedPointNetwork, codes: NDArray[Any], threads: int | None = None
) -> tuple[Activity, Activity]:
    """Count the same steps of the float and of the fixed-point network: logical time, no drain.

    On the same chip: the float network has the integers' gates and split matrices, and pays for
    the lines that its biases would need there.
    """
    before = run_float(as_built(network, net), codes, record=("spikes",))
    after = run_fixed(net, codes, record=("spikes",), threads=threads)
    lines = [f"{s.name}/operations" for s in net.synapses if s.source == ALWAYS_ON]
    paid = replace(before, counts={**before.counts, **{key: after.counts[key] for key in lines}})
    return count_activity(net, paid, codes), count_activity(net, after, codes)


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
    float_clean, same_clean = aligned_activities(network, net, codes, threads)
    float_hit, same_hit = aligned_activities(network, net, attacked, threads)
    return {
        "clean": {
            "fixed": clean.as_dict(),
            "float": float_clean.as_dict(),
        },
        "attacked": {
            "perturbation": perturbation,
            "radius_codes": radius,
            "fixed": hit.as_dict(),
            "float": float_hit.as_dict(),
        },
        "ratios": [
            _ratio("attacked to clean, fixed point", hit, clean),
            _ratio(
                "fixed point to float, clean, without drain",
                estimate(same_clean, profile),
                estimate(float_clean, profile),
            ),
            _ratio(
                "fixed point to float, attacked, without drain",
                estimate(same_hit, profile),
                estimate(float_hit, profile),
            ),
        ],
        "summary": clean.summary(),
    }


def _ratio(what: str, cost: CostEstimate, baseline: CostEstimate) -> dict[str, Any]:
    return {"what": what, **compare(cost, baseline).as_dict()}


def _middle_attack(result: RobustnessResult) -> tuple[str, float]:
    """Return the last gradient attack asked for and the middle radius."""
    config = result.config
    perturbations, radii = config.perturbations, config.radii_codes
    gradient = [p for p in perturbations if p != "gaussian"] or list(perturbations)
    return gradient[-1], radii[len(radii) // 2]


def breaking_points(
    net: FixedPointNetwork, result: RobustnessResult, perturbation: str, radius: float
) -> NDArray[np.int32]:
    """Return one point per sample, int32 [n, n_input].

    The first found point that makes the fixed-point network wrong; where none does, the first
    point; where nothing was tried, because the clean sample is wrong already, the sample.
    """
    evidence = result.evidence
    key = evidence_key(perturbation, radius)
    rows = next(r for r in evidence.rows if r.key == key).rows
    chosen = evidence.codes.copy()
    if rows.sample.size == 0:
        return chosen
    wrong = decide(run_fixed(net, rows.points).scores()) != evidence.labels[rows.sample]
    # Backwards, so that the first row of a sample is written last; then those that break it.
    order = np.arange(rows.sample.size)[::-1]
    for indices in (order, order[wrong[order]]):
        chosen[rows.sample[indices]] = rows.points[indices]
    return chosen
