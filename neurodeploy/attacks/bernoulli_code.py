"""Rate code: a code becomes a random spike train, with a gradient straight through the draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class BernoulliCode:
    """Spikes [T, B, n]: at every step one with probability ``code / max_code``.

    All samples of a draw share their random numbers, so a sample's spikes do not depend on its
    place in the batch. Backward, a spike has the slope of its probability, ``1 / max_code``.

    Parameters
    ----------
    steps : int
    max_code : int
        The code that always fires.
    """

    steps: int
    max_code: int

    def __post_init__(self) -> None:
        """Check both."""
        if self.steps < 1 or self.max_code < 1:
            raise InputError(
                f"Bernoulli code: steps {self.steps} and max_code {self.max_code} must be at "
                "least 1"
            )

    def spikes(self, codes: torch.Tensor, seed: int) -> torch.Tensor:
        """Return 0 and 1 as float64 [T, B, n], differentiable with respect to ``codes`` [B, n]."""
        n = codes.shape[1]
        uniform = SampleRandom(seed, np.zeros(1, dtype=np.int64)).uniform(self.steps * n, stream=0)
        level = torch.from_numpy(uniform.reshape(self.steps, 1, n)).to(codes.device)
        chance = codes / self.max_code
        # The value of the draw with the slope of its probability.
        return (level < chance).to(codes.dtype) + (chance - chance.detach())
