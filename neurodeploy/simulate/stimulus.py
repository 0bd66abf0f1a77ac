"""The codes that enter a run: checked once, kept narrow, hashed alike for every simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.files import content_hash
from neurodeploy.network.encoding import Encoder


@dataclass(frozen=True, slots=True, eq=False)
class Stimulus:
    """Codes [B, n] held for ``steps`` steps, or [steps, B, n]; uint8 or uint16."""

    codes: NDArray[Any]
    steps: int

    @property
    def held(self) -> bool:
        """Whether every step receives the same codes."""
        return self.codes.ndim == 2

    @property
    def batch(self) -> int:
        """Number of samples."""
        return int(self.codes.shape[-2])

    def at(self, t: int) -> NDArray[Any]:
        """Return the codes [B, n] of step ``t`` (from 0)."""
        return self.codes if self.held else self.codes[t]


def read_stimulus(
    codes: Any,
    *,
    n_input: int,
    encoder: Encoder,
    steps: int | None,
    asked_steps: int | None,
) -> Stimulus:
    """Check codes against a network and its encoder.

    Parameters
    ----------
    codes : int array [B, n_input] or [T, B, n_input]
        0 .. ``encoder.max_code``.
    n_input, encoder
        The network's.
    steps : int or None
        The network's steps, for held codes.
    asked_steps : int or None
        The caller's steps; for codes [T, B, n_input] it must be T.

    Raises
    ------
    ShapeError
        If there is no sample, no step, or another number of inputs.
    RangeError
        If the codes are not integers or leave the encoder's range.
    InputError
        If nobody says for how many steps codes are held.
    """
    array = np.asarray(codes)
    run_steps = checked_steps("codes", array, n_input, steps, asked_steps)
    return Stimulus(_checked_codes(array, encoder.max_code), run_steps)


@dataclass(frozen=True, slots=True, eq=False)
class FloatStimulus:
    """What a float network receives: codes to decode, or values (``encoder`` None).

    ``array`` is [B, n], held for ``steps`` steps, or [steps, B, n].
    """

    array: NDArray[Any]
    steps: int
    encoder: Encoder | None

    @property
    def held(self) -> bool:
        """Whether every step receives the same."""
        return self.array.ndim == 2

    @property
    def batch(self) -> int:
        """Number of samples."""
        return int(self.array.shape[-2])

    def values(
        self, first: int, end: int, samples: slice, dtype: type[np.floating[Any]]
    ) -> NDArray[Any]:
        """Return what ``samples`` receive in steps ``first`` .. ``end - 1``; one row if held.

        The array is a new one.
        """
        rows = self.array[None] if self.held else self.array[first:end]
        if self.encoder is None:
            return rows[:, samples].astype(dtype)
        return self.encoder.decode(rows[:, samples]).astype(dtype, copy=False)

    def digest(self) -> str:
        """Return the hash of the input; codes have the same one in every simulator."""
        if self.encoder is not None:
            return input_hash(self.array, self.encoder.max_code)
        return content_hash({"values": self.array.astype(np.float64, copy=False)})


def read_float_stimulus(
    stimulus: Any,
    *,
    n_input: int,
    encoder: Encoder,
    steps: int | None,
    asked_steps: int | None,
) -> FloatStimulus:
    """Check codes (integers), or values in input units (floating point), against a network.

    Parameters and errors are those of ``read_stimulus``; values need not lie in the encoder's
    range. RangeError also for values that are not finite.
    """
    array = np.asarray(stimulus)
    if array.dtype.kind != "f":
        codes = read_stimulus(
            array, n_input=n_input, encoder=encoder, steps=steps, asked_steps=asked_steps
        )
        return FloatStimulus(codes.codes, codes.steps, encoder)
    run_steps = checked_steps("values", array, n_input, steps, asked_steps)
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise RangeError(f"values: {array[at]} at index {list(at)}; input values must be finite")
    return FloatStimulus(array, run_steps, None)


def checked_steps(
    what: str, array: Any, n_input: int, steps: int | None, asked_steps: int | None
) -> int:
    """Return the steps of a run; raise where the shape does not fit."""
    if asked_steps is not None and not isinstance(asked_steps, (int, np.integer)):
        raise InputError(f"steps: {asked_steps!r}; needs a whole number")
    if array.ndim not in (2, 3) or array.shape[-1] != n_input:
        raise ShapeError(
            f"{what}: shape {array.shape}; this network needs [B, {n_input}] (held) "
            f"or [T, B, {n_input}]"
        )
    if array.ndim == 3 and asked_steps is not None and asked_steps != array.shape[0]:
        raise ShapeError(
            f"{what}: {array.shape[0]} steps in shape {array.shape}, but steps={asked_steps}; "
            f"leave steps out, or give {what} [B, n] to be held"
        )
    run_steps = asked_steps if asked_steps is not None else steps
    if array.ndim == 3:
        run_steps = array.shape[0]
    if run_steps is None:
        raise InputError(
            f"steps: the network does not say for how many steps {what} {array.shape} are held; "
            f"give steps, or {what} [T, B, {n_input}]"
        )
    if run_steps < 1 or array.shape[-2] < 1:
        raise ShapeError(
            f"{what}: shape {array.shape} and {run_steps} steps; a run needs at least one sample "
            "and one step"
        )
    return int(run_steps)


def input_hash(codes: Any, max_code: int) -> str:
    """Hash codes so that the same input has one hash in every simulator and integer type."""
    array = np.asarray(codes).astype(_narrowest(max_code), copy=False)
    if max_code == 1:  # long spike trains: eight to a byte
        return content_hash({"codes": np.packbits(array), "shape": np.array(array.shape)})
    return content_hash({"codes": array})


def _checked_codes(codes: NDArray[Any], max_code: int) -> NDArray[Any]:
    if codes.dtype.kind not in "iub":
        raise RangeError(
            f"codes: dtype {codes.dtype}; codes are integers 0..{max_code}: "
            "use the network's encoder.encode(images)"
        )
    negative = codes.dtype.kind == "i" and bool(codes.min(initial=0) < 0)
    if negative or codes.max(initial=0) > max_code:
        raise RangeError(
            f"codes: range {codes.min()}..{codes.max()} leaves the encoder's 0..{max_code}; "
            "clip the codes, or encode with the network's encoder"
        )
    return np.ascontiguousarray(codes.astype(_narrowest(max_code), copy=False))


def _narrowest(max_code: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if max_code <= np.iinfo(np.uint8).max else np.uint16
