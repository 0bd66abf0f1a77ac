"""Salt and pepper: inputs that are stuck at either end of the range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes, checked_keys
from neurodeploy.attacks.perturbation_range import strength_of
from neurodeploy.attacks.randomness import SampleRandom


@dataclass(frozen=True, slots=True)
class SaltAndPepper:
    """Set each input with a probability, the strength, to 0 or to the largest code, evenly.

    Equal seeds give nested sets of inputs: a larger strength keeps what a smaller one set.
    """

    name: str = "salt and pepper"
    uses_seed: bool = True
    unit: str = "share of inputs"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample, int32 [B, n]; see ``Perturbation.points``."""
        share = strength_of(self.name, strength, 1.0)
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        hit = random.uniform(codes.shape[1], stream=0) < share
        ends = np.where(random.uniform(codes.shape[1], stream=1) < 0.5, 0, max_code)
        return np.where(hit, ends, codes).astype(np.int32)
