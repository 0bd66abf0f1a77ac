"""What every source sent in the present block of steps and, for delays, in the steps before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.simulate import event_kernels
from neurodeploy.simulate.aligned import aligned_zeros
from neurodeploy.simulate.fixed_codes import Codes
from neurodeploy.simulate.lanes import MASK_ALIGNMENT
from neurodeploy.simulate.run_plan import RunPlan


class Sources:
    """Masks uint8 [B, history + block, n padded] of each source, for the samples of a chunk.

    Row ``history`` is the first step of the block. Padding stays zero.

    Parameters
    ----------
    plan : RunPlan
    codes : Codes
        The run's input.
    first, last : int
        Samples of the chunk.
    block_steps : int
        Most steps in a block.
    """

    def __init__(
        self, plan: RunPlan, codes: Codes, first: int, last: int, block_steps: int
    ) -> None:
        self.samples = last - first
        self.held, self.steps = codes.held, codes.steps
        self.sent = np.zeros((self.samples, codes.size), np.int64)
        self._codes, self._first, self._last = codes, first, last
        self._history = plan.history
        self._begin = 0
        self._masks = {p.name: self._empty(p.name, p.size, block_steps) for p in plan.populations}
        from_input = [s for p in plan.populations for s in p.synapses if s.source == INPUT]
        self.payloads = np.empty((self.samples, 0, 0), np.int32)
        if self.held:
            self.held_codes = codes.block(0, 1, first, last)[0][0, first:last]
            self.sent[:] = (self.held_codes != 0) * np.int64(self.steps)
        elif from_input:
            self._masks[INPUT] = self._empty(INPUT, codes.size, block_steps)
            if any(s.graded for s in from_input):
                rows = self._masks[INPUT].shape[1]
                self.payloads = np.zeros((self.samples, rows, codes.size), np.int32)

    def _empty(self, name: str, size: int, block_steps: int) -> NDArray[np.uint8]:
        rows = self._history.get(name, 0) + block_steps
        width = -(-size // MASK_ALIGNMENT) * MASK_ALIGNMENT
        return aligned_zeros((self.samples, rows, width), np.uint8)

    def masks(self, name: str) -> NDArray[np.uint8]:
        """Return the masks of a source."""
        return self._masks[name]

    def row(self, name: str, step: int) -> int:
        """Return the row of logical step ``step``, in the present block or before it."""
        return self._history.get(name, 0) + step - self._begin

    def begin(self, t: int, end: int) -> None:
        """Move on to the steps ``t`` .. ``end - 1``, which follow those of the last block."""
        moved, self._begin = t - self._begin, t
        for name, masks in self._masks.items():
            history = self._history.get(name, 0)
            if moved and history:
                masks[:, :history] = masks[:, moved : moved + history]
                if name == INPUT and self.payloads.size:
                    self.payloads[:, :history] = self.payloads[:, moved : moved + history]
        if INPUT not in self._masks:
            return
        row, last = self._history.get(INPUT, 0), min(end, self.steps)
        masks = self._masks[INPUT]
        if t < last:
            codes, step, sample = self._codes.block(t, last, self._first, self._last)
            event_kernels.mark_codes(codes, step, sample, last - t, row, masks, self.sent)
            if self.payloads.size:
                read = codes[step : step + last - t, sample : sample + self.samples]
                self.payloads[:, row : row + last - t] = read.transpose(1, 0, 2)
        silent = slice(row + max(last - t, 0), row + end - t)
        masks[:, silent] = 0
        if self.payloads.size:
            self.payloads[:, silent] = 0
