"""Reading a traced tensor as rows: one row per step and sample, and which features it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.signal import Signal, Term

#: Time of a row to which a source contributes nothing, of a source that is the same at every
#: step, and of a source that was computed from zeros before the first step.
ABSENT, STATIC, BEFORE = -1, -2, -3


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a traced node looks like to those who read from it.

    ``kind``: "step" (one value per step), "static" (the same at every step) or "before" (an
    operation on zeros before the first step).
    """

    features: int
    kind: str = "step"


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Which features of a source an input reads: int64 [F] (-1: none), and with which factors."""

    feature: NDArray[np.int64]
    factor: NDArray[np.float64]

    @property
    def key(self) -> bytes:
        """Bytes that are equal for equal patterns."""
        return self.feature.tobytes() + self.factor.tobytes()

    def is_identity(self, features: int) -> bool:
        """Whether it reads all ``features`` of the source in order."""
        same = self.feature.size == features and (self.feature == np.arange(features)).all()
        return bool(same) and self.is_plain

    @property
    def is_plain(self) -> bool:
        """Whether every factor is 1."""
        return bool((self.factor == 1).all())


@dataclass(frozen=True, slots=True, eq=False)
class RowTerm:
    """One source as read by all rows: step [R] (or ABSENT, STATIC, BEFORE) and sample [R]."""

    node: int
    pattern: Pattern
    step: NDArray[np.int64]
    sample: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A tensor read as rows. ``constant`` is [R, F] or None; ``sample`` [R], -1 where unknown."""

    terms: tuple[RowTerm, ...]
    constant: NDArray[np.float64] | None
    sample: NDArray[np.int64]


def read_rows(
    signal: Signal, lead: int, sources: Sequence[Source], samples: int, path: str
) -> Rows:
    """Split the first ``lead`` axes of a traced tensor into rows, the rest into features.

    Raises
    ------
    UnsupportedNodeError
        If a row mixes samples, or rows read features in ever different orders.
    """
    count = math.prod(signal.shape[:lead])
    width = math.prod(signal.shape[lead:])
    terms: list[RowTerm] = []
    for term in signal.terms:
        terms += _row_terms(term, (count, width), sources[term.node], samples, path)
    sample = np.full(count, -1)
    for row_term in terms:
        known = (row_term.sample >= 0) & (row_term.step != BEFORE)
        if (known & (sample >= 0) & (sample != row_term.sample)).any():
            raise UnsupportedNodeError(f"{path}: values of different samples are mixed")
        sample = np.where(known, row_term.sample, sample)
    held = None
    if signal.constant is not None:
        held = signal.constant.reshape(count, width).numpy()
    return Rows(tuple(terms), held, sample)


def _row_terms(
    term: Term, shape: tuple[int, int], source: Source, samples: int, path: str
) -> list[RowTerm]:
    index = term.index.reshape(shape)
    factor = term.factor.reshape(shape) if isinstance(term.factor, Tensor) else None
    found: list[RowTerm] = []
    left = index >= 0
    while bool(left.any()):
        # One step and sample per row and round; several rounds where a row holds several steps.
        block = torch.where(left, index.div(source.features, rounding_mode="floor"), -1)
        first = block.amax(1)
        now = left & (block == first[:, None])
        feature = torch.where(now, index.remainder(source.features), -1)
        rows_left = now.any(1)
        while bool(rows_left.any()):
            # One pattern per round.
            row = int(rows_left.to(torch.uint8).argmax())
            same = rows_left & (feature == feature[row]).all(1)
            scale = torch.full((shape[1],), float(term.factor) if factor is None else 0.0).double()
            if factor is not None:
                scale = torch.where(now[row], factor[row], 0.0)
                same &= (torch.where(now, factor, 0.0) == scale).all(1)
            scale = torch.where(feature[row] >= 0, scale, 0.0)
            step = first.div(samples, rounding_mode="floor")
            if source.kind != "step":
                step = torch.full_like(first, STATIC if source.kind == "static" else BEFORE)
            absent = torch.full_like(first, ABSENT)
            # Where nothing is read the factor says nothing.
            ones = torch.where(feature[row] >= 0, scale, 1.0)
            found.append(
                RowTerm(
                    term.node,
                    Pattern(feature[row].numpy().copy(), ones.numpy()),
                    torch.where(same, step, absent).numpy(),
                    torch.where(same, first.remainder(samples), absent).numpy(),
                )
            )
            rows_left &= ~same
            if len(found) > _MOST_PATTERNS:
                raise UnsupportedNodeError(
                    f"{path}: features are rearranged differently from step to step"
                )
        left = left & ~now
    return found


_MOST_PATTERNS = 4096
