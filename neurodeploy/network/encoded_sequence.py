"""A long input sequence that stays in its file and becomes codes block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.encoding import ConstantEncoder


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSequence:
    """Codes of ``values`` [T, B, ...] (an h5py dataset or an array, in input units).

    Indexing with slices of steps and samples reads and encodes that block alone: uint16
    [t, b, n], nearest code, half to even, clipped to the encoder's range.
    """

    values: Any
    encoder: ConstantEncoder

    def __post_init__(self) -> None:
        """Check type and shape; the numbers are checked as they are read."""
        if self.values.dtype.kind not in "biuf":
            raise InputError(f"x: holds {self.values.dtype}, needs real numbers")
        if len(self.values.shape) < 3 or 0 in self.values.shape:
            raise ShapeError(f"x: shape {self.values.shape}; needs [T, B, ...], nothing empty")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, samples, inputs."""
        steps, samples, *rest = self.values.shape
        return int(steps), int(samples), int(np.prod(rest))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the codes."""
        return np.dtype(np.uint16)

    def __getitem__(self, where: tuple[slice, slice]) -> NDArray[np.uint16]:
        """Read and encode a block.

        Raises
        ------
        InputError
            If it holds NaN or infinity.
        """
        block = np.asarray(self.values[where])
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise InputError("x: contains NaN or infinity; clean the data first")
        codes = self.encoder.encode(block.reshape(*block.shape[:2], -1))
        return codes.astype(np.uint16)
