"""A long input sequence that stays in its file and becomes codes block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.encoding import Encoder

#: Values decoded at a time: up to 36 bytes each.
_PIECE_VALUES = 2**15


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSequence:
    """Codes of ``values`` [T, B, ...] (an h5py dataset or an array, in input units).

    Indexing with slices of steps and samples reads and encodes that block alone: uint16
    [t, b, n], nearest code, half to even, clipped to the encoder's range. It is decoded in pieces
    of about a megabyte (a file's own chunks are kept whole), so little stands beside the codes.
    """

    values: Any
    encoder: Encoder

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
        (t, end, _), (first, last, _) = (
            part.indices(size) for part, size in zip(where, self.shape, strict=False)
        )
        codes = np.empty((max(0, end - t), max(0, last - first), self.shape[2]), np.uint16)
        samples, steps = self._piece(end - t, last - first)
        for at in range(t - t % steps, end, steps):
            rows = slice(max(at, t), min(at + steps, end))
            for column in range(first, last, samples):
                columns = slice(column, min(column + samples, last))
                encoded = self._encoded(rows, columns)
                codes[rows.start - t : rows.stop - t, column - first : columns.stop - first] = (
                    encoded
                )
        return codes

    def _piece(self, steps: int, samples: int) -> tuple[int, int]:
        """Return how many samples and steps of a block are decoded at a time.

        Whole stored chunks (which a file may compress), so that none is read twice.
        """
        rows, columns = (getattr(self.values, "chunks", None) or (1, 1))[:2]
        each = self.shape[2] * max(1, min(rows, steps))
        wide = max(1, _PIECE_VALUES // each // columns) * columns
        wide = max(1, min(samples, wide))
        tall = max(1, _PIECE_VALUES // (wide * self.shape[2]))
        return int(wide), -(-tall // rows) * int(rows)

    def _encoded(self, rows: slice, columns: slice) -> NDArray[np.int32]:
        block = np.asarray(self.values[rows, columns])
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise InputError("x: contains NaN or infinity; clean the data first")
        return self.encoder.encode(block.reshape(*block.shape[:2], self.shape[2]))
