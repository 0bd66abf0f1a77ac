"""The files of a results folder: summary.json, results.json, figures.npz, configuration, report."""

from __future__ import annotations

import datetime
import hashlib
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from neurodeploy import hardware_profiles
from neurodeploy.files import write_json
from neurodeploy.network import EventStimuli, Samples, Stimuli
from neurodeploy.pipeline.deployment import Deployment
from neurodeploy.pipeline.figure_arrays import save_figures
from neurodeploy.pipeline.settings import DeploySettings
from neurodeploy.report import write_report
from neurodeploy.robustness.result import SUMMARY_KEYS

RESULTS_SCHEMA = 1
_VERSIONED = ("neurodeploy", "numpy", "torch", "numba", "scipy", "nir", "norse", "h5py")


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package whose numbers end up in results."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_results(
    folder: Path,
    deployments: Sequence[Deployment],
    settings: DeploySettings,
    *,
    title: str,
    command: str,
    data_name: str,
    test: Samples,
    calibration: Samples | Stimuli | EventStimuli | None,
    n_train: int | None = None,
    quick: bool = False,
) -> Path:
    """Write everything into ``folder`` and return the path of report.html."""
    profile = hardware_profiles.load(settings.profile)
    seed = settings.robustness.seed
    lava = deployments[0].lava
    document: dict[str, Any] = {
        "schema": RESULTS_SCHEMA,
        "title": title,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "quick": quick,
        "versions": versions(),
        "profile": {
            "name": profile.name,
            "status": profile.status,
            "text_hash": hashlib.sha256(profile.text.encode()).hexdigest(),
        },
        "threat_model": deployments[0].facts["threat_model"],
        "tolerance_points": settings.robustness.tolerance_points,
        "settings": settings.as_dict(),
        "lava": lava,
        "data": {
            "name": data_name,
            "n_train": n_train,
            "n_calibration": None if calibration is None else len(calibration),
            "n_test": len(test),
        },
        "assumptions": _assumptions(settings, calibration, quick),
        "models": {d.name: d.facts for d in deployments},
    }
    figures = {key: array for d in deployments for key, array in d.figures.items()}
    save_figures(folder / "figures.npz", figures)
    write_json(folder / "configuration.json", settings.as_dict())
    write_json(folder / "results.json", document)
    write_json(folder / "summary.json", _summary(document, deployments))
    report = folder / "report.html"
    write_report([folder], report)
    return report


def _summary(document: dict[str, Any], deployments: Sequence[Deployment]) -> dict[str, Any]:
    return {
        "schema": RESULTS_SCHEMA,
        "seed": document["seed"],
        "quick": document["quick"],
        "versions": document["versions"],
        "lava": document["lava"],
        "models": {d.name: _model_summary(d.facts) for d in deployments},
    }


def _model_summary(facts: dict[str, Any]) -> dict[str, Any]:
    clean, fidelity = facts["clean_accuracy"], facts["fidelity"]
    return {
        "clean_accuracy": {"float": clean["float"], "fixed": clean["fixed"]},
        "verdict": facts["verdict"],
        "robustness": [{key: row[key] for key in SUMMARY_KEYS} for row in facts["robustness"]],
        "fidelity": {
            "norse_vs_float_mismatches": fidelity["norse_vs_float_mismatches"],
            "lava": fidelity["lava"],
        },
        "cost": facts["cost"]["summary"],
    }


def _assumptions(
    settings: DeploySettings, calibration: Samples | Stimuli | EventStimuli | None, quick: bool
) -> list[str]:
    robustness = settings.robustness
    lines = [
        "A tie at the top of the read-out counts as wrong, in accuracy and under attack alike.",
        "Both networks see the same integer input codes; input rounding is no part of the drop.",
        "Points found against either network by any member are replayed on both.",
        "Robust accuracies are upper bounds: a better attack may find more.",
        "Each model is one trained network on one split; intervals cover the choice of test "
        "images, not the training seed.",
        f"Perturbations: {', '.join(robustness.perturbations)}; "
        f"{robustness.noise_draws} noise draws.",
        "Energy and latency are estimates from counts and sourced constants, not measurements.",
    ]
    if calibration is None:
        lines.append("No calibration samples were given: only proven ranges were used.")
    if quick:
        lines.append("Quick run: fewer samples and radii. Do not quote these numbers.")
    return lines
