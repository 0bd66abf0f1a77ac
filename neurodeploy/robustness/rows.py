"""From pools to the rows of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.robustness.config import CONFIDENCE, INFORMATIVE, SIDES, RobustnessConfig
from neurodeploy.robustness.pool import CleanSamples, Pool
from neurodeploy.robustness.sanity import SanityLine, weak_sides
from neurodeploy.robustness.statistics import PairedDrop, needed_n, paired_drop, wilson
from neurodeploy.robustness.verdict import Strength, Verdict, judge


def make_rows(
    pools: Sequence[Pool],
    lines: Sequence[Sequence[SanityLine]],
    config: RobustnessConfig,
) -> tuple[dict[str, Any], ...]:
    """Return one row per pool; ``lines`` are the sanity lines of each pool.

    A row has JSON types, shares as fractions 0..1: ``perturbation, radius_codes, float, fixed,
    lost, gained, drop_ci95, n, verdict`` and, beyond ``summary.json``: ``drop``, its one-sided 95 %
    limits ``drop_lower95`` and ``drop_upper95``, ``p_lost``, ``float_ci95, fixed_ci95, lost_ci95,
    gained_ci95`` (Wilson), ``retention`` (share of the float-robust samples on which the fixed
    network is robust; null if there is none) and its interval, ``informative``, ``null``,
    ``members``, ``ties``, ``needed_n``, ``attack_too_weak``, ``sanity``.

    ``null`` is the null line, float against float: ``lost`` is the share robust against the float
    members of this pool and not against the same members with another seed, ``gained`` the
    reverse. It shows how far two runs of one attack on one network differ by luck alone. For noise
    it compares two sets of draws; both networks of the result see the same draws, so there it says
    how much the accuracies hang on the draws, not the drop. It is null for an attack without
    randomness (FGSM): a second run would be the first one again.
    """
    drops, nulls = [], []
    for pool in pools:
        seed = config.member_seed("bootstrap", pool.perturbation, pool.radius_codes)
        first, second = pool.robust("float"), pool.robust("fixed")
        drops.append(paired_drop(first, second, config.bootstrap, seed))
        null = paired_drop(*pool.null_robust(), config.bootstrap, seed) if pool.has_null else None
        nulls.append(null)
    strengths = [
        Strength(_share(pool.robust("float")), drop, weak_sides(own))
        for pool, drop, own in zip(pools, drops, lines, strict=True)
    ]
    verdicts = judge(strengths, config.tolerance)
    return tuple(
        _row(*parts, config) for parts in zip(pools, drops, nulls, verdicts, lines, strict=True)
    )


def clean_accuracy(clean: CleanSamples) -> dict[str, Any]:
    """Return accuracy of both networks without perturbation, with Wilson intervals and ties."""
    n = int(clean.labels.size)
    result: dict[str, Any] = {"n": n}
    for side in SIDES:
        right = int(clean.right(side).sum())
        result[side] = right / n
        result[f"{side}_ci95"] = list(wilson(right, n))
    result["ties"] = {side: int((p == -1).sum()) for side, p in clean.predicted.items()}
    return result


def _row(
    pool: Pool,
    drop: PairedDrop,
    null: PairedDrop | None,
    verdict: Verdict,
    lines: Sequence[SanityLine],
    config: RobustnessConfig,
) -> dict[str, Any]:
    float_robust, fixed_robust = pool.robust("float"), pool.robust("fixed")
    weak = bool(weak_sides(lines))
    kept, robust = int((float_robust & fixed_robust).sum()), int(float_robust.sum())
    open_question = verdict == "undecided" and not weak
    return {
        "perturbation": pool.perturbation,
        "radius_codes": int(pool.radius_codes),
        "float": _share(float_robust),
        "fixed": _share(fixed_robust),
        "lost": drop.lost / drop.n,
        "gained": drop.gained / drop.n,
        "drop_ci95": list(drop.interval(CONFIDENCE)),
        "n": drop.n,
        "verdict": verdict,
        "drop": drop.drop,
        "drop_lower95": drop.lower(CONFIDENCE),
        "drop_upper95": drop.upper(CONFIDENCE),
        "p_lost": drop.p_lost(config.tolerance),
        "float_ci95": list(wilson(robust, drop.n)),
        "fixed_ci95": list(wilson(int(fixed_robust.sum()), drop.n)),
        "lost_ci95": list(wilson(drop.lost, drop.n)),
        "gained_ci95": list(wilson(drop.gained, drop.n)),
        "retention": kept / robust if robust else None,
        "retention_ci95": list(wilson(kept, robust)),
        "informative": INFORMATIVE[0] <= _share(float_robust) <= INFORMATIVE[1],
        "needed_n": _needed(drop, config) if open_question else None,
        "null": None if null is None else _null(null),
        "ties": {"float": pool.ties("float"), "fixed": pool.ties("fixed")},
        "members": [_member(pool, index) for index in range(len(pool.members))],
        "attack_too_weak": weak,
        "sanity": [line.as_dict() for line in lines],
    }


def _null(null: PairedDrop) -> dict[str, Any]:
    return {
        "lost": null.lost / null.n,
        "gained": null.gained / null.n,
        "drop": null.drop,
        "drop_ci95": list(null.interval(CONFIDENCE)),
    }


def _needed(drop: PairedDrop, config: RobustnessConfig) -> int | None:
    return needed_n(drop.lost, drop.gained, drop.n, config.tolerance, CONFIDENCE)


def _member(pool: Pool, index: int) -> dict[str, Any]:
    """Describe one member: accuracy of each network on its points alone shows transfer."""
    member = pool.members[index]
    labels = pool.clean.labels
    return {
        "name": member.plan.name,
        "attacked": member.plan.attacked,
        "width": member.plan.width,
        "float": _share(pool.predicted["float"][index] == labels),
        "fixed": _share(pool.predicted["fixed"][index] == labels),
        "zero_gradient_share": float(member.zero_gradient_share),
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean())
