"""The evidence rules as code: how two networks' robustness is compared.

- Both networks see the same grid points: whole input codes, bounded by radius and range.
- Members of an attack: {float, fixed} x surrogate widths, with equal steps and restarts. Members
  of noise: a number of draws. Every point found, and the clean one, is replayed on both networks
  exactly; a network is robust on a sample if it is right on every pooled point. A tie is wrong.
- lost, gained, drop = lost - gained, retention, with intervals over images (``statistics.py``).
- A null line beside every result, and sanity lines (``sanity.py``).
- Verdicts: ``verdict.py``. Evidence: ``evidence.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.attacks import PGD, Attack, Perturbation, perturbation
from neurodeploy.attacks.classifier import checked
from neurodeploy.errors import InputError
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.robustness.classifiers import Attackable, NetworkClassifier
from neurodeploy.robustness.config import SIDES, RobustnessConfig, Side, ThreatModel
from neurodeploy.robustness.evidence import Evidence, EvidenceRow
from neurodeploy.robustness.pool import CleanSamples, Pool, build_pool, member_count
from neurodeploy.robustness.result import RobustnessResult
from neurodeploy.robustness.rows import clean_accuracy, make_rows
from neurodeploy.robustness.sanity import (
    SanityLine,
    fgsm_lines,
    large_radius_lines,
    pool_lines,
    radius_lines,
    stronger_lines,
    summarise,
)
from neurodeploy.robustness.verdict import overall

#: Called before each member runs: what, how many members are done, how many there are.
Progress = Callable[[str, int, int], None]


def evaluate(
    float_net: Network,
    fixed_net: FixedPointNetwork,
    codes: NDArray[Any],
    labels: NDArray[Any],
    config: RobustnessConfig | None = None,
    *,
    progress: Progress | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> RobustnessResult:
    """Compare the robustness of a float network and of its fixed-point version.

    Parameters
    ----------
    codes : integer array [n, n_input]
        Clean evaluation samples as input codes. None of them may have tuned the network: see
        ``check_overlap``.
    labels : integer array [n]
    progress : callable
        Called as ``progress(stage, done, total)`` before each member. An exception raised in it
        (or an interrupt) stops the evaluation; nothing is left behind.
    device : str
        Where gradients are computed; predictions always run on the CPU.
    threads : int or None
        Threads of gradients and simulator. None: one for gradients, because on networks of this
        size more threads cost time, and on a busy machine a lot of it.

    Raises
    ------
    InputError
        If the two networks do not share one input grid, or the samples do not fit it.
    """
    if float_net.encoder != fixed_net.encoder or float_net.n_input != fixed_net.n_input:
        raise InputError(
            f"robustness: float network ({float_net.n_input} inputs, {float_net.encoder}) and "
            f"fixed network ({fixed_net.n_input} inputs, {fixed_net.encoder}) must share one "
            "input grid"
        )
    float_classifier = NetworkClassifier(float_net, device=device, threads=threads)
    fixed_classifier = NetworkClassifier(fixed_net, device=device, threads=threads)
    return evaluate_classifiers(
        {"float": float_classifier, "fixed": fixed_classifier},
        codes,
        labels,
        config or RobustnessConfig(),
        progress=progress,
        threads=threads,
    )


def evaluate_classifiers(
    classifiers: Mapping[Side, Attackable],
    codes: NDArray[Any],
    labels: NDArray[Any],
    config: RobustnessConfig,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> RobustnessResult:
    """Compare any two classifiers, ``float`` and ``fixed``, that share one code grid.

    See ``evaluate`` for the parameters; ``threads`` are torch's.
    """
    max_code = classifiers["float"].max_code
    if classifiers["fixed"].max_code != max_code:
        raise InputError(
            f"robustness: largest codes {max_code} and {classifiers['fixed'].max_code} differ; "
            "both networks must share one input grid"
        )
    if config.radii_codes[-1] > max_code:
        raise InputError(
            f"robustness: radius {config.radii_codes[-1]} codes is larger than the whole range "
            f"0..{max_code}; choose smaller radii"
        )
    codes, labels = checked(codes, labels, max_code)
    if labels.size == 0:
        raise InputError("robustness: no samples to evaluate")
    clean = CleanSamples(codes, labels, {s: classifiers[s].predict(codes) for s in SIDES})
    with _torch_threads(threads or 1):
        pools, checks, stronger = _build(classifiers, clean, config, max_code, progress)
    lines = _strength_lines(pools)
    # These checks run at one radius each and speak about every radius of their attack.
    check_lines = {
        name: (*large_radius_lines(check), *stronger_lines(_telling(pools, name), stronger[name]))
        for name, check in checks.items()
    }
    row_lines = [
        (*lines[pool.perturbation, pool.radius_codes], *check_lines.get(pool.perturbation, ()))
        for pool in pools
    ]
    rows = make_rows(pools, row_lines, config)
    verdict, text = overall(rows, config.tolerance_points)
    return RobustnessResult(
        verdict=verdict,
        verdict_text=text,
        clean_accuracy=clean_accuracy(clean),
        rows=rows,
        sanity=summarise(chain(*lines.values(), *check_lines.values())),
        config=config,
        threat_model=ThreatModel(config.radii_codes, max_code),
        evidence=_evidence(classifiers, clean, max_code, pools, checks, stronger),
    )


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _build(
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    config: RobustnessConfig,
    max_code: int,
    progress: Progress | None,
) -> tuple[tuple[Pool, ...], dict[str, Pool], dict[str, Pool]]:
    """Run every member: the pools of the result, and two checks per PGD.

    The checks, by name of the attack: a large radius, and a stronger attack at the radius that
    tells most.
    """
    attacks = [perturbation(name, config.restarts) for name in config.perturbations]
    checked_attacks = [a for a in attacks if isinstance(a, PGD)]
    large = (max_code + 1) // 2
    total = sum(member_count(a, config) for a in attacks) * len(config.radii_codes)
    total += sum(2 * member_count(a, config, null=False) for a in checked_attacks)
    done = 0

    def tick(stage: str) -> None:
        nonlocal done
        if progress is not None:
            progress(stage, done, total)
        done += 1

    def pool(attack: Attack | Perturbation, radius: int, null: bool = True) -> Pool:
        return build_pool(attack, radius, classifiers, clean, config, tick, null=null)

    pools = tuple(pool(attack, radius) for attack in attacks for radius in config.radii_codes)
    checks = {a.name: pool(a, large, null=False) for a in checked_attacks}
    stronger = {
        a.name: pool(_stronger(a), _telling(pools, a.name).radius_codes, null=False)
        for a in checked_attacks
    }
    return pools, checks, stronger


def _stronger(attack: PGD) -> PGD:
    """Return the same attack with twice the steps and three times the restarts."""
    return PGD(2 * attack.steps, attack.step_share, 3 * attack.restarts, attack.losses)


def _telling(pools: tuple[Pool, ...], name: str) -> Pool:
    """Return the pool of attack ``name`` whose float accuracy is nearest to one half."""
    own = [pool for pool in pools if pool.perturbation == name]
    return min(own, key=lambda pool: abs(float(pool.robust("float").mean()) - 0.5))


def _strength_lines(pools: tuple[Pool, ...]) -> dict[tuple[str, int], list[SanityLine]]:
    """Return the sanity lines of every perturbation and radius."""
    by: dict[str, dict[int, Pool]] = {}
    for pool in pools:
        by.setdefault(pool.perturbation, {})[pool.radius_codes] = pool
    lines = {(p.perturbation, p.radius_codes): list(pool_lines(p)) for p in pools}
    for name, of_radius in by.items():
        for line in radius_lines(tuple(of_radius.values())):
            lines[name, line.radius_codes].append(line)
        for radius, fgsm in by.get("fgsm", {}).items():
            if name.startswith("pgd"):
                lines[name, radius] += fgsm_lines(of_radius[radius], fgsm)
    return lines


def _evidence(
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    max_code: int,
    pools: tuple[Pool, ...],
    checks: Mapping[str, Pool],
    stronger: Mapping[str, Pool],
) -> Evidence:
    prints: dict[Side, str] = {
        side: classifier.fingerprint()
        for side, classifier in classifiers.items()
        if isinstance(classifier, NetworkClassifier)
    }
    rows = [_evidence_row(pool, "") for pool in pools]
    rows += [_evidence_row(pool, "check/") for pool in checks.values()]
    rows += [_evidence_row(pool, "check/stronger/") for pool in stronger.values()]
    index = np.arange(clean.labels.size)
    return Evidence(clean.codes, clean.labels, index, max_code, tuple(rows), prints)


def _evidence_row(pool: Pool, prefix: str) -> EvidenceRow:
    return EvidenceRow(
        key=f"{prefix}{pool.perturbation}/{pool.radius_codes}",
        radius_codes=pool.radius_codes,
        in_ball=pool.in_ball,
        members=tuple(member.plan.name for member in pool.members),
        points=pool.points,
        null_points=pool.null_points,
        robust={side: pool.robust(side) for side in SIDES},
        null_robust=pool.null_robust()[1],
    )
