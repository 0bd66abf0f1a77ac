"""`deploy`: everything for a user's own model, from NIR to a report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from neurodeploy.files import filled_folder, made_folder
from neurodeploy.network import EventStimuli, Samples, Stimuli
from neurodeploy.pipeline.deployment import Deployment, deploy_model
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.results import write_results
from neurodeploy.pipeline.settings import DeploySettings, StageProgress, quick

#: Test samples of a quick run.
QUICK_SAMPLES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a deployment left behind: its models, the report, and the exit code it stands for.

    Exit codes: 1 a check did not hold or robustness is lost, 3 Lava absent, 4 undecided, 0 else.
    """

    folder: Path
    report: Path
    deployments: tuple[Deployment, ...]

    @property
    def lava_available(self) -> bool:
        """Whether Lava confirmed the integers."""
        return all(d.lava["available"] for d in self.deployments)

    @property
    def exact(self) -> bool:
        """Whether every exactness check that ran held."""
        return all(d.exact for d in self.deployments)

    @property
    def exit_code(self) -> int:
        """Exit code of ``deploy``."""
        verdicts = {d.verdict for d in self.deployments}
        if not self.exact or "lost" in verdicts:
            return 1
        if not self.lava_available:
            return 3
        return 4 if "undecided" in verdicts else 0


def deploy(
    model: Model,
    test: Samples,
    calibration: Samples | Stimuli | EventStimuli | None,
    settings: DeploySettings,
    out: str | Path,
    *,
    command: str,
    data_name: str,
    quick_run: bool = False,
    progress: StageProgress | None = None,
) -> Outcome:
    """Quantise, check, judge and report one model.

    Parameters
    ----------
    model : Model
        Float model (from a .nir file).
    test : Samples
        Labelled images.
    calibration : Samples, Stimuli, EventStimuli or None
        Images, sequences or events for ranges; none of them in ``test``.
    settings : DeploySettings
    out : path
        Folder for the results; nothing is written there before all of it is.
    command : str
        What the user typed, for the report.
    data_name : str
        Name of the test data, for the report.
    quick_run : bool
        Fewer samples and radii; the results are marked.
    """
    if quick_run:
        settings, test = quick(settings), test.from_every_class(QUICK_SAMPLES)
    with filled_folder(out) as folder:
        deployment = deploy_model(model, test, calibration, settings, folder, progress=progress)
        report = write_results(
            folder,
            [deployment],
            settings,
            title=f"Deployment of {model.name}",
            command=command,
            data_name=data_name,
            test=test,
            calibration=calibration,
            quick=quick_run,
        )
    return Outcome(Path(out), Path(out) / report.name, (deployment,))


def make_folder(folder: Path) -> None:
    """Make ``folder``; InputError if something else has that name."""
    with made_folder(folder):
        return


def with_seed(settings: DeploySettings, seed: int) -> DeploySettings:
    """Return the settings with the seed of attacks, noise and bootstrap set to ``seed``."""
    return dataclasses.replace(
        settings, robustness=dataclasses.replace(settings.robustness, seed=seed)
    )
