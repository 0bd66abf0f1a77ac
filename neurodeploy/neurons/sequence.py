"""The time loop: linear layers and spiking cells in a row, run over all steps of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurodeploy.errors import ShapeError
from neurodeploy.neurons.cells import LIFCell
from neurodeploy.neurons.scan import scan


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """What one run over all steps gave.

    Parameters
    ----------
    scores : tensor [B, classes]
        Mean over the steps of what the last module gave.
    currents : tuple of tensor [T, B, N]
        Input current of every cell, in order (for DLIF before its gain).
    spikes : tuple of tensor [T, B, N]
        Spikes of every cell, in order.
    """

    scores: Tensor
    currents: tuple[Tensor, ...]
    spikes: tuple[Tensor, ...]


class SpikingSequence(torch.nn.Sequential):
    """Linear layers and cells in a row; the mean over time of the last module is the score.

    A layer does all its steps before the next one starts. That is the same computation as step by
    step (nothing flows backwards), with one large matrix product per layer in place of T small
    ones.

    Parameters
    ----------
    *modules : torch.nn.Linear, LIFCell or DLIFCell
    steps : int
        Number of steps T for which an image is held.
    """

    def __init__(self, *modules: torch.nn.Module, steps: int) -> None:
        super().__init__(*modules)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores [B, classes] of images [B, n] or sequences [T, B, n]."""
        return self.run(x).scores

    def run(self, x: Tensor) -> SequenceOutput:
        """Run all steps and keep the currents and spikes of every cell.

        Parameters
        ----------
        x : tensor [B, n] or [T, B, n]
            Images, each held for ``steps`` steps, or one input per step.
        """
        if x.ndim not in (2, 3):
            raise ShapeError(
                f"input: shape {tuple(x.shape)}; needs images [B, n] or sequences [T, B, n]"
            )
        steps = self.steps if x.ndim == 2 else x.shape[0]
        currents: list[Tensor] = []
        spikes: list[Tensor] = []
        # A constant input stays [B, n]: the first linear layer is then computed once, not T times.
        for module in self:
            if isinstance(module, LIFCell):
                held = x.expand(steps, *x.shape) if x.ndim == 2 else x
                x = scan(module, held)
                currents.append(held)
                spikes.append(x)
            else:
                x = module(x)
        scores = x.mean(0) if x.ndim == 3 else x
        return SequenceOutput(scores, tuple(currents), tuple(spikes))

    def cells(self) -> tuple[LIFCell, ...]:
        """Return the spiking cells, in order."""
        return tuple(module for module in self if isinstance(module, LIFCell))
