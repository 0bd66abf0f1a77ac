"""`robustness`: the evidence protocol on a model that is already quantised."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurodeploy import hardware_profiles
from neurodeploy.files import file_hash, write_json, write_text
from neurodeploy.network import Samples, network_hash
from neurodeploy.pipeline.certificates import measure_certificates
from neurodeploy.pipeline.curves import measure_curves
from neurodeploy.pipeline.data_checks import (
    chance_findings,
    check_given,
    check_test_data,
    given_findings,
    repeated_findings,
)
from neurodeploy.pipeline.deploy import QUICK_SAMPLES, make_folder
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.results import versions
from neurodeploy.pipeline.settings import StageProgress, quick_robustness
from neurodeploy.pipeline.sweep_file import Sweep
from neurodeploy.report.curves_page import robustness_csv, write_curves
from neurodeploy.robustness import (
    GivenPoints,
    RobustnessConfig,
    RobustnessResult,
    check_overlap,
    evaluate,
    save_evidence,
)


def judge_robustness(
    model: Model,
    test: Samples,
    config: RobustnessConfig,
    folder: Path,
    *,
    given: Sequence[GivenPoints] = (),
    quick_run: bool = False,
    allow_overlap: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> tuple[RobustnessResult, dict[str, Any]]:
    """Evaluate, write ``robustness.json``, ``table.csv`` and ``evidence.npz`` into ``folder``.

    ``given``: adversarial points from elsewhere, which join the pools (``given_points.py``).

    Raises
    ------
    OverlapError
        If the network was tuned on one of the test samples.
    """
    if quick_run:
        config, test = quick_robustness(config), test.from_every_class(QUICK_SAMPLES)
    network, net = model.require_network(), model.require_fixed()
    if config.image_shape is None and len(net.input_shape) == 3:
        c, h, w = net.input_shape
        config = dataclasses.replace(config, image_shape=(c, h, w))
    check_test_data(test, network, config)
    codes = test.codes(network.encoder, network.n_input)
    clipped = test.out_of_range(network.encoder)
    overlap = check_overlap(net.calibration, codes, allow=allow_overlap)
    check_given(given, codes, config, network.encoder.max_code)
    make_folder(folder)
    report = progress or (lambda stage, done, total: None)
    result = evaluate(
        network,
        net,
        codes,
        test.labels,
        config,
        index=test.index,
        given=given,
        progress=lambda member, done, total: report("robustness", done, total),
        device=device,
        threads=threads,
    )
    data = (*given_findings(given, result), *repeated_findings(codes))
    chance = chance_findings(result, network.population(network.readout.population).size)
    # Of another evaluation: nothing of it may stand beside new evidence, even if writing fails.
    for name in ("curves.json", "robustness.html", "robustness.json", "table.csv"):
        (folder / name).unlink(missing_ok=True)
    save_evidence(folder / "evidence.npz", result.evidence)
    document = {
        "schema": 1,
        "model": model.name,
        "network_hash": network_hash(net),
        "seed": config.seed,
        "quick": quick_run,
        "versions": versions(),
        "n": len(test),
        "evidence_sha256": file_hash(folder / "evidence.npz"),
        **result.as_dict(),
        "findings": [
            f.as_dict()
            for f in (*chance, *data, *result.findings(), *overlap, *clipped, *model.findings)
        ],
    }
    write_json(folder / "robustness.json", document)
    write_text(folder / "table.csv", robustness_csv(document))
    return result, document


def add_curves(
    model: Model,
    result: RobustnessResult,
    sweep: Sweep,
    folder: Path,
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Measure what stands beside the attacks; write ``curves.json`` and ``robustness.html``.

    ``folder`` holds the ``robustness.json`` of the same evaluation.
    """
    network, net = model.require_network(), model.require_fixed()
    profile = hardware_profiles.parse(net.profile)
    curves = measure_curves(
        network, net, result, profile, sweep.curves, threads=threads, progress=progress
    )
    proofs = measure_certificates(
        network, net, result, profile, sweep.certificates, sweep.smoothing,
        threads=threads, progress=progress,
    )  # fmt: skip
    curves = {**curves, **proofs}
    write_json(folder / "curves.json", curves)
    robustness = json.loads((folder / "robustness.json").read_text(encoding="utf-8"))
    write_curves(robustness, curves, folder / "robustness.html")
    return curves
