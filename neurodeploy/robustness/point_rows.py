"""Points as flat rows: which sample, which member, which codes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PointRows:
    """Points that members chose, one row each; a sample has as many rows as members saw it.

    Parameters
    ----------
    sample, member : int64 [m]
        Index of the clean sample and of the member.
    points : int32 [m, n_input]
    """

    sample: NDArray[np.int64]
    member: NDArray[np.int64]
    points: NDArray[np.int32]

    def right(
        self,
        predicted: NDArray[np.int64],
        labels: NDArray[np.int64],
        members: Collection[int] | None = None,
    ) -> NDArray[np.bool_]:
        """Return where every row of a sample is predicted right, [n]; true without rows.

        Parameters
        ----------
        predicted : int64 [m]
        labels : int64 [n]
        members : collection of int or None
            Only their rows; None: all.
        """
        wrong = predicted != labels[self.sample]
        if members is not None:
            wrong &= np.isin(self.member, list(members))
        right = np.ones(labels.shape, dtype=np.bool_)
        right[self.sample[wrong]] = False
        return right


def no_rows(n_input: int) -> PointRows:
    """Return rows without any."""
    nothing = np.zeros(0, dtype=np.int64)
    return PointRows(nothing, nothing, np.zeros((0, n_input), dtype=np.int32))


def join_rows(parts: Sequence[PointRows], n_input: int) -> PointRows:
    """Return all rows of ``parts``; the caller has numbered members on from part to part."""
    if not parts:
        return no_rows(n_input)
    return PointRows(
        np.concatenate([part.sample for part in parts]),
        np.concatenate([part.member for part in parts]),
        np.concatenate([part.points for part in parts]),
    )
