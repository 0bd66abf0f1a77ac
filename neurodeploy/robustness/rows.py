"""From pools to the rows of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.robustness.config import CONFIDENCE, INFORMATIVE, SIDES, RobustnessConfig, Side
from neurodeploy.robustness.pool import CleanSamples, Pool
from neurodeploy.robustness.sample_clusters import Clusters, independent_share, sample_clusters
from neurodeploy.robustness.sanity import GIVEN_LINE, SanityLine, weak_sides
from neurodeploy.robustness.statistics import (
    PairedDrop,
    detectable_drop,
    holm_levels,
    needed_n,
    paired_drop,
    wilson,
)
from neurodeploy.robustness.verdict import Strength, Verdict, judge, worse


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
    ``transfer`` (accuracy of each network on points found on the other alone: what an evaluation
    by transfer would have reported, never below the robust accuracy), ``norm``, ``members``,
    ``ties``, ``detectable_drop``
    (see ``statistics``), ``needed_n``, ``attack_too_weak``, ``sanity``, ``without_given``.

    Points from elsewhere count in all numbers but those of ``without_given`` (null where there are
    none): ``float, fixed, lost, gained, drop`` and its limits, ``p_lost`` and ``verdict`` as they
    are without them. The verdict of the row is the worse of both: such points may have been sought
    on the float network alone, and then hide a loss.

    ``null`` is the null line, float against float: ``lost`` is the share robust against the float
    members of this pool and not against the same members with another seed, ``gained`` the
    reverse. It shows how far two runs of one attack on one network differ by luck alone. For noise
    it compares two sets of draws; both networks of the result see the same draws, so there it says
    how much the accuracies hang on the draws, not the drop. It is null for an attack without
    randomness (FGSM): a second run would be the first one again.

    Where samples repeat, shares count every copy, and all intervals, ``detectable_drop`` and
    ``needed_n`` take the copies of one sample together (``sample_clusters.py``).
    """
    clusters = sample_clusters(pools[0].clean.codes, pools[0].clean.labels)
    found = alone = _judged(pools, lines, config, clusters, given=True)
    if any(pool.given for pool in pools):
        alone = _judged(pools, lines, config, clusters, given=False)
    return tuple(
        _row(*parts, config, clusters) for parts in zip(pools, found, alone, lines, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One strength with its verdict; ``level``: up to which p-value its drop would be a loss."""

    robust: dict[Side, NDArray[np.bool_]]
    drop: PairedDrop
    verdict: Verdict
    level: float

    def needed(self, tolerance: float) -> int | None:
        return needed_n(self.drop, tolerance, self.level, CONFIDENCE)


def _judged(
    pools: Sequence[Pool],
    lines: Sequence[Sequence[SanityLine]],
    config: RobustnessConfig,
    clusters: Clusters | None,
    *,
    given: bool,
) -> tuple[_Judged, ...]:
    """Judge all strengths, with the points from elsewhere or without them."""
    robust: list[dict[Side, NDArray[np.bool_]]]
    robust = [{side: pool.robust(side, given=given) for side in SIDES} for pool in pools]
    drops = [
        paired_drop(r["float"], r["fixed"], config.bootstrap, _seed(pool, config), clusters)
        for pool, r in zip(pools, robust, strict=True)
    ]
    weak = [weak_sides(line for line in own if given or line.line != GIVEN_LINE) for own in lines]
    strengths = [
        Strength(_share(r["float"]), drop, sides)
        for r, drop, sides in zip(robust, drops, weak, strict=True)
    ]
    verdicts = judge(strengths, config.tolerance)
    levels = holm_levels([drop.p_lost(config.tolerance) for drop in drops], 1 - CONFIDENCE)
    return tuple(map(_Judged, robust, drops, verdicts, levels))


def _seed(pool: Pool, config: RobustnessConfig) -> int:
    return config.member_seed("bootstrap", pool.perturbation, pool.radius_codes)


def clean_accuracy(clean: CleanSamples) -> dict[str, Any]:
    """Return accuracy of both networks without perturbation, with Wilson intervals and ties."""
    n = int(clean.labels.size)
    worth = independent_share(sample_clusters(clean.codes, clean.labels))
    result: dict[str, Any] = {"n": n}
    for side in SIDES:
        right = int(clean.right(side).sum())
        result[side] = right / n
        result[f"{side}_ci95"] = list(wilson(right * worth, n * worth))
    result["ties"] = {side: int((p == -1).sum()) for side, p in clean.predicted.items()}
    return result


def _row(
    pool: Pool,
    found: _Judged,
    alone: _Judged,
    lines: Sequence[SanityLine],
    config: RobustnessConfig,
    clusters: Clusters | None,
) -> dict[str, Any]:
    drop, float_robust, fixed_robust = found.drop, found.robust["float"], found.robust["fixed"]
    weak = bool(weak_sides(lines))
    kept, robust = int((float_robust & fixed_robust).sum()), int(float_robust.sum())
    verdict = worse(found.verdict, alone.verdict)
    worth, worth_kept = independent_share(clusters), independent_share(clusters, float_robust)

    def interval(count: int) -> list[float]:
        return list(wilson(count * worth, drop.n * worth))

    return {
        "perturbation": pool.perturbation,
        "radius_codes": pool.radius_codes,
        "norm": pool.ball.norm if pool.ball else None,
        "float": _share(float_robust),
        "fixed": _share(fixed_robust),
        "lost": drop.lost / drop.n,
        "gained": drop.gained / drop.n,
        "drop_ci95": list(drop.interval(CONFIDENCE)),
        "n": drop.n,
        "verdict": verdict,
        **_limits(drop, config),
        "float_ci95": interval(robust),
        "fixed_ci95": interval(int(fixed_robust.sum())),
        "lost_ci95": interval(drop.lost),
        "gained_ci95": interval(drop.gained),
        "retention": kept / robust if robust else None,
        "retention_ci95": list(wilson(kept * worth_kept, robust * worth_kept)),
        "informative": INFORMATIVE[0] <= _share(float_robust) <= INFORMATIVE[1],
        "detectable_drop": detectable_drop(*drop.independent, CONFIDENCE),
        "needed_n": None if weak or verdict != "undecided" else _needed(found, alone, config),
        "null": _null(pool, config, clusters),
        "ties": {"float": pool.ties("float"), "fixed": pool.ties("fixed")},
        "transfer": _transfer(pool),
        "members": _members(pool),
        "attack_too_weak": weak,
        "sanity": [line.as_dict() for line in lines],
        "without_given": _without_given(alone, config) if pool.given else None,
    }


def _limits(drop: PairedDrop, config: RobustnessConfig) -> dict[str, float]:
    return {
        "drop": drop.drop,
        "drop_lower95": drop.lower(CONFIDENCE),
        "drop_upper95": drop.upper(CONFIDENCE),
        "p_lost": drop.p_lost(config.tolerance),
    }


def _without_given(alone: _Judged, config: RobustnessConfig) -> dict[str, Any]:
    return {
        **{side: _share(alone.robust[side]) for side in SIDES},
        "lost": alone.drop.lost / alone.drop.n,
        "gained": alone.drop.gained / alone.drop.n,
        **_limits(alone.drop, config),
        "verdict": alone.verdict,
    }


def _null(pool: Pool, config: RobustnessConfig, clusters: Clusters | None) -> dict[str, Any] | None:
    if not pool.has_null:
        return None
    null = paired_drop(*pool.null_robust(), config.bootstrap, _seed(pool, config), clusters)
    return {
        "lost": null.lost / null.n,
        "gained": null.gained / null.n,
        "drop": null.drop,
        "drop_ci95": list(null.interval(CONFIDENCE)),
    }


def _needed(found: _Judged, alone: _Judged, config: RobustnessConfig) -> int | None:
    """Return how many images would decide all that is undecided, with given points or without."""
    undecided = [one for one in (found, alone) if one.verdict == "undecided"]
    needed = [one.needed(config.tolerance) for one in undecided]
    known = [count for count in needed if count is not None]
    return max(known) if len(known) == len(needed) else None


def _members(pool: Pool) -> list[dict[str, Any]]:
    """Describe each member: on how many samples it ran, and who is right on its points alone."""
    labels, rows = pool.clean.labels, pool.rows
    found = []
    for number, member in enumerate(pool.members):
        own = rows.member == number
        ran = member.ran
        right: dict[Side, NDArray[np.bool_]] = {
            s: pool.predicted[s][own] == labels[rows.sample[own]] for s in SIDES
        }
        surrogate = ran.plan.surrogate if ran and ran.plan.attack.uses_gradient else None
        found.append(
            {
                "name": member.name,
                "attacked": member.attacked,
                "shape": surrogate.shape if surrogate else None,
                "width": surrogate.width if surrogate else None,
                "samples": int(own.sum()),
                "float": _share(right["float"]) if own.any() else None,
                "fixed": _share(right["fixed"]) if own.any() else None,
                "zero_gradient_share": float(ran.zero_gradient_share) if ran else 0.0,
                "queries": ran.queries if ran else 0,
            }
        )
    return found


def _transfer(pool: Pool) -> dict[str, Any] | None:
    """Return accuracy on the points found on the other network alone, beside the robust one."""
    if not pool.is_attack:
        return None
    other: dict[Side, Side] = {"float": "fixed", "fixed": "float"}
    return {
        side: _share(pool.clean.right(side) & pool.right_on(side, pool.numbers(other[side])))
        for side in SIDES
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean())
