"""The bundled data: scikit-learn's 1797 handwritten digits as integer codes, in three splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network.encoding import ConstantEncoder
from neurodeploy.network.samples import Samples, save_samples

#: Pixels of scikit-learn's digits are whole numbers from 0 to 16.
_PIXEL_MAX = 16
#: 60/20/20 of 1797 images.
N_TEST = 360
N_VALIDATION = 360


@dataclass(frozen=True, slots=True)
class Splits:
    """Training, validation and test images; values lie on the encoder's grid.

    Tuning (model selection, calibration) may look at ``train`` and ``validation``, never at
    ``test``.
    """

    train: Samples
    validation: Samples
    test: Samples
    encoder: ConstantEncoder

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write ``train.npz``, ``validation.npz`` and ``test.npz``; return the paths by name."""
        paths = {name: Path(folder) / f"{name}.npz" for name in ("train", "validation", "test")}
        for name, path in paths.items():
            save_samples(path, getattr(self, name))
        return paths


def load_digits(seed: int, *, bits: int = 8) -> Splits:
    """Split the bundled digits 60/20/20 (1077, 360 and 360 images), stratified by class.

    A pixel (0 to 16) becomes the code ``rint(pixel / 16 * (2**bits - 1))``; the image holds the
    value of that code, ``code / (2**bits - 1)``, so that float and fixed-point networks see the
    same input.

    Parameters
    ----------
    seed : int
        Decides which image is in which split.
    bits : int
        Width of an input code.

    Source
    ------
    ``sklearn.datasets.load_digits``: optical recognition of handwritten digits, UCI, 8x8 pixels.
    """
    images, labels, encoder = _bundled(seed, bits)
    generator = np.random.default_rng(seed)
    order = np.arange(labels.size)
    rest, test = _stratified(order, labels, N_TEST, generator)
    train, validation = _stratified(rest, labels, N_VALIDATION, generator)
    parts = [Samples(images[index], labels[index]) for index in (train, validation, test)]
    return Splits(parts[0], parts[1], parts[2], encoder)


def load_digits_fold(
    fold: int, folds: int = 5, *, seed: int = 0, bits: int = 8
) -> tuple[Splits, NDArray[np.int64]]:
    """Return one fold of the bundled digits as the test split, and which images it holds.

    The folds of one ``seed`` are stratified by class and together hold each of the 1797 images
    once. A sixth of the other images, stratified, is the validation split.

    Parameters
    ----------
    fold, folds : int
        Which of how many, from 0.
    seed : int
        Decides which image is in which fold.
    bits : int
        Width of an input code.

    Raises
    ------
    InputError
        If there is no such fold, or a class has fewer images than there are folds.
    """
    images, labels, encoder = _bundled(seed, bits)
    smallest = int(np.bincount(labels).min())
    if not (2 <= folds <= smallest and 0 <= fold < folds):
        raise InputError(
            f"fold {fold} of {folds}: give 2 to {smallest} folds (the smallest class has "
            f"{smallest} images) and a fold from 0 on"
        )
    generator = np.random.default_rng([seed, folds])
    dealt = np.zeros(labels.size, dtype=np.int64)
    first = 0
    for label in range(int(labels.max()) + 1):
        own = generator.permutation(np.flatnonzero(labels == label))
        # Dealt out in turn; where one class ends the next begins, so that folds stay equal.
        dealt[own] = (first + np.arange(own.size)) % folds
        first += own.size
    test, rest = np.flatnonzero(dealt == fold), np.flatnonzero(dealt != fold)
    train, validation = _stratified(rest, labels, rest.size // 6, generator)
    parts = [Samples(images[index], labels[index]) for index in (train, validation, test)]
    return Splits(parts[0], parts[1], parts[2], encoder), test


def _bundled(
    seed: int, bits: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], ConstantEncoder]:
    """Return the images on the grid of codes, their labels, and the encoder of that grid."""
    from sklearn.datasets import load_digits as load_bundled

    if seed < 0:
        raise InputError(f"seed {seed}: give a whole number from 0 on")
    encoder = ConstantEncoder(0.0, 1.0, bits)
    bundled: Any = load_bundled()
    images = encoder.decode(encoder.encode(bundled.data / _PIXEL_MAX))
    return images, bundled.target.astype(np.int64), encoder


def _stratified(
    index: NDArray[np.int64], labels: NDArray[np.int64], n: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take ``n`` of ``index`` with each class in proportion; return the rest and the taken.

    Written here, not taken from a library, so that a seed means the same split in every version.
    """
    classes, counts = np.unique(labels[index], return_counts=True)
    share = counts * n / index.size
    take = np.floor(share).astype(np.int64)
    # The largest remainders get the images that rounding down left over.
    extra = np.argsort(take - share, kind="stable")[: n - take.sum()]
    take[extra] += 1
    taken = [
        generator.permutation(index[labels[index] == label])[:k]
        for label, k in zip(classes, take, strict=True)
    ]
    chosen = generator.permutation(np.concatenate(taken))
    return generator.permutation(np.setdiff1d(index, chosen)), chosen
