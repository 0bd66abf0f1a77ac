"""Random numbers that belong to a sample: the same alone, in any batch, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from neurodeploy.counter_random import uniforms


@dataclass(frozen=True, slots=True, eq=False)
class SampleRandom:
    """Random numbers per sample.

    Parameters
    ----------
    seed : int
        64 bits of it are used.
    keys : int64 [B]
        What a sample is called, for example its position in the data set. Equal seed and key give
        equal numbers, whatever else is in the batch.
    """

    seed: int
    keys: NDArray[np.int64]

    def uniform(self, count: int, stream: int, *, part: int = 0) -> NDArray[np.float64]:
        """Return numbers in [0, 1), float64 [B, count], with 53 random bits each.

        ``stream`` (0 .. 2**32 - 1) and ``part`` (0 .. 255) tell draws of one sample apart.
        """
        return uniforms(self.seed, self.keys, count, stream, part=part)

    def normal(self, count: int, stream: int, *, part: int = 0) -> NDArray[np.float64]:
        """Return standard normal numbers [B, count], by inversion of ``uniform``."""
        # Half a step up, so that neither end of the interval is reached.
        return np.asarray(ndtri(self.uniform(count, stream, part=part) + 2.0**-54))
