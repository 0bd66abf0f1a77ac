"""`quantize --fine-tune`: fine-tuning of a model's integers on its calibration samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from neurodeploy.errors import ContractError
from neurodeploy.network import EventStimuli, Samples, Stimuli
from neurodeploy.pipeline.diagnosing import as_deployed
from neurodeploy.pipeline.model import Model, in_form
from neurodeploy.pipeline.stimulus import stimulus_for
from neurodeploy.training.repair import RepairConfig, repair


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
            "(perturbation none), or use --encoder constant"
        )
    teacher, stimuli = as_deployed(model, tuning)
    codes, _ = stimulus_for(teacher, stimuli, "fixed")
    made, findings = repair(
        teacher, model.require_fixed(), codes, stimuli.labels, config, progress=progress
    )
    fixed, fitted = in_form(made)
    return dataclasses.replace(model, fixed=fixed, findings=(*model.findings, *findings, *fitted))
