"""What a perturbation looks like that needs no classifier."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes


class Perturbation(Protocol):
    """A change of the input with a strength. Implementations are small frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name in tables, files and options."""

    @property
    def uses_seed(self) -> bool:
        """Whether another seed gives other points."""

    @property
    def unit(self) -> str:
        """What the strength means, for example ``codes (sigma)``."""

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample, int32 [B, n], within 0..max_code.

        A sample's point depends on its own codes and key, on strength and seed, and on nothing
        else in the batch.
        """
