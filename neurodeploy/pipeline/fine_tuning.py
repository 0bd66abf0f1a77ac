"""`quantize --fine-tune`: fine-tuning of a model's integers on its calibration samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

from neurodeploy import hardware_profiles
from neurodeploy.errors import ContractError, InputError
from neurodeploy.network import EventStimuli, Samples, Stimuli, in_form
from neurodeploy.pipeline.diagnosing import as_deployed
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.settings import FineTuning
from neurodeploy.pipeline.stimulus import stimulus_for
from neurodeploy.training.repair import Perturbation, RepairConfig, Teacher, repair


def fine_tuned(
    model: Model,
    calibration: Samples | Stimuli | EventStimuli | None,
    tuning: FineTuning | None,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Return the model with integers as ``tuning`` asks for them; itself for None.

    Raises
    ------
    InputError
        Without calibration samples, and as ``repaired``.
    RangeError
        For epochs, a radius or a penalty out of range.
    """
    if tuning is None:
        return model
    # The network's codes say how large a tenth of all is.
    highest = model.require_fixed().encoder.max_code
    config = RepairConfig(
        teacher=cast(Teacher, tuning.teacher),
        perturbation=cast(Perturbation, tuning.noise),
        penalty=tuning.penalty,
        radius_codes=(
            max(1, round(highest / 10)) if tuning.radius_codes is None else tuning.radius_codes
        ),
        epochs=tuning.epochs,
        seed=tuning.seed,
    )
    if calibration is None:
        raise InputError("--fine-tune: it needs samples; give --calibration")
    return repaired(model, calibration, config, progress)


def repaired(
    model: Model,
    tuning: Samples | Stimuli | EventStimuli,
    config: RepairConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Return the model with integers fine-tuned on ``tuning``, the samples that calibrated it.

    Raises
    ------
    InputError
        For too few samples, or labels that are missing.
    ContractError
        Where attacks on codes would be attacks on the spikes that images became.
    """
    kind = model.require_network().encoder.kind
    if kind in ("rate", "latency") and config.perturbation != "none":
        raise ContractError(
            f"--fine-tune: perturbs input codes, and under encoder {kind} images become spikes, "
            "which are another thing to perturb; fine-tune on clean samples "
            "(--fine-tune-noise none), or use --encoder constant"
        )
    teacher, stimuli = as_deployed(model, tuning)
    codes, _ = stimulus_for(teacher, stimuli, "fixed")
    made, findings = repair(
        teacher, model.require_fixed(), codes, stimuli.labels, config, progress=progress
    )
    fixed, fitted = in_form(made, hardware_profiles.limits_in(made.profile))
    # That biases hold these integers is no news: quantising has said what it took.
    found = (*model.findings, *findings, *(f for f in fitted if f.severity != "info"))
    return dataclasses.replace(model, fixed=fixed, findings=found)
