"""The evidence rules as code: how two networks' robustness is compared.

- Both networks see the same grid points: whole input codes, bounded by radius and range.
- Each network meets the same cascade of adversaries (``suite.py``), with equal steps, restarts,
  surrogates and seeds; noise draws the same points for both. Every point found, and the clean
  one, is replayed on both networks exactly; a network is robust on a sample if it is right on
  every pooled point. A tie is wrong.
- lost, gained, drop = lost - gained, retention, with intervals over images (``statistics.py``).
- A null line beside every result, and sanity lines (``sanity.py``).
- Verdicts: ``verdict.py``. Evidence: ``evidence.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.attacks import Perturbation
from neurodeploy.attacks.classifier import checked
from neurodeploy.errors import InputError
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.robustness.classifiers import Attackable, NetworkClassifier
from neurodeploy.robustness.config import SIDES, RobustnessConfig, Side, ThreatModel
from neurodeploy.robustness.evidence import Evidence, EvidenceRow, evidence_key
from neurodeploy.robustness.given_points import GivenPoints
from neurodeploy.robustness.held_images import require_held
from neurodeploy.robustness.label_checks import check_labels
from neurodeploy.robustness.pool import CleanSamples, Pool, build_pool, member_count
from neurodeploy.robustness.result import RobustnessResult
from neurodeploy.robustness.rows import clean_accuracy, make_rows
from neurodeploy.robustness.sanity import (
    SanityLine,
    grey_image,
    large_radius,
    large_radius_lines,
    pool_lines,
    radius_lines,
    summarise,
)
from neurodeploy.robustness.suite import Suite, named_suite
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
    index: NDArray[np.int64] | None = None,
    given: Sequence[GivenPoints] = (),
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
    index : integer array [n] or None
        Where each sample stands in the user's data, for the evidence; None: 0, 1, ...
    given : sequence of GivenPoints
        Adversarial points from elsewhere: they join every attack whose ball holds them.
    progress : callable
        Called as ``progress(stage, done, total)`` before each member. An exception raised in it
        (or an interrupt) stops the evaluation; nothing is left behind.
    device : str
        Where gradients are computed, and the fixed network's predictions, which are the same on
        every device; the float network's predictions always run on the CPU.
    threads : int or None
        Threads of gradients and simulator. None: one for gradients, because on networks of this
        size more threads cost time, and on a busy machine a lot of it.

    Raises
    ------
    InputError
        If the two networks do not share one input grid, or the samples do not fit it.
    ContractError
        If their encoder does not hold images.
    """
    require_held(float_net)
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
        index=index,
        given=given,
        progress=progress,
        threads=threads,
    )


def evaluate_classifiers(
    classifiers: Mapping[Side, Attackable],
    codes: NDArray[Any],
    labels: NDArray[Any],
    config: RobustnessConfig,
    *,
    index: NDArray[np.int64] | None = None,
    given: Sequence[GivenPoints] = (),
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
    codes, labels = checked(codes, labels, max_code)
    widest = max_code * (1.0 if config.norm == "linf" else math.sqrt(codes.shape[1]))
    if config.radii_codes[-1] > widest:
        raise InputError(
            f"robustness: {config.norm} radius {config.radii_codes[-1]} codes is larger than the "
            f"whole range 0..{max_code}; choose smaller radii"
        )
    if labels.size == 0:
        raise InputError("robustness: no samples to evaluate")
    index = np.arange(labels.size) if index is None else np.asarray(index, np.int64)
    if index.shape != labels.shape:
        raise InputError(f"robustness: index {index.shape} does not fit {labels.size} samples")
    classes = {s: classifiers[s].predicted_scores(codes[:1]).shape[1] for s in SIDES}
    if classes["float"] != classes["fixed"]:
        raise InputError(
            f"robustness: {classes['float']} and {classes['fixed']} classes; both networks must "
            "tell the same apart"
        )
    noticed = check_labels(labels, classes["float"], allow_empty=config.allow_empty_classes)
    clean = CleanSamples(codes, labels, {s: classifiers[s].predict(codes) for s in SIDES})
    with _torch_threads(threads or 1):
        pools, checks = _build(classifiers, clean, config, max_code, given, progress)
    lines = _strength_lines(pools, config.tolerance_points)
    # This check runs at one radius and speaks about every radius of its suite.
    grey = grey_image(max_code, codes.shape[1])
    decisions = {side: int(classifiers[side].predict(grey)[0]) for side in SIDES}
    check_lines = {
        name: large_radius_lines(check, decisions, config.tolerance_points)
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
        threat_model=ThreatModel(config.radii_codes, max_code, config.norm),
        evidence=_evidence(classifiers, clean, index, max_code, pools, checks),
        noticed=noticed,
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
    given: Sequence[GivenPoints],
    progress: Progress | None,
) -> tuple[tuple[Pool, ...], dict[str, Pool]]:
    """Run every member: the pools of the result, and for each suite its check at a large radius."""
    asked = [named_suite(name, config.image_shape) for name in config.perturbations]
    suites = [suite for suite in asked if isinstance(suite, Suite)]
    total = sum(member_count(suite, config) for suite in asked) * len(config.radii_codes)
    total += sum(member_count(suite, config, null=False) for suite in suites)
    done = 0

    def tick(stage: str) -> None:
        nonlocal done
        if progress is not None:
            progress(stage, done, total)
        done += 1

    def pool(suite: Suite | Perturbation, radius: float, null: bool = True) -> Pool:
        return build_pool(suite, radius, classifiers, clean, config, tick, null=null, given=given)

    large = large_radius(config.norm, max_code, clean.codes.shape[1])
    pools = tuple(pool(suite, radius) for suite in asked for radius in config.radii_codes)
    return pools, {suite.name: pool(suite, large, null=False) for suite in suites}


def _strength_lines(
    pools: tuple[Pool, ...], tolerance_points: float
) -> dict[tuple[str, float], list[SanityLine]]:
    """Return the sanity lines of every perturbation and radius."""
    by: dict[str, list[Pool]] = {}
    for pool in pools:
        by.setdefault(pool.perturbation, []).append(pool)
    lines = {(p.perturbation, p.radius_codes): list(pool_lines(p, tolerance_points)) for p in pools}
    for name, of_radius in by.items():
        for line in radius_lines(of_radius, tolerance_points):
            lines[name, line.radius_codes].append(line)
    return lines


def _evidence(
    classifiers: Mapping[Side, Attackable],
    clean: CleanSamples,
    index: NDArray[np.int64],
    max_code: int,
    pools: tuple[Pool, ...],
    checks: Mapping[str, Pool],
) -> Evidence:
    prints: dict[Side, str] = {
        side: classifier.fingerprint()
        for side, classifier in classifiers.items()
        if isinstance(classifier, NetworkClassifier)
    }
    rows = [_evidence_row(pool, "") for pool in pools]
    rows += [_evidence_row(pool, "check/") for pool in checks.values()]
    return Evidence(clean.codes, clean.labels, index, max_code, tuple(rows), prints)


def _evidence_row(pool: Pool, prefix: str) -> EvidenceRow:
    return EvidenceRow(
        key=evidence_key(prefix + pool.perturbation, pool.radius_codes),
        radius_codes=pool.radius_codes,
        norm=pool.ball.norm if pool.ball else None,
        members=tuple(member.name for member in pool.members),
        rows=pool.rows,
        null_rows=pool.null_rows,
        robust={side: pool.robust(side) for side in SIDES},
        null_robust=pool.null_robust()[1],
    )
