"""Networks to train: a multilayer perceptron of spiking cells with a non-spiking read-out."""

from __future__ import annotations

import itertools
import math

import torch

from neurodeploy.neurons import DLIFCell, LIFCell, SpikingSequence
from neurodeploy.training.config import ModelConfig


def build_model(config: ModelConfig, generator: torch.Generator) -> SpikingSequence:
    """Build ``Linear -> cell -> ... -> Linear``; the last Linear is the read-out.

    Its score is the mean over the steps of the last linear layer, which never spikes.

    Parameters
    ----------
    config : ModelConfig
        Sizes, kind of neuron and its parameters.
    generator : torch.Generator
        Source of the initial weights; the global one is not touched.
    """
    sizes = (config.n_input, *config.hidden)
    modules: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        modules += [_linear(n_in, n_out, generator), _cell(config)]
    modules.append(_linear(sizes[-1], config.n_classes, generator))
    return SpikingSequence(*modules, steps=config.steps)


def _cell(config: ModelConfig) -> LIFCell:
    values = (config.retention, config.v_threshold, config.v_reset)
    if config.neuron == "dlif":
        return DLIFCell(config.steps, *values, alpha=config.surrogate_alpha)
    return LIFCell(*values, alpha=config.surrogate_alpha)


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> torch.nn.Linear:
    """Make a layer with torch's usual initial weights, drawn from ``generator``."""
    layer: torch.nn.Linear = torch.nn.utils.skip_init(  # type: ignore[no-untyped-call]
        torch.nn.Linear, n_in, n_out
    )
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
