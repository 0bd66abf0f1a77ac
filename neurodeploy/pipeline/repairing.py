"""`quantize --fine-tune`: fine-tuning of a model's integers on its calibration samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from neurodeploy import hardware_profiles
from neurodeploy.network import Samples, Stimuli
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.stimulus import as_stimuli, stimulus_for, widened
from neurodeploy.quantization import solve_latencies, with_extra_steps
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.quantizer import longest_delay
from neurodeploy.training.repair import RepairConfig, repair


def repaired(
    model: Model,
    tuning: Samples | Stimuli,
    config: RepairConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Return the model with integers fine-tuned on ``tuning``, the samples that calibrated it.

    Raises
    ------
    InputError
        For too few samples, or labels that are missing.
    """
    net = model.require_fixed()
    network = as_mapped(model.require_network(), net)
    stimuli = widened(model.graph, network, as_stimuli(tuning))
    codes, _ = stimulus_for(network, stimuli, "fixed")
    profile = hardware_profiles.parse(net.profile)
    extra = solve_latencies(network, longest_delay(profile)).extra
    # The teacher is what the chip could be: feedback that is slower there is so here.
    teacher = with_extra_steps(network, extra)
    fixed, findings = repair(teacher, net, codes, stimuli.labels, config, progress=progress)
    return dataclasses.replace(model, fixed=fixed, findings=(*model.findings, *findings))
