"""Events of many samples (t, index, payload), in memory or in a file, binned into steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError

#: Names of the arrays in a data file; the payload may be absent.
T, INDEX, PAYLOAD, OFFSETS = (f"events/{name}" for name in ("t", "index", "payload", "offsets"))
#: A time so near below a step's beginning (in steps) lies in that step: decimals are not exact.
_NEAR = 1e-6
#: Events read at once.
_PIECE = 2**16


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of B samples, one sample after the other; arrays or HDF5 datasets [E].

    Parameters
    ----------
    t : [E]
        Integers: the step, from 0. Floating point: seconds from the sample's beginning.
    index : int [E]
        Which input, in C order of the input's shape.
    payload : [E] or None
        In input units; None: 1 each.
    offsets : int64 [B + 1]
        Where each sample begins; the last entry is E.

    Raises
    ------
    ShapeError, InputError
        If lengths or types do not fit, or the offsets do not rise from 0 to E.
    """

    t: Any
    index: Any
    payload: Any | None
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check lengths, types and offsets; single events are checked by ``check``."""
        count = self._require(T, self.t, "iuf")
        self._require(INDEX, self.index, "iu", count)
        if self.payload is not None:
            self._require(PAYLOAD, self.payload, "biuf", count)
        offsets = np.asarray(self.offsets)
        if offsets.ndim != 1 or offsets.size < 2 or offsets.dtype.kind not in "iu":
            raise ShapeError(
                f"{OFFSETS}: {offsets.dtype} {offsets.shape}; needs integers [B + 1], B >= 1"
            )
        if offsets.max() >= 2**63:
            raise InputError(f"{OFFSETS}: {offsets.max()} is beyond any file")
        offsets = offsets.astype(np.int64)
        falls = np.flatnonzero(np.diff(offsets) < 0)
        if falls.size:
            at = int(falls[0])
            raise InputError(
                f"{OFFSETS}: not sorted: {offsets[at + 1]} follows {offsets[at]} (sample {at}); "
                "each sample's events stand behind those of the sample before"
            )
        if offsets[0] != 0 or offsets[-1] != count:
            raise InputError(
                f"{OFFSETS}: from {offsets[0]} to {offsets[-1]}; must begin at 0 and end at the "
                f"number of events, {count}"
            )
        object.__setattr__(self, "offsets", offsets)

    @staticmethod
    def _require(name: str, values: Any, kinds: str, count: int | None = None) -> int:
        if len(values.shape) != 1 or values.dtype.kind not in kinds:
            needs = "numbers" if "f" in kinds else "integers"
            raise ShapeError(f"{name}: {values.dtype} {values.shape}; needs {needs} [events]")
        if count is not None and values.shape[0] != count:
            raise ShapeError(f"{name}: {values.shape[0]} entries beside {count} in {T}")
        return int(values.shape[0])

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self.offsets.size - 1)

    def of_samples(self, first: int, last: int) -> Events:
        """Return the events of samples ``first`` .. ``last - 1``, in memory."""
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        payload = None if self.payload is None else np.asarray(self.payload[begin:end])
        return Events(
            np.asarray(self.t[begin:end]),
            np.asarray(self.index[begin:end]),
            payload,
            self.offsets[first : last + 1] - begin,
        )

    def check(self, n_input: int, steps: int | None, dt_s: float | None) -> tuple[int, int]:
        """Look at every event once, some at a time.

        Returns
        -------
        (last step, late)
            The last step that has an event (-1 without any), and how many events come at step
            ``steps`` or later.

        Raises
        ------
        InputError
            For an index out of range, a negative or not finite time, a payload that is not
            finite; or times in seconds where nothing says how long a step is.
        """
        last, late = -1, 0
        for begin in range(0, int(self.t.shape[0]), _PIECE):
            part = slice(begin, begin + _PIECE)
            step, index = self._steps(part, dt_s), np.asarray(self.index[part])
            self._refuse(INDEX, begin, (index < 0) | (index >= n_input), index, f"0..{n_input - 1}")
            if self.payload is not None and self.payload.dtype.kind == "f":
                payload = np.asarray(self.payload[part])
                self._refuse(PAYLOAD, begin, ~np.isfinite(payload), payload, "a finite number")
            last = max(last, int(step.max()))
            late += 0 if steps is None else int((step >= steps).sum())
        return last, late

    def _steps(self, part: slice, dt_s: float | None) -> NDArray[np.int64]:
        """Return the step of each event."""
        times = np.asarray(self.t[part])
        wrong = (times < 0) | ~np.isfinite(times)
        self._refuse(T, part.start, wrong, times, "a finite time from 0 on")
        if times.dtype.kind == "f":
            if dt_s is None:
                raise InputError(
                    f"{T}: holds {times.dtype}, seconds, and nothing says how long a step is; "
                    "give integers (steps), or a model with dt"
                )
            times = np.floor(times.astype(np.float64) / dt_s + _NEAR)
        self._refuse(T, part.start, times >= 2**31, times, "fewer than 2**31 steps")
        return times.astype(np.int64)

    def _refuse(
        self, name: str, begin: int, wrong: NDArray[Any], values: NDArray[Any], needs: str
    ) -> None:
        """Raise InputError naming the first event that is wrong."""
        if not wrong.any():
            return
        at = int(np.flatnonzero(wrong)[0])
        sample = int(np.searchsorted(self.offsets, begin + at, side="right")) - 1
        raise InputError(f"{name}[{begin + at}] (sample {sample}) is {values[at]}; needs {needs}")

    def binned(
        self, rows: range, samples: range, n_input: int, dt_s: float | None
    ) -> NDArray[np.float64]:
        """Return the sums of payloads per step and input, float64 [rows, samples, n_input].

        Events that share step and input add up; those outside ``rows`` are left out.
        """
        found = np.zeros(len(rows) * len(samples) * n_input)
        for column, sample in enumerate(samples):
            end = int(self.offsets[sample + 1])
            for begin in range(int(self.offsets[sample]), end, _PIECE):
                part = slice(begin, min(begin + _PIECE, end))
                step = self._steps(part, dt_s)
                inside = (step >= rows.start) & (step < rows.stop)
                index = np.asarray(self.index[part])[inside]
                weight = 1.0 if self.payload is None else np.asarray(self.payload[part])[inside]
                row = (step[inside] - rows.start) * len(samples) + column
                np.add.at(found, row * n_input + index.astype(np.int64), weight)
        return found.reshape(len(rows), len(samples), n_input)


@dataclass(frozen=True, slots=True, eq=False)
class EventGrid:
    """Events seen as values [T, B, n] that are binned as they are asked for."""

    events: Events
    steps: int
    n_input: int
    dt_s: float | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, samples, inputs."""
        return self.steps, len(self.events), self.n_input

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(np.float64)

    @property
    def chunks(self) -> tuple[int, int, int]:
        """All steps of a sample are best asked for at once: its events are read whole."""
        return self.steps, 1, self.n_input

    def __getitem__(self, where: tuple[slice, slice]) -> NDArray[np.float64]:
        """Return the values of a block of steps and samples."""
        rows, samples = (
            range(*part.indices(size)) for part, size in zip(where, self.shape, strict=False)
        )
        return self.events.binned(rows, samples, self.n_input, self.dt_s)


def events_in(arrays: Mapping[str, Any]) -> Events | None:
    """Return the events of a data file, or None if it holds none.

    Raises
    ------
    FileFormatError
        If some of the arrays are missing.
    ShapeError, InputError
        As ``Events``.
    """
    found = [name for name in (T, INDEX, PAYLOAD, OFFSETS) if name in arrays]
    if not found:
        return None
    missing = [name for name in (T, INDEX, OFFSETS) if name not in arrays]
    if missing:
        raise FileFormatError(
            f"lacks {', '.join(missing)}; events are {T}, {INDEX} and, if it is not 1, {PAYLOAD} "
            f"[events], and {OFFSETS} [B + 1]"
        )
    payload = arrays.get(PAYLOAD)
    return Events(arrays[T], arrays[INDEX], payload, np.asarray(arrays[OFFSETS]))
