"""Points that somebody else found: they join the pool of every attack whose ball holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks import Ball
from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.robustness.evidence import UNREADABLE, is_evidence, load_evidence
from neurodeploy.robustness.point_rows import PointRows


@dataclass(frozen=True, slots=True, eq=False)
class GivenPoints:
    """Adversarial points from elsewhere, each with the clean sample it was made from.

    Whose attack found them, on which network and with what budget does not matter: a point inside
    the ball counts against whichever network is wrong on it.

    Parameters
    ----------
    name : str
        Name of the member in tables and files.
    clean, points : int32 [m, n_input]
        Input codes.

    Raises
    ------
    InputError
        If the two have different shapes, or are no rows of whole codes of 32 bits.
    """

    name: str
    clean: NDArray[np.int32]
    points: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check the shapes, and that codes are whole."""
        for field in ("clean", "points"):
            values = np.asarray(getattr(self, field))
            if values.ndim != 2 or values.shape != np.shape(self.points):
                raise InputError(
                    f"{self.name}: {field} have shape {values.shape}, points "
                    f"{np.shape(self.points)}; both must be [m, n_input]"
                )
            if values.dtype.kind not in "iu":
                raise InputError(
                    f"{self.name}: {field} are {values.dtype}; points are whole input codes"
                )
            limits = np.iinfo(np.int32)
            if values.size and not limits.min <= values.min() <= values.max() <= limits.max:
                raise InputError(
                    f"{self.name}: {field} {values.min()}..{values.max()} are no input codes"
                )
            object.__setattr__(self, field, values.astype(np.int32))

    def inside(self, ball: Ball, codes: NDArray[np.int32]) -> PointRows:
        """Return the points inside ``ball`` around samples of ``codes`` [n, n_input].

        A point belongs to every sample that equals its clean one. ``member`` is 0 in all rows.

        Raises
        ------
        InputError
            If the points have another width than the codes.
        """
        if self.points.shape[1] != codes.shape[1]:
            raise InputError(
                f"{self.name}: points of {self.points.shape[1]} inputs; the network has "
                f"{codes.shape[1]}"
            )
        at: dict[bytes, list[int]] = {}
        for index, row in enumerate(codes.astype(np.int32)):
            at.setdefault(row.tobytes(), []).append(index)
        pairs = [(i, k) for k, row in enumerate(self.clean) for i in at.get(row.tobytes(), ())]
        sample, number = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        held = ball.contains(self.points[number], codes[sample])
        sample, number = sample[held], number[held]
        return PointRows(sample, np.zeros(sample.size, dtype=np.int64), self.points[number])


def names_apart(given: Sequence[GivenPoints]) -> tuple[str, ...]:
    """Return the names, a number behind those that another has before: ``a.npz, a.npz (2)``."""
    names: list[str] = []
    for points in given:
        name, number = points.name, 2
        while name in names:
            name, number = f"{points.name} ({number})", number + 1
        names.append(name)
    return tuple(names)


def load_points(path: str | Path) -> GivenPoints:
    """Read points: the evidence file of another evaluation, or an .npz with clean and points.

    Raises
    ------
    FileFormatError
        If the file is neither.
    """
    path = Path(path)
    if is_evidence(path):
        evidence = load_evidence(path)
        rows = [row.rows for row in evidence.rows] + [row.null_rows for row in evidence.rows]
        if not rows:
            raise FileFormatError(f"{path}: no points in it; it is evidence of no attack")
        clean = [evidence.codes[part.sample] for part in rows]
        return GivenPoints(
            path.name, np.concatenate(clean), np.concatenate([part.points for part in rows])
        )
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return GivenPoints(path.name, file["clean"], file["points"])
    except UNREADABLE as error:
        raise FileFormatError(
            f"{path}: no points in it ({error}); give the evidence.npz of an evaluation, or an "
            ".npz with whole codes clean and points [m, n_input]"
        ) from error
