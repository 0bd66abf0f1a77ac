"""Running the original torch or Norse modules step by step: what an exported file must equal."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.export.nir_layers import leaf_modules
from neurodeploy.neurons import LIFCell, SpikingSequence
from neurodeploy.neurons.norse_parts import LIFBoxCell


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRun:
    """Spikes of every cell, bool [T, B, N] each, and the read-out summed over the steps [B, C]."""

    spikes: tuple[NDArray[np.bool_], ...]
    scores: NDArray[np.float64]


def run_reference(
    model: torch.nn.Module, values: NDArray[np.float64], dtype: torch.dtype
) -> ReferenceRun:
    """Run a copy of ``model``, converted to ``dtype``, over ``values`` [T, B, n] (input units).

    The modules themselves run, one step after the other, each from its own initial state. A
    ``SpikingSequence`` runs with its own time loop.
    """
    model = copy.deepcopy(model).to("cpu", dtype)
    # A copy: the caller's values may be a read-only broadcast, which torch cannot wrap.
    inputs = torch.from_numpy(np.array(values)).to(dtype)
    with torch.no_grad():
        if isinstance(model, SpikingSequence):
            output = model.run(inputs)
            spikes = tuple(s.numpy() > 0 for s in output.spikes)
            return ReferenceRun(spikes, output.scores.double().numpy() * len(values))
        return _run_steps(model, inputs, dtype)


def _run_steps(model: torch.nn.Module, inputs: torch.Tensor, dtype: torch.dtype) -> ReferenceRun:
    modules = [module for _, module in leaf_modules(model)]
    spiking = [isinstance(module, (LIFCell, LIFBoxCell)) for module in modules]
    for module in modules:
        # Norse keeps parameters in a tuple that Module.to does not reach.
        if isinstance(module, LIFBoxCell):
            module.p = _converted(module.p, dtype)
    states: list[Any] = [None] * len(modules)
    spikes: list[list[NDArray[np.bool_]]] = [[] for s in spiking if s]
    total = np.zeros(1)
    for x in inputs:
        cell = 0
        for index, module in enumerate(modules):
            if not spiking[index]:
                x = module(x)
                continue
            x, states[index] = module(x, states[index])
            spikes[cell].append(x.numpy() > 0)
            cell += 1
        total = total + x.double().numpy()
    return ReferenceRun(tuple(np.stack(s) for s in spikes), total)


def _converted(parameters: Any, dtype: torch.dtype) -> Any:
    """Return Norse's parameter tuple with its tensors in ``dtype``."""
    tensors = {
        name: value.detach().to("cpu", dtype)
        for name, value in parameters._asdict().items()
        if isinstance(value, torch.Tensor)
    }
    return parameters._replace(**tensors)
