"""`explain`: one sample of a data file, in both networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Ball, perturbation
from neurodeploy.errors import InputError
from neurodeploy.network import EventStimuli, Stimuli
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.stimulus import stimulus_for, widened
from neurodeploy.robustness import NetworkClassifier
from neurodeploy.robustness.surrogates import Surrogate


def sample_codes(model: Model, stimuli: Stimuli | EventStimuli, sample: int) -> NDArray[np.int32]:
    """Return the codes of one sample, [n_input] (held) or [T, n_input].

    Raises
    ------
    InputError
        If there is no such sample, or the model is not quantised.
    """
    if model.fixed is None:
        raise InputError(
            f"explain: {model.name} is a float model, and its integers are what is explained; "
            "quantise it first (neurodeploy quantize) and give the NET.h5"
        )
    if not 0 <= sample < len(stimuli):
        raise InputError(
            f"--sample {sample}: the data has {len(stimuli)} samples, 0..{len(stimuli) - 1}"
        )
    net = model.require_fixed()
    one = stimuli.only(sample)
    codes, _ = stimulus_for(net, widened(model.graph, model.network, one, net.steps), "fixed")
    return np.asarray(codes[..., 0, :], np.int32)


def attacked(
    model: Model, codes: NDArray[np.int32], label: int | None, name: str, radius: int, seed: int
) -> NDArray[np.int32]:
    """Return the point that attack ``name`` finds against the integers around one held sample.

    Raises
    ------
    InputError
        For a sequence, a sample without a label, or a radius beyond the code range.
    """
    net = model.require_fixed()
    if codes.ndim != 1:
        what = "a sequence" if net.encoder.kind == "constant" else f"{net.encoder.kind}-coded"
        raise InputError(f"--attack: attacks change held images; this sample is {what}")
    if label is None:
        raise InputError("--attack: the data holds no labels y, and an attack needs the true class")
    if not 0 < radius <= net.encoder.max_code:
        raise InputError(f"--radius {radius}: must be 1..{net.encoder.max_code} codes")
    chosen, one = perturbation(name), codes[None]
    if not hasattr(chosen, "run"):
        point = chosen.points(one, radius, seed, net.encoder.max_code)
    else:
        ball, truth = Ball("linf", radius, net.encoder.max_code), np.array([label], np.int64)
        point = chosen.run(NetworkClassifier(net).under(Surrogate()), one, truth, ball, seed).codes
    return np.asarray(point[0], np.int32)
