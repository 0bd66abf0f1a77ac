"""demo, deploy, train: commands that go the whole way."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from neurodeploy.cli.console import Console, percent
from neurodeploy.cli.fine_tune_options import add_fine_tune_arguments, fine_tuning
from neurodeploy.cli.options import contract_options, load_calibration, positive, reading_options
from neurodeploy.cli.quantize_command import add_width_arguments, widths
from neurodeploy.cli.robustness_command import add_evidence_arguments, robustness_settings
from neurodeploy.errors import InputError

if TYPE_CHECKING:
    from neurodeploy.pipeline.deploy import Outcome


def command_line() -> str:
    """Return what the user typed, for the report (the program by its name, not its path)."""
    return shlex.join(["neurodeploy", *sys.argv[1:]])


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``demo``."""
    parser.add_argument("--out", default="demo-out", help="folder (default demo-out)")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, samples and radii")


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo; exit 0 when the way and its exactness checks hold, 3 without Lava."""
    from neurodeploy.pipeline.demo import demo as run_demo
    from neurodeploy.pipeline.settings import DeploySettings
    from neurodeploy.quantization import config_for
    from neurodeploy.robustness import RobustnessConfig

    console = Console(arguments.json)
    settings = DeploySettings(
        quantize=config_for(calibrated=True),
        robustness=RobustnessConfig(seed=arguments.seed),
        threads=arguments.threads,
        device=arguments.device,
    )
    with console.progress() as report:
        outcome = run_demo(
            arguments.out,
            settings,
            command=command_line(),
            quick_run=arguments.quick,
            progress=report,
        )
    _print_outcome(console, outcome)
    console.next_step(
        f"open {outcome.report}; then your own: neurodeploy deploy MODEL.nir --data TEST.npz "
        "--calibration TRAIN.npz --profile loihi2 --out DIR"
    )
    if not outcome.exact:
        return 1
    return 0 if outcome.lava_available else 3


def deploy_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``deploy``."""
    parser.add_argument("model", help="NIR file")
    parser.add_argument("--data", required=True, help="test data (.npz or .h5: images, y)")
    parser.add_argument("--calibration", help="data for ranges (images or x); not the test data")
    parser.add_argument(
        "--profile", required=True, help="target: loihi1, loihi2, lava or a TOML file"
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--lava-samples", type=positive, default=16, help="samples to run on Lava (default 16)"
    )
    add_width_arguments(parser)
    add_fine_tune_arguments(parser)
    add_evidence_arguments(parser)


def deploy(arguments: argparse.Namespace) -> int:
    """Deploy one model; exit 1 lost or inexact, 3 without Lava, 4 undecided."""
    from neurodeploy.network import load_samples
    from neurodeploy.pipeline.deploy import deploy as run_deploy
    from neurodeploy.pipeline.model import load_model
    from neurodeploy.pipeline.settings import DeploySettings

    console = Console(arguments.json)
    model = load_model(
        arguments.model,
        contract_options(arguments),
        strict=arguments.strict,
        **reading_options(arguments),
    )
    if model.fixed is not None:
        raise InputError(
            f"{arguments.model}: is quantised already, and deploy starts from the float model; "
            "give the .nir file"
        )
    max_code = model.require_network().encoder.max_code
    settings = DeploySettings(
        profile=arguments.profile,
        quantize=widths(arguments),
        robustness=robustness_settings(arguments, max_code),
        lava_samples=arguments.lava_samples,
        threads=arguments.threads,
        device=arguments.device,
        allow_overlap=arguments.allow_overlap,
        fine_tune=fine_tuning(arguments),
    )
    test, calibration = load_samples(arguments.data), load_calibration(arguments.calibration)
    with console.progress() as report:
        outcome = run_deploy(
            model,
            test,
            calibration,
            settings,
            arguments.out,
            command=command_line(),
            data_name=Path(arguments.data).name,
            quick_run=arguments.quick,
            progress=report,
        )
    _print_outcome(console, outcome)
    network = outcome.folder / outcome.deployments[0].facts["files"]["network"]
    console.next_step(f"open {outcome.report}; or: neurodeploy inspect {network}")
    return outcome.exit_code


def _energy_text(energy: dict[str, float | None]) -> str:
    """Format low, typical and high energy; a profile may state none."""
    known = [value for value in (energy["low"], energy["typ"], energy["high"]) if value is not None]
    return " / ".join(f"{value:.0f}" for value in known) or "not estimated"


def _print_outcome(console: Console, outcome: Outcome) -> None:
    """Print one line per model; warnings and errors go to standard error."""
    import json

    summary = json.loads((outcome.folder / "summary.json").read_text(encoding="utf-8"))
    console.document(summary)
    rows = []
    for deployment in outcome.deployments:
        facts = deployment.facts
        clean, lava = facts["clean_accuracy"], facts["fidelity"]["lava"]
        energy = facts["cost"]["summary"]["energy_nj"]
        rows.append(
            (
                deployment.name,
                percent(clean["float"]),
                percent(clean["fixed"]),
                deployment.verdict,
                "absent" if lava is None else f"{lava['mismatches']} of {lava['compared']}",
                _energy_text(energy),
            )
        )
        for finding in facts["findings"]:
            if finding["severity"] != "info":
                where = f"{deployment.name}: {finding['where']}"
                console.note(f"{finding['severity']}: {where}: {finding['what']}")
    header = ("model", "float", "fixed", "robustness", "differ from Lava", "nJ (estimate)")
    console.table(header, rows)
    if not outcome.lava_available:
        console.note("warning: Lava is not installed, so no integer was checked against it")
    console.say(f"report: {outcome.report}")


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``train``."""
    parser.add_argument("config", nargs="?", help="TOML file (default: recipe lif)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--out", required=True, help="folder for the model and the data splits")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")


def train(arguments: argparse.Namespace) -> int:
    """Train, export, and name the files."""
    from neurodeploy.files import made_folder
    from neurodeploy.pipeline.training_run import require_norse, train_and_export

    require_norse()
    from neurodeploy.training import read_config

    console = Console(arguments.json)
    overrides = [f"seed={arguments.seed}", *arguments.overrides]
    if arguments.config is not None and not arguments.seed_given:
        overrides = arguments.overrides
    config = read_config(arguments.config, overrides)
    with made_folder(arguments.out) as folder, console.progress() as report:
        trained = train_and_export(config, folder, resume=arguments.resume, progress=report)
    console.findings(trained.findings)
    console.document(
        {
            "name": trained.name,
            "nir": str(trained.nir),
            "data": {key: str(path) for key, path in trained.data.items()},
            "accuracies": trained.accuracies,
            "selected_epoch": trained.selected_epoch,
            "export": trained.check,
        }
    )
    console.say(f"{trained.nir}: test accuracy {percent(trained.accuracies['test'])}")
    console.say(f"Norse against the float simulator: {trained.check['mismatches']} spikes differ")
    console.next_step(
        f"neurodeploy deploy {trained.nir} --data {trained.data['test']} "
        f"--calibration {trained.data['train']} --profile loihi2 --out {folder / 'deployed'}"
    )
    return 0
