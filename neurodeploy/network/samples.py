"""Labelled images: the DATA files of the command line, and in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.files import replacing, sample_hashes
from neurodeploy.network.array_file import read_arrays
from neurodeploy.network.arrays import frozen
from neurodeploy.network.encoding import ConstantEncoder


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Images [B, n] in input units (float64) and labels [B] (int64), both read-only."""

    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Flatten the images and check them."""
        images = np.asarray(self.images, dtype=np.float64)
        labels = np.asarray(self.labels)
        if images.ndim < 2 or images.shape[0] == 0 or images[0].size == 0:
            raise ShapeError(
                f"images: shape {images.shape}; needs [B, ...] with at least one image"
            )
        if not np.isfinite(images).all():
            raise InputError("images: contain NaN or infinity; clean the data first")
        if labels.shape != (images.shape[0],):
            raise ShapeError(f"y: shape {labels.shape} does not fit {images.shape[0]} images")
        if labels.dtype.kind not in "iu" and (labels != np.trunc(labels)).any():
            raise InputError(f"y: labels must be whole numbers, found dtype {labels.dtype}")
        flat = images.reshape(images.shape[0], -1)
        object.__setattr__(self, "images", frozen(flat))
        object.__setattr__(self, "labels", frozen(labels.astype(np.int64)))

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.labels.shape[0])

    def first(self, n: int) -> Samples:
        """Return the first ``n`` samples (all if there are fewer)."""
        return Samples(self.images[:n], self.labels[:n])

    def codes(self, encoder: ConstantEncoder, n_input: int) -> NDArray[np.int32]:
        """Encode the images; ShapeError if an image does not have ``n_input`` values."""
        if self.images.shape[1] != n_input:
            raise ShapeError(
                f"images: {self.images.shape[1]} values each, the network takes {n_input}"
            )
        return encoder.encode(self.images)

    def hashes(self, encoder: ConstantEncoder) -> tuple[str, ...]:
        """Hash each sample's codes, so that the same image always has one hash."""
        return sample_hashes(encoder.encode(self.images))


def load_samples(path: str | Path) -> Samples:
    """Read ``images`` [B, ...] and ``y`` [B] from a .npz or .h5 file; no pickled arrays.

    Raises
    ------
    FileFormatError
        If the file cannot be read or lacks one of the two.
    """
    path = Path(path)
    arrays = read_arrays(path, "data")
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
