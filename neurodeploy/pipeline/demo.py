"""`demo`: train three networks on the bundled digits and deploy each of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from neurodeploy.files import made_folder
from neurodeploy.network import load_samples
from neurodeploy.pipeline.deploy import QUICK_SAMPLES, Outcome
from neurodeploy.pipeline.deployment import Deployment, deploy_model
from neurodeploy.pipeline.model import load_model
from neurodeploy.pipeline.results import write_results
from neurodeploy.pipeline.settings import DeploySettings, StageProgress, quick
from neurodeploy.pipeline.training_run import TrainedModel, require_norse, train_and_export

#: Epochs of a quick demo.
QUICK_EPOCHS = 15


def demo(
    out: str | Path,
    settings: DeploySettings,
    *,
    command: str,
    quick_run: bool = False,
    progress: StageProgress | None = None,
) -> Outcome:
    """Train, export, quantise, check on Lava, judge and report three networks.

    An interrupted demo goes on where it stopped: training resumes from its checkpoints.

    Parameters
    ----------
    out : path
        Folder for everything.
    settings : DeploySettings
        Its seed also decides splits, initial weights and batches.
    command : str
        What the user typed, for the report.
    quick_run : bool
        Fewer epochs, samples and radii; the results are marked.
    """
    require_norse()
    from neurodeploy.training import demo_configs

    if quick_run:
        settings = quick(settings)
    with made_folder(out) as folder:
        deployments: list[Deployment] = []
        for name, config in demo_configs(settings.robustness.seed).items():
            if quick_run:
                optimizer = dataclasses.replace(config.optimizer, epochs=QUICK_EPOCHS)
                config = dataclasses.replace(config, optimizer=optimizer)
            kind = "-quick" if quick_run else ""
            work = folder / "training" / f"{name}-seed{config.seed}{kind}"
            trained = train_and_export(config, folder, work=work, resume=True, progress=progress)
            deployments.append(_deploy(trained, settings, folder, quick_run, progress))
        # Data and splits are the same for all three.
        test, calibration = load_samples(trained.data["test"]), load_samples(trained.data["train"])
        report = write_results(
            folder,
            deployments,
            settings,
            title="Three networks on scikit-learn's handwritten digits",
            command=command,
            data_name="scikit-learn digits (1797 images, 8 x 8), 60/20/20 stratified",
            test=test.from_every_class(QUICK_SAMPLES) if quick_run else test,
            calibration=calibration,
            n_train=len(calibration),
            quick=quick_run,
        )
        return Outcome(folder, report, tuple(deployments))


def _deploy(
    trained: TrainedModel,
    settings: DeploySettings,
    folder: Path,
    quick_run: bool,
    progress: StageProgress | None,
) -> Deployment:
    test = load_samples(trained.data["test"])
    model = load_model(trained.nir)
    model = dataclasses.replace(model, findings=(*trained.findings, *model.findings))
    name = trained.name

    def stage(what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"{name}: {what}", done, total)

    return deploy_model(
        model,
        test.from_every_class(QUICK_SAMPLES) if quick_run else test,
        load_samples(trained.data["train"]),
        settings,
        folder,
        norse_check=_norse_facts(trained),
        progress=stage,
    )


def _norse_facts(trained: TrainedModel) -> dict[str, object]:
    """Name the facts of the export check as results.json does."""
    check = trained.check
    return {
        "norse_vs_float_mismatches": check["mismatches"],
        "norse_compared": check["compared"],
        "float32_flips": check["float32_flips"],
        "export": check,
        "training": {
            "accuracies": trained.accuracies,
            "selected_epoch": trained.selected_epoch,
        },
    }
