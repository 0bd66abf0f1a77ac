"""Geometry of the Square attack: windows of an image or of a flat row, and their patterns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError

Values = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Queries, of 10000, after which the share of changed inputs is halved once more.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of inputs that are changed together.

    Squares over (H, W) with a sign per channel if there is a ``shape`` (C, H, W); else runs of
    neighbours in the flat row, as if it were one channel of height 1.

    Raises
    ------
    ShapeError
        If the shape does not hold ``n`` inputs.
    """

    shape: tuple[int, int, int]
    is_flat: bool

    @staticmethod
    def of(n: int, shape: tuple[int, int, int] | None) -> Windows:
        """Return the windows of ``n`` inputs."""
        if shape is None:
            return Windows((1, 1, n), is_flat=True)
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != n:
            raise ShapeError(f"square attack: shape {shape} (C, H, W) does not hold {n} inputs")
        return Windows(shape, is_flat=False)

    def sides(self, share: float, *, odd: bool) -> tuple[int, int]:
        """Return height and width of a window that holds about ``share`` of the inputs.

        ``odd``: the pattern of the l2 attack needs an odd side, 3 at least, where there is room.
        """
        _, height, width = self.shape
        room = width if self.is_flat else min(height, width)
        wanted = share * width if self.is_flat else math.sqrt(share * height * width)
        side = max(round(wanted), 3 if odd else 1)
        side += odd and side % 2 == 0
        side = min(side, room)
        return (1, side) if self.is_flat else (side, side)

    def places(
        self, draws: Values, sides: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows [A, h] and columns [A, w] of windows for uniform ``draws`` [A, 2]."""
        free = np.array(self.shape[1:]) - sides + 1
        first = np.floor(draws[:, :2] * free).astype(np.int64)
        rows, columns = (first[:, i, None] + np.arange(sides[i]) for i in (0, 1))
        return rows, columns

    def tile(self) -> int:
        """Return the side of the tiles with which the l2 attack starts: a fifth of the height."""
        _, height, width = self.shape
        return max(1, (width if self.is_flat else height) // 5)


def share_of(query: int, queries: int, first: float) -> float:
    """Return the share of inputs that one query changes: halved nine times over the run."""
    scaled = int(query / queries * 10000)
    halvings = sum(scaled > limit for limit in _HALVINGS)
    return first * 0.5**halvings


def stack_of_rectangles(height: int, width: int) -> Values:
    """Return nested rectangles around the middle, weighted 1/k**2 from the inside, length 1."""
    pattern = np.zeros((height, width))
    row, column = height // 2, width // 2
    for k in range(max(height // 2, width // 2) + 1):
        top, left = max(row - k, 0), max(column - k, 0)
        pattern[top : row + k + 1, left : column + k + 1] += 1 / (k + 1) ** 2
    return np.asarray(pattern / np.sqrt((pattern**2).sum()))


def two_halves(sides: tuple[int, int]) -> Values:
    """Return the pattern of the l2 attack: one half up, the other down, length 1.

    The halves are above each other; in a window of height 1 they stand side by side.
    """
    height, width = sides
    pattern = np.zeros(sides)
    if height == 1:
        middle = width // 2
        if middle:
            pattern[:, :middle] = stack_of_rectangles(1, middle)
        pattern[:, middle:] = -stack_of_rectangles(1, width - middle)
    else:
        middle = height // 2
        pattern[:middle] = stack_of_rectangles(middle, width)
        pattern[middle:] = -stack_of_rectangles(height - middle, width)
    return np.asarray(pattern / np.sqrt((pattern**2).sum()))
