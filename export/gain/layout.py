"""What each input channel of a portable graph carries, and how that is written into its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodeploy.errors import FileFormatError
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.graph.nodes import Shape

LAYOUT_SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Channels ``first .. first + count - 1`` of the input's first axis.

    They carry the input times ``factor[t]``, or ``factor[t]`` itself on a single line. After the
    last entry of ``factor`` the last one holds.
    """

    carries: str
    first: int
    count: int
    factor: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class InputLayout:
    """Input of a portable graph: ``shape`` was the input before, ``blocks`` tile its first axis."""

    shape: Shape
    blocks: tuple[Block, ...]

    @property
    def portable_shape(self) -> Shape:
        """Shape of the portable graph's Input."""
        return (sum(block.count for block in self.blocks), *self.shape[1:])

    @property
    def extra_channels(self) -> int:
        """Channels more than the input had before."""
        return self.portable_shape[0] - self.shape[0]

    @property
    def is_plain(self) -> bool:
        """Whether the input is one block, so that no node needs to pick its part."""
        return len(self.blocks) == 1

    def as_metadata(self) -> dict[str, Any]:
        """Return what ``layout_from_metadata`` reads."""
        blocks = {
            f"block{number}": {
                "carries": block.carries,
                "first": block.first,
                "count": block.count,
                "factor": block.factor,
            }
            for number, block in enumerate(self.blocks)
        }
        return {"input-shape": np.array(self.shape, dtype=np.int64), "blocks": blocks}


def layout_from_metadata(entry: Mapping[str, Any], shape: Shape, where: str) -> InputLayout:
    """Read the layout; ``shape`` is the shape of the file's Input.

    Raises
    ------
    FileFormatError
        For an unknown schema, or blocks that do not tile the input.
    """
    schema = entry.get("schema")
    if schema != LAYOUT_SCHEMA:
        raise FileFormatError(
            f"{where}: neurodeploy_gain/schema is {schema!r}; this version reads {LAYOUT_SCHEMA}"
        )
    try:
        blocks = sorted((_block(b) for b in entry["blocks"].values()), key=lambda b: b.first)
        before = tuple(int(extent) for extent in np.atleast_1d(entry["input-shape"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{where}: neurodeploy_gain is damaged: {error!r}") from error
    layout = InputLayout(before, tuple(blocks))
    at = 0
    for block in blocks:
        count = before[0] if block.carries == "input" else 1
        fits = block.first == at and block.count == count and block.factor.size
        if not fits or not np.isfinite(block.factor).all():
            raise FileFormatError(
                f"{where}: neurodeploy_gain/blocks: {block.count} channels from {block.first} "
                f"(carries {block.carries!r}) do not fit an input of shape {before}"
            )
        at += block.count
    if layout.portable_shape != tuple(shape):
        raise FileFormatError(
            f"{where}: neurodeploy_gain/blocks make an input of shape {layout.portable_shape}, the "
            f"graph's is {tuple(shape)}"
        )
    return layout


def _block(entry: Mapping[str, Any]) -> Block:
    carries = str(entry["carries"])
    if carries not in ("input", "one"):
        raise ValueError(f"a block carries {carries!r}, not input or one")
    factor = np.atleast_1d(np.asarray(entry["factor"], dtype=np.float64))
    return Block(carries, int(entry["first"]), int(entry["count"]), factor)


def trimmed(factor: FloatArray) -> FloatArray:
    """Drop the entries at the end that repeat the last one: it holds anyway."""
    different = np.flatnonzero(factor != factor[-1])
    keep = int(different[-1]) + 2 if different.size else 1
    return np.ascontiguousarray(factor[:keep], dtype=np.float64)


def factor_number(factors: list[FloatArray], factor: FloatArray) -> int:
    """Return the number of ``factor`` among ``factors``, appended if it is new."""
    for number, known in enumerate(factors):
        if np.array_equal(known, factor):
            return number
    factors.append(factor)
    return len(factors) - 1
