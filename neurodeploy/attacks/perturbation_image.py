"""Changes of whole images without randomness: blur and contrast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes, checked_keys
from neurodeploy.attacks.perturbation_range import on_grid, strength_of
from neurodeploy.errors import InputError, ShapeError

#: Standard deviations after which the kernel of the blur ends.
_REACH = 4.0


@dataclass(frozen=True, slots=True)
class Blur:
    """Blur every channel with a Gaussian of ``strength`` pixels standard deviation.

    The kernel holds ``exp(-x**2 / (2 * strength**2))`` at whole distances up to four standard
    deviations, rounded up, divided by its sum; along height and width in turn, in float64. Beyond
    the border stands the nearest pixel of the border, so that a uniform image stays as it is.
    Rounded to whole codes once, half to even. A strength of 0 changes nothing.

    Parameters
    ----------
    shape : (C, H, W)
        Of the image in a row of codes, C order.
    """

    shape: tuple[int, int, int]
    name: str = "blur"
    uses_seed: bool = False
    unit: str = "pixels (sigma)"

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample; see ``Perturbation.points``. Nothing is random.

        Raises
        ------
        ShapeError
            If the shape does not hold the inputs.
        """
        checked_keys(keys, codes.shape[0])
        sigma = strength_of(self.name, strength)
        n = codes.shape[1]
        if len(self.shape) != 3 or math.prod(self.shape) != n:
            raise ShapeError(f"blur: shape {self.shape} (C, H, W) does not hold {n} inputs")
        if sigma == 0:
            return codes.astype(np.int32)
        image = codes.reshape(-1, *self.shape).astype(np.float64)
        for axis in (2, 3):
            image = np.moveaxis(
                np.moveaxis(image, axis, -1) @ _mixing(image.shape[axis], sigma), -1, axis
            )
        return on_grid(image.reshape(codes.shape), max_code)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Multiply every input's distance from the middle of the range by ``strength``.

    Or from ``around``, a code. 1 changes nothing, 0 leaves nothing, more than 1 raises the
    contrast. Rounded to whole codes, half to even, and clipped to the range.
    """

    around: float | None = None
    name: str = "contrast"
    uses_seed: bool = False
    unit: str = "factor"

    def __post_init__(self) -> None:
        """Check the fixed point."""
        if self.around is not None and not np.isfinite(self.around):
            raise InputError(f"contrast: around {self.around}; give a finite code")

    def points(
        self,
        codes: Codes,
        strength: float,
        seed: int,
        max_code: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Codes:
        """Return one point per sample; see ``Perturbation.points``. Nothing is random."""
        checked_keys(keys, codes.shape[0])
        middle = max_code / 2 if self.around is None else self.around
        moved = middle + strength_of(self.name, strength) * (codes - middle)
        return on_grid(np.asarray(moved, np.float64), max_code)


def _mixing(size: int, sigma: float) -> NDArray[np.float64]:
    """Return the matrix [in, out] of a blur along an axis, with the border's pixel beyond it."""
    reach = math.ceil(_REACH * sigma)
    distance = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    kernel /= kernel.sum()
    source = np.clip(np.arange(size)[:, None] + distance, 0, size - 1)
    mixing = np.zeros((size, size))
    np.add.at(mixing, (source, np.arange(size)[:, None]), kernel)
    return mixing
