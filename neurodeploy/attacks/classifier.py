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

    ``predict`` is the truth: exact, on whole codes. ``scores`` is what gradients come from, by
    whatever surrogate the classifier was made with; at whole codes it should decide like
    ``predict``.
    """

    @property
    def max_code(self) -> int:
        """Largest code; codes run from 0."""

    def predict(self, codes: Codes) -> Labels:
        """Return the class of each sample [B], int64; -1 where the top is tied."""

    def predicted_scores(self, codes: Codes) -> NDArray[np.float64]:
        """Return the exact scores behind ``predict``, [B, classes]; without gradient."""

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return logits [B, classes], float64, differentiable with respect to ``codes``.

        ``codes`` is float64 [B, n] and holds whole numbers.
        """


def checked(codes: Any, labels: Any, max_code: int) -> tuple[Codes, Labels]:
    """Return ``codes`` as int32 [B, n] and ``labels`` as int64 [B].

    Raises
    ------
    ShapeError
        If the two do not belong together.
    RangeError
        If a code or a label is out of range or no whole number.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or codes.shape[1] == 0:
        raise ShapeError(f"attack: codes have shape {codes.shape}; needs [B, n_input]")
    if labels.shape != codes.shape[:1]:
        raise ShapeError(f"attack: labels {labels.shape} do not fit {codes.shape[0]} samples")
    for name, array in (("codes", codes), ("labels", labels)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RangeError(f"attack: {name} contain NaN or infinity; clean the data first")
        if array.dtype.kind not in "iu":
            raise RangeError(f"attack: {name} must be integers, found {array.dtype}")
    if codes.size and (codes.min() < 0 or codes.max() > max_code):
        raise RangeError(
            f"attack: codes {codes.min()}..{codes.max()} leave the range 0..{max_code}"
        )
    if labels.size and labels.min() < 0:
        raise RangeError(f"attack: label {labels.min()} is negative; classes count from 0")
    return codes.astype(np.int32), labels.astype(np.int64)


def checked_keys(keys: Any, count: int) -> NDArray[np.int64]:
    """Return what the samples are called, int64 [B]; None: 0, 1, 2, ...

    Raises
    ------
    InputError
        If there is not one whole number from 0 on per sample.
    """
    if keys is None:
        return np.arange(count, dtype=np.int64)
    found = np.asarray(keys)
    if found.shape != (count,) or found.dtype.kind not in "iu" or (found < 0).any():
        raise InputError(
            f"attack: keys of shape {found.shape}, type {found.dtype}; needs one whole number "
            f"from 0 on for each of {count} samples"
        )
    return found.astype(np.int64)
