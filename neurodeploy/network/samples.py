"""Labelled images: the DATA files of the command line, and in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import kind_of, wrong_file
from neurodeploy.files import replacing, sample_hashes
from neurodeploy.findings import Finding
from neurodeploy.network.array_file import read_arrays
from neurodeploy.network.arrays import frozen
from neurodeploy.network.encoding import Encoder


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Labelled images; arrays are read-only.

    Parameters
    ----------
    images : float64 [B, n]
        In input units.
    labels : int64 [B]
    index : int64 [B]
        Where each sample stands in the data that it was taken from; default 0, 1, ...
    """

    images: NDArray[np.float64]
    labels: NDArray[np.int64]
    index: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        """Flatten the images and check them."""
        images, labels = _numbers("images", self.images), _numbers("y", self.labels)
        images = images.astype(np.float64)
        if images.ndim < 2 or images.shape[0] == 0 or images[0].size == 0:
            raise ShapeError(
                f"images: shape {images.shape}; needs [B, ...] with at least one image"
            )
        if not np.isfinite(images).all():
            raise InputError("images: contain NaN or infinity; clean the data first")
        if labels.shape != (images.shape[0],):
            raise ShapeError(f"y: shape {labels.shape} does not fit {images.shape[0]} images")
        whole = np.isfinite(labels) & (labels == np.trunc(labels)) & (np.abs(labels) < 2.0**31)
        if not whole.all():
            raise InputError(f"y: labels must be whole numbers, found {float(labels[~whole][0]):g}")
        flat = images.reshape(images.shape[0], -1)
        object.__setattr__(self, "images", frozen(flat))
        object.__setattr__(self, "labels", frozen(labels.astype(np.int64)))
        index = np.arange(labels.size) if self.index is None else np.asarray(self.index)
        if index.shape != labels.shape:
            raise ShapeError(f"index: shape {index.shape} does not fit {labels.size} images")
        object.__setattr__(self, "index", frozen(index.astype(np.int64)))

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.labels.shape[0])

    def first(self, n: int) -> Samples:
        """Return the first ``n`` samples (all if there are fewer)."""
        return Samples(self.images[:n], self.labels[:n], self.index[:n])

    def from_every_class(self, n: int) -> Samples:
        """Return ``n`` samples (all if there are fewer), classes as even as can be, in their order.

        The first of each class come first, then the second of each, and so on.
        """
        turn = np.zeros(self.labels.size, dtype=np.int64)
        for label in np.unique(self.labels):
            own = self.labels == label
            turn[own] = np.arange(own.sum())
        chosen = np.sort(np.argsort(turn, kind="stable")[:n])
        return Samples(self.images[chosen], self.labels[chosen], self.index[chosen])

    def out_of_range(self, encoder: Encoder) -> tuple[Finding, ...]:
        """Return a warning that counts the values which encoding clips; none if it clips none."""
        # Rounding to a code may leave the range by half a step; that is no clipping.
        grid = encoder.levels
        margin = grid.step / 2
        low, high = float(self.images.min()), float(self.images.max())
        beyond = (self.images < grid.low - margin) | (self.images > grid.high + margin)
        if not beyond.any():
            return ()
        count, total = int(beyond.sum()), self.images.size
        text = (
            f"{count} of {total} values ({count / total:.1%}) lie outside the encoder's range "
            f"{grid.low:g}..{grid.high:g} and are clipped (data: {low:g}..{high:g})"
        )
        remedy = "scale the images to that range, or correct the model's encoder range"
        numbers = {"clipped": count, "values": total, "lowest": low, "highest": high}
        return (Finding("warning", "images", text, remedy, numbers),)

    def misfit_labels(self, classes: int) -> str:
        """Return what is wrong with the labels for ``classes`` outputs, or an empty string."""
        low, high = int(self.labels.min()), int(self.labels.max())
        if low >= 0 and high < classes:
            return ""
        return f"y: labels {low}..{high} do not fit {classes} outputs (0..{classes - 1})"

    def codes(self, encoder: Encoder, n_input: int) -> NDArray[np.int32]:
        """Return the codes of the images, on the encoder's ``levels``.

        Raises
        ------
        ShapeError
            If an image does not have ``n_input`` values.
        """
        if self.images.shape[1] != n_input:
            raise ShapeError(
                f"images: {self.images.shape[1]} values each, the network takes {n_input}"
            )
        return encoder.levels.encode(self.images)

    def hashes(self, encoder: Encoder) -> tuple[str, ...]:
        """Hash each sample's codes, so that the same image always has one hash."""
        return sample_hashes(encoder.levels.encode(self.images))


def _numbers(name: str, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: holds {array.dtype}, needs real numbers")
    return array


def load_samples(path: str | Path) -> Samples:
    """Read ``images`` [B, ...] and ``y`` [B] from a .npz or .h5 file; no pickled arrays.

    Raises
    ------
    FileFormatError
        If the file cannot be read or lacks one of the two.
    """
    path = Path(path)
    arrays = read_arrays(path, "data")
    if "x" in arrays and "images" not in arrays:
        raise FileFormatError(
            f"{path}: holds sequences x [T, B, ...]; robustness is judged on images [B, ...] that "
            "are held, as the attacks cannot change single steps yet. quantize, run, verify and "
            "cost take sequences"
        )
    if kind_of(path) == "a traces file":
        raise wrong_file(path, "a data file", "a data file holds images [B, ...] and y [B] labels")
    missing = [key for key in ("images", "y") if key not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise FileFormatError(
            f"{path}: lacks {' and '.join(missing)} (found: {found}); a data file holds "
            "images [B, ...] in input units and y [B] labels"
        )
    try:
        return Samples(arrays["images"], arrays["y"])
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def save_samples(path: str | Path, samples: Samples) -> None:
    """Write ``samples`` as .npz with the keys ``images`` and ``y``, whole or not at all."""
    # A file object keeps numpy from appending .npz to the temporary name.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, images=samples.images, y=samples.labels)
