"""Do the test data belong to the model: labels, radii, and an accuracy above chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Ball
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.files import sample_hashes
from neurodeploy.findings import Finding
from neurodeploy.network import Network, Samples
from neurodeploy.robustness import GivenPoints, RobustnessConfig, RobustnessResult
from neurodeploy.robustness.held_images import require_held
from neurodeploy.robustness.label_checks import check_labels

#: A float accuracy below this many times chance is no evidence about anything.
_CHANCE = 1.5


def check_test_data(test: Samples, network: Network, config: RobustnessConfig) -> None:
    """Raise before anything runs or is written if labels or radii cannot fit the network.

    Also if a class has no sample and the evaluation does not allow it, or if images are not held.
    """
    require_held(network)
    classes = network.population(network.readout.population).size
    misfit = test.misfit_labels(classes)
    if misfit:
        raise ShapeError(f"{misfit} of {network.readout.population!r}")
    check_labels(test.labels, classes, allow_empty=config.allow_empty_classes)
    widest, highest = max(config.radii_codes), network.encoder.max_code
    reach = highest * (1.0 if config.norm == "linf" else math.sqrt(network.n_input))
    if widest > reach:
        raise InputError(
            f"radius {widest:g} codes is larger than the whole range 0..{highest} allows in "
            f"{config.norm}; choose smaller radii (--radii)"
        )


def check_given(
    given: Sequence[GivenPoints], codes: NDArray[np.int32], config: RobustnessConfig, max_code: int
) -> None:
    """Raise before anything runs or is written if points from elsewhere have another width.

    Parameters
    ----------
    codes : int32 [B, n_input]
    """
    ball = Ball(config.norm, config.radii_codes[-1], max_code)
    for points in given:
        points.inside(ball, codes)


def given_findings(given: Sequence[GivenPoints], result: RobustnessResult) -> tuple[Finding, ...]:
    """Warn where no point of a file counts: then its line says nothing."""
    counted = {m["name"] for row in result.rows for m in row["members"] if m["samples"]}
    return tuple(
        Finding(
            "warning",
            points.name,
            f"none of {len(points.points)} points counts: no sample of the test data equals the "
            "clean one within an attack's radius",
            "give points that were made from these test data, with this encoding",
            {"points": len(points.points)},
        )
        for points in given
        if f"given: {points.name}" not in counted
    )


def repeated_findings(codes: NDArray[np.int32]) -> tuple[Finding, ...]:
    """Warn where samples are the same: accuracies count each, intervals only what is different.

    Parameters
    ----------
    codes : int32 [B, n_input]
    """
    different = len(set(sample_hashes(codes)))
    if different == codes.shape[0]:
        return ()
    text = (
        f"{codes.shape[0] - different} of {codes.shape[0]} samples repeat another one; accuracies "
        f"count each, intervals take copies together ({different} different samples)"
    )
    numbers = {"samples": int(codes.shape[0]), "different": different}
    return (Finding("warning", "test data", text, "leave repeated samples out", numbers),)


def chance_findings(result: RobustnessResult, classes: int) -> tuple[Finding, ...]:
    """Warn where the float network does little better than guessing on the test data."""
    accuracy = float(result.as_dict()["clean_accuracy"]["float"])
    if classes < 2 or accuracy > _CHANCE / classes:
        return ()
    text = (
        f"the float network is right on {accuracy:.1%} of the test samples; guessing among "
        f"{classes} classes gives {1 / classes:.1%}"
    )
    remedy = (
        "check that labels, input range and read-out are those of this model before reading "
        "anything else"
    )
    numbers = {"accuracy": accuracy, "chance": 1 / classes}
    return (Finding("warning", "test data", text, remedy, numbers),)
