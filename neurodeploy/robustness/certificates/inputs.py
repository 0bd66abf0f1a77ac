"""Which inputs a certificate speaks about: bounds of the codes, held or free in every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import FixedPointNetwork
from neurodeploy.robustness.certificates.intervals import Integers, Interval
from neurodeploy.robustness.held_images import require_held


@dataclass(frozen=True, slots=True, eq=False)
class InputBounds:
    """Codes from ``lo`` to ``hi``, int64 [B, n] held for ``steps`` steps or [T, B, n] free in each.

    Held codes are the same in every step, whatever they are within their bounds.
    """

    codes: Interval
    steps: int

    @property
    def is_held(self) -> bool:
        """Whether each step receives the same codes."""
        return self.codes.lo.ndim == 2

    @property
    def batch(self) -> int:
        """Number of samples."""
        return int(self.codes.lo.shape[-2])

    def at(self, t: int) -> Interval:
        """Return what may be sent at logical step ``t`` (from 1), [B, n]."""
        if self.is_held:
            return self.codes
        return Interval(self.codes.lo[t - 1], self.codes.hi[t - 1])

    def of_samples(self, some: slice | Integers) -> InputBounds:
        """Return the bounds of some of the samples."""
        lo, hi = self.codes
        return InputBounds(Interval(lo[..., some, :], hi[..., some, :]), self.steps)


def input_bounds(
    net: FixedPointNetwork, lo: NDArray[np.integer], hi: NDArray[np.integer]
) -> InputBounds:
    """Check bounds of the input codes, [B, n_input] (held) or [T, B, n_input].

    Raises
    ------
    ShapeError, RangeError
        If they do not fit the network, leave its codes, or are empty.
    """
    lo, hi = np.asarray(lo), np.asarray(hi)
    if lo.shape != hi.shape or lo.ndim not in (2, 3) or lo.shape[-1] != net.n_input or not lo.size:
        raise ShapeError(
            f"input bounds: shapes {lo.shape} and {hi.shape}; both must be [B, {net.n_input}] or "
            f"[T, B, {net.n_input}], nothing empty"
        )
    if lo.dtype.kind not in "iub" or hi.dtype.kind not in "iub":
        raise RangeError(
            f"input bounds: {lo.dtype} and {hi.dtype}; codes are integers: use the network's "
            "encoder.encode(images)"
        )
    codes = Interval(lo.astype(np.int64), hi.astype(np.int64))
    largest = net.encoder.max_code
    if codes.lo.min() < 0 or codes.hi.max() > largest:
        raise RangeError(
            f"input bounds: {codes.lo.min()}..{codes.hi.max()} leaves the encoder's 0..{largest}; "
            "clip the bounds"
        )
    if (codes.lo > codes.hi).any():
        raise RangeError("input bounds: some lower bound is above its upper bound; swap them")
    return InputBounds(codes, net.steps if lo.ndim == 2 else int(lo.shape[0]))


def ball(net: FixedPointNetwork, codes: NDArray[np.integer], radius: int) -> InputBounds:
    """Return the bounds of all codes within ``radius`` of ``codes`` in every input (l_inf).

    Raises
    ------
    ShapeError, RangeError
        For codes that do not fit the network, or a radius that is no whole number from 0 on.
    ContractError
        For images [B, n] under an encoder that does not hold them.
    """
    if np.ndim(codes) == 2:
        require_held(net)
    if not radius >= 0 or radius != int(radius):
        raise RangeError(f"radius {radius}: codes are whole; give a whole number from 0 on")
    centre = input_bounds(net, codes, codes).codes.lo
    lowest = np.maximum(centre - int(radius), 0)
    highest = np.minimum(centre + int(radius), net.encoder.max_code)
    return input_bounds(net, lowest, highest)
