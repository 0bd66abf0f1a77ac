"""How input becomes integers and how a decision is read: part of every network, float or fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError

ReadoutKind = Literal["count", "sum", "mean_v", "last_v", "max_v"]
InputForm = Literal["graded", "bias"]


class Encoder(Protocol):
    """What every encoder offers.

    Two grids of codes: ``low``, ``high``, ``bits`` and what follows from them speak of one input
    of one step, as the network receives it; ``levels`` is the grid of an image's values. The float
    and the fixed-point network receive the same codes, so no comparison between them contains an
    input-rounding difference.
    """

    @property
    def kind(self) -> str:
        """Word of the execution contract."""

    @property
    def low(self) -> float:
        """Value that code 0 of one step stands for."""

    @property
    def high(self) -> float:
        """Value that the largest code of one step stands for."""

    @property
    def bits(self) -> int:
        """Width of a code of one step, 1 to 16."""

    @property
    def max_code(self) -> int:
        """Largest code of one step, ``2**bits - 1``."""

    @property
    def step(self) -> float:
        """Value of one code, in input units."""

    @property
    def levels(self) -> ConstantEncoder:
        """Grid of the values of an image."""

    def encode(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Round what enters at single steps to codes: nearest, half to even, clipped."""

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values (float64) that codes of single steps stand for."""

    def messages(self, levels: NDArray[Any], steps: int | None) -> NDArray[Any]:
        """Return what enters for images.

        Parameters
        ----------
        levels : int array [B, n]
            Codes of the images on the grid ``levels``.
        steps : int or None
            Steps per sample, where something says it.

        Returns
        -------
        array [B, n] or [steps, B, n]
            Codes of single steps; [B, n] if all steps are alike.

        Raises
        ------
        ContractError
            For an encoder that takes no images.
        InputError
            If it needs steps and nothing says how many.
        """

    def as_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON types; ``encoder_from`` reads them."""


@dataclass(frozen=True, slots=True)
class ConstantEncoder:
    """Constant-current coding: each step receives the same image, held on an integer grid.

    A code c in 0 .. 2**bits - 1 stands for the value ``low + c * step``.

    Parameters
    ----------
    low, high : float
        Input range; values outside are clipped.
    bits : int
        Width of an input code, 1 to 16.
    form : {"graded", "bias"}
        How a chip gets it: codes as graded messages at every step, or the sums of the first
        layer as its biases, written by the host before each sample
        (``neurodeploy.network.bias_schedule``). The integers are the same.
    """

    low: float = 0.0
    high: float = 1.0
    bits: int = 8
    form: InputForm = "graded"

    def __post_init__(self) -> None:
        """Check the range, the width and the form."""
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise RangeError(f"encoder: range {self.low}..{self.high} is empty or not finite")
        if not 1 <= self.bits <= 16:
            raise RangeError(f"encoder: {self.bits} bits; an input code has 1 to 16 bits")
        if self.form not in ("graded", "bias"):
            raise RangeError(f"encoder: form {self.form!r}; choose graded or bias")

    @property
    def kind(self) -> str:
        """``constant``."""
        return "constant"

    @property
    def max_code(self) -> int:
        """Largest code, ``2**bits - 1``."""
        return int(2**self.bits - 1)

    @property
    def step(self) -> float:
        """Value of one code, in input units."""
        return (self.high - self.low) / self.max_code

    @property
    def levels(self) -> ConstantEncoder:
        """The encoder: an image is what enters at each step."""
        return self

    def encode(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """Round ``values`` (input units) to codes: nearest, half to even, clipped to the range."""
        scaled = (np.asarray(values, dtype=np.float64) - self.low) / self.step
        return np.clip(np.rint(scaled), 0, self.max_code).astype(np.int32)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the input values (float64) that ``codes`` stand for."""
        return self.low + np.asarray(codes, dtype=np.float64) * self.step

    def messages(self, levels: NDArray[Any], steps: int | None) -> NDArray[Any]:
        """Return the codes as they are: held."""
        del steps
        return levels

    def as_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON types."""
        form = {} if self.form == "graded" else {"form": self.form}
        return {"kind": "constant", "low": self.low, "high": self.high, "bits": self.bits, **form}


@dataclass(frozen=True, slots=True)
class Readout:
    """How the decision is taken from one population.

    ``count``: spikes over all steps. ``sum``: input summed over all steps, held by a population
    that never fires. ``mean_v``, ``last_v``, ``max_v``: of its membrane after each step.
    ``window``: the first step that is read and the first that is not any more; None reads all.
    """

    population: str
    kind: ReadoutKind
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the window."""
        if self.window is None:
            return
        start, stop = (int(step) for step in self.window)
        if not 0 <= start < stop:
            raise RangeError(
                f"read-out: window {start}:{stop} holds no step; give 0 <= start < stop"
            )
        object.__setattr__(self, "window", (start, stop))

    def as_dict(self) -> dict[str, Any]:
        """Return the read-out as JSON types."""
        window = {} if self.window is None else {"window": list(self.window)}
        return {"population": self.population, "kind": self.kind, **window}


def decide(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class with the strictly largest score, or -1 where the top is tied.

    Parameters
    ----------
    scores : array [B, classes]
        Read-out of each sample, integer or float.
    """
    scores = np.asarray(scores)
    best = scores.max(axis=-1)
    unique = (scores == best[..., None]).sum(axis=-1) == 1
    return np.where(unique, scores.argmax(axis=-1), -1)
