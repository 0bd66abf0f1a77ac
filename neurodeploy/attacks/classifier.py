"""What an attack needs of a classifier, and the checks on what a caller hands to an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError, ShapeError

if TYPE_CHECKING:
    import torch

Codes = NDArray[np.int32]
Labels = NDArray[np.int64]


class Classifier(Protocol):
    """A differentiable classifier of images on an integer code grid.

    ``predict`` is the truth: exact, on whole codes. ``scores`` is what gradients come from; at
    whole codes it should decide like ``predict``.
    """

    @property
    def max_code(self) -> int:
        """Largest code; codes run from 0."""

    def predict(self, codes: Codes) -> Labels:
        """Return the class of each sample [B], int64; -1 where the top is tied."""

    def scores(self, codes: torch.Tensor, width: float) -> torch.Tensor:
        """Return logits [B, classes], float64, differentiable with respect to ``codes``.

        ``codes`` is float64 [B, n] and holds whole numbers. ``width`` is the width of the
        surrogate derivative, in thresholds.
        """


def checked(codes: Any, labels: Any, radius: int, max_code: int) -> tuple[Codes, Labels]:
    """Return ``codes`` as int32 [B, n] and ``labels`` as int64 [B].

    Raises
    ------
    ShapeError
        If the two do not belong together.
    RangeError
        If a code, a label or the radius is out of range or no whole number.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or codes.shape[1] == 0:
        raise ShapeError(f"attack: codes have shape {codes.shape}; needs [B, n_input]")
    if labels.shape != codes.shape[:1]:
        raise ShapeError(f"attack: labels {labels.shape} do not fit {codes.shape[0]} samples")
    for name, array in (("codes", codes), ("labels", labels)):
        if array.dtype.kind not in "iu":
            raise RangeError(f"attack: {name} must be integers, found {array.dtype}")
    if codes.size and (codes.min() < 0 or codes.max() > max_code):
        raise RangeError(
            f"attack: codes {codes.min()}..{codes.max()} leave the range 0..{max_code}"
        )
    if labels.size and labels.min() < 0:
        raise RangeError(f"attack: label {labels.min()} is negative; classes count from 0")
    if int(radius) != radius or radius < 0:
        raise InputError(f"attack: radius {radius} must be a whole number of codes, at least 0")
    return codes.astype(np.int32), labels.astype(np.int64)
