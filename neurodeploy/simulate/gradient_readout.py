"""The read-out as a function of one population's output, and its gradient; arrays [B, T, N]."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.network.encoding import Readout

Tensor = torch.Tensor


class ReadoutGradient:
    """Scores of an output over ``steps`` steps, as ``network.traces.read_out`` takes them.

    Parameters
    ----------
    readout : Readout
    steps : int
    scale : float
        Units of v per membrane unit.
    offset : int64 [N] or None
        What each membrane counts beyond v (``FixedPointNetwork.score_offset``).

    Raises
    ------
    ShapeError
        If the run is shorter than the window.
    """

    def __init__(
        self,
        readout: Readout,
        steps: int,
        scale: float,
        offset: NDArray[np.int64] | None = None,
    ) -> None:
        self.kind, self.steps = readout.kind, steps
        self.start, self.stop = readout.window or (0, steps)
        if self.stop > steps:
            raise ShapeError(
                f"read-out: window {self.start}:{self.stop} ends after the run's {steps} steps"
            )
        grows = self.kind in ("count", "sum", "mean_v")
        #: What the offset adds to every score, float64 [N]; whole numbers.
        self.added = None
        if offset is not None and offset.any() and not (self.kind == "sum" and self.start):
            times = self.stop - self.start if self.kind == "mean_v" else 1
            self.added = torch.from_numpy((offset * times).astype(np.float64))
        #: What raw scores are divided by: membrane units, and steps where they grow with them.
        self.unit = (scale if self.reads_v else 1.0) * (self.stop - self.start if grows else 1)

    @property
    def reads_v(self) -> bool:
        """Whether the output is the membrane after reset; else it is the spikes."""
        return self.kind != "count"

    def read(self, output: Tensor) -> Tensor:
        """Return the raw scores [B, N], float64, of an output [B, T, N] of whole numbers."""
        scores = self._reduced(output)
        return scores if self.added is None else scores + self.added.to(scores.device)

    def _reduced(self, output: Tensor) -> Tensor:
        seen = output[:, self.start : self.stop]
        if self.kind in ("count", "mean_v"):
            return seen.sum(dim=1, dtype=torch.int64).to(torch.float64)
        seen = seen.to(torch.float64)
        if self.kind == "max_v":
            return seen.amax(dim=1)
        if self.kind == "sum" and self.start:
            return seen[:, -1] - output[:, self.start - 1].to(torch.float64)
        return seen[:, -1].clone()

    def back(self, gradient: Tensor, output: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the gradient by the output, [B, T, N], from that by the raw scores [B, N].

        It is [B, 1, N] where it is the same at every step.
        """
        given = gradient.to(dtype)
        if self.kind in ("count", "mean_v") and self.stop - self.start == output.shape[1]:
            return given[:, None].contiguous()
        by = torch.zeros(output.shape, dtype=dtype, device=gradient.device)
        if self.kind in ("count", "mean_v"):
            by[:, self.start : self.stop] = given[:, None]
        elif self.kind == "max_v":
            first = _first_highest(output[:, self.start : self.stop]) + self.start
            by.scatter_(1, first, given[:, None])
        else:
            by[:, self.stop - 1] = given
            if self.kind == "sum" and self.start:
                by[:, self.start - 1] = -given
        return by


def _first_highest(output: Tensor) -> Tensor:
    """Return the first step at which each neuron is at its highest, [B, 1, N]."""
    # torch's argmax may return any of several.
    steps = output.shape[1]
    left = torch.arange(steps, 0, -1, device=output.device)[None, :, None]
    at_top = output == output.amax(dim=1, keepdim=True)
    return steps - (at_top * left).amax(dim=1, keepdim=True)
