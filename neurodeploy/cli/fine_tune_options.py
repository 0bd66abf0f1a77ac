"""--fine-tune and what goes with it, for every command that quantises and repairs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from neurodeploy.cli.options import positive

if TYPE_CHECKING:
    from neurodeploy.pipeline.settings import FineTuning


def add_fine_tune_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how integers are repaired."""
    parser.add_argument(
        "--fine-tune", choices=("float", "labels"),
        help="fine-tune the integers on the calibration data, clean and perturbed: to decide as "
        "the float network does, or as the labels say",
    )  # fmt: skip
    parser.add_argument("--fine-tune-epochs", type=positive, default=8, help="default 8")
    parser.add_argument(
        "--fine-tune-radius", type=positive,
        help="of the perturbation, in codes (default: a tenth of all)",
    )  # fmt: skip
    parser.add_argument(
        "--fine-tune-noise", choices=("adversarial", "gaussian", "none"), default="adversarial",
        help="what perturbs: a step against the integers, noise, or nothing (default adversarial)",
    )  # fmt: skip
    parser.add_argument(
        "--fine-tune-penalty", type=float, default=0.0,
        help="weight of what that does to the last layer's membranes, in thresholds squared "
        "(default 0)",
    )  # fmt: skip


def fine_tuning(arguments: argparse.Namespace) -> FineTuning | None:
    """Return how the integers are to be repaired, or None."""
    from neurodeploy.pipeline.settings import FineTuning

    if arguments.fine_tune is None:
        return None
    return FineTuning(
        teacher=arguments.fine_tune,
        epochs=arguments.fine_tune_epochs,
        radius_codes=arguments.fine_tune_radius,
        noise=arguments.fine_tune_noise,
        penalty=arguments.fine_tune_penalty,
        seed=arguments.seed,
    )
