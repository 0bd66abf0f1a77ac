"""Gaussian noise on the code grid: a perturbation that knows nothing of the classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes, checked_keys
from neurodeploy.attacks.randomness import SampleRandom


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Add independent normal noise of standard deviation ``strength`` codes to every input.

    The noise is rounded to whole codes (half to even) and the sum clipped to the code range.
    Equal seeds give the same directions at every strength, so curves over it are smooth.
    """

    name: str = "gaussian"
    uses_seed: bool = True
    unit: str = "codes (sigma)"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one noisy point per sample, int32 [B, n]; see ``Perturbation.points``."""
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        noisy = codes + np.rint(random.normal(codes.shape[1], stream=0) * strength)
        return np.asarray(np.clip(noisy, 0, max_code).astype(np.int32))
