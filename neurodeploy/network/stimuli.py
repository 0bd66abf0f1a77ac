"""What enters a run: held images, one input per step, or events; with labels if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import wrong_file
from neurodeploy.files import sample_hashes
from neurodeploy.findings import Finding
from neurodeploy.network.array_file import read_arrays
from neurodeploy.network.arrays import frozen
from neurodeploy.network.encoding import Encoder
from neurodeploy.network.event_data import EventGrid, Events, events_in
from neurodeploy.network.samples import Samples


@dataclass(frozen=True, slots=True, eq=False)
class Stimuli:
    """Values in input units: ``held`` images [B, n], or one input per step [T, B, n].

    ``labels`` [B] (int64) or None.
    """

    values: NDArray[np.float64]
    labels: NDArray[np.int64] | None
    held: bool

    def __post_init__(self) -> None:
        """Flatten each input, and check the numbers."""
        values = np.asarray(self.values)
        name, lead = ("images", 1) if self.held else ("x", 2)
        if values.dtype.kind not in "biuf":
            raise InputError(f"{name}: holds {values.dtype}, needs real numbers")
        if values.ndim <= lead or 0 in values.shape:
            needs = "[B, ...]" if self.held else "[T, B, ...]"
            raise ShapeError(f"{name}: shape {values.shape}; needs {needs}, nothing empty")
        values = values.astype(np.float64).reshape(*values.shape[:lead], -1)
        if not np.isfinite(values).all():
            raise InputError(f"{name}: contain NaN or infinity; clean the data first")
        object.__setattr__(self, "values", frozen(values))
        if self.labels is not None:
            # Samples knows what labels must be.
            labelled = Samples(np.zeros((values.shape[-2], 1)), self.labels)
            object.__setattr__(self, "labels", labelled.labels)

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self.values.shape[-2])

    def first(self, n: int) -> Stimuli:
        """Return the first ``n`` samples (all if there are fewer)."""
        labels = None if self.labels is None else self.labels[:n]
        return Stimuli(self.values[..., :n, :], labels, self.held)

    def only(self, sample: int) -> Stimuli:
        """Return one sample, without its label."""
        return Stimuli(self.values[..., sample : sample + 1, :], None, self.held)

    def require_size(self, n_input: int) -> None:
        """Raise ShapeError if one input has not ``n_input`` values."""
        if self.values.shape[-1] != n_input:
            name = "images" if self.held else "x"
            raise ShapeError(
                f"{name}: {self.values.shape[-1]} values each, the network takes {n_input}"
            )

    def misfit_labels(self, classes: int) -> str:
        """Return what is wrong with the labels for ``classes`` outputs, or an empty string."""
        if self.labels is None:
            return ""
        return Samples(np.zeros((len(self), 1)), self.labels).misfit_labels(classes)

    def hashes(self, encoder: Encoder) -> tuple[str, ...]:
        """Hash each sample's codes: [n] if they are the same at every step, else [T, n].

        So an image has one hash, held by the network or written out as a sequence. The codes of
        an image are those of its values, whatever the encoder then makes of them.
        """
        if self.held:
            return sample_hashes(encoder.levels.encode(self.values))
        codes = encoder.encode(self.values)
        still = (codes == codes[:1]).all(axis=(0, 2))
        each = [codes[0, i] if still[i] else codes[:, i] for i in range(len(self))]
        return tuple(sample_hashes(sample[None])[0] for sample in each)

    def changed_by(self, encoder: Encoder) -> tuple[Finding, ...]:
        """Return a warning that says what encoding changes: clipped images, rounded sequences.

        Images are made for a grid, so rounding them is no news; a sequence is often spikes or
        currents of its own.
        """
        if self.held:
            labels = np.zeros(len(self), dtype=np.int64)
            return Samples(self.values, labels).out_of_range(encoder)
        codes = encoder.encode(self.values)
        error = np.abs(encoder.decode(codes) - self.values)
        changed = error > 1e-9 * encoder.step
        if not changed.any():
            return ()
        count, total, worst = int(changed.sum()), self.values.size, float(error.max())
        text = (
            f"{count} of {total} values ({count / total:.1%}) are not on the encoder's grid "
            f"({encoder.low:g}..{encoder.high:g} in {encoder.bits} bits); rounding or clipping "
            f"changes them by up to {worst:.3g}"
        )
        numbers = {"changed": count, "values": total, "largest": worst}
        return (Finding("warning", "input", text, "set the encoder's range and bits", numbers),)


@dataclass(frozen=True, slots=True, eq=False)
class EventStimuli:
    """Events of B samples, which become one input per step once a network says how long one is.

    ``labels`` [B] (int64) or None.
    """

    events: Events
    labels: NDArray[np.int64] | None

    def __post_init__(self) -> None:
        """Check the labels."""
        if self.labels is not None:
            labelled = Samples(np.zeros((len(self.events), 1)), self.labels)
            object.__setattr__(self, "labels", labelled.labels)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.events)

    def first(self, n: int) -> EventStimuli:
        """Return the first ``n`` samples (all if there are fewer)."""
        labels = None if self.labels is None else self.labels[:n]
        return EventStimuli(self.events.of_samples(0, min(n, len(self))), labels)

    def only(self, sample: int) -> EventStimuli:
        """Return one sample, without its label."""
        return EventStimuli(self.events.of_samples(sample, sample + 1), None)

    def in_steps(
        self, n_input: int, steps: int | None, dt_s: float | None
    ) -> tuple[Stimuli, tuple[Finding, ...]]:
        """Return one input per step, and a warning if events come later than the last.

        Parameters
        ----------
        n_input : int
        steps : int or None
            Steps per sample; None: up to the last event of all samples.
        dt_s : float or None
            Length of a step, for times in seconds.

        Raises
        ------
        InputError
            As ``Events.check``.
        """
        last, late = self.events.check(n_input, steps, dt_s)
        length = max(1, last + 1) if steps is None else steps
        grid = EventGrid(self.events, length, n_input, dt_s)
        values = grid[0:length, 0 : len(self)]
        return Stimuli(values, self.labels, held=False), late_events(self.events, late, length)


def late_events(events: Events, late: int, steps: int) -> tuple[Finding, ...]:
    """Return a warning that ``late`` events come after the last of ``steps``, if any does."""
    if not late:
        return ()
    total = int(events.t.shape[0])
    text = (
        f"{late} of {total} events ({late / total:.1%}) come at step {steps} or later, after the "
        "sample's end, and are left out"
    )
    numbers = {"late": late, "events": total, "steps": steps}
    return (Finding("warning", "events", text, "give more --steps, or shorter samples", numbers),)


def load_stimuli(path: str | Path) -> Stimuli | EventStimuli:
    """Read ``x`` [T, B, ...], ``images`` [B, ...] or events, and ``y`` [B] if it is there.

    Events are ``events/t``, ``events/index``, ``events/payload`` (1 if absent) and
    ``events/offsets``; see ``Events``.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or holds none or several of the three.
    """
    path = Path(path)
    arrays = read_arrays(path, "data")
    kinds = {name.partition("/")[0] for name in arrays} & {"images", "x", "events"}
    if not kinds:
        remedy = "a data file holds images [B, ...] or x [T, B, ...] or events, and y [B] labels"
        raise wrong_file(path, "a data file", remedy)
    if len(kinds) > 1:
        found = ", ".join(sorted(arrays))
        raise FileFormatError(
            f"{path}: found {found}; a data file holds either images [B, ...] (held) or "
            "x [T, B, ...] (one input per step), in input units, or events; and y [B] labels"
        )
    try:
        events = events_in(arrays)
        if events is not None:
            return EventStimuli(events, arrays.get("y"))
        (kind,) = kinds
        return Stimuli(arrays[kind], arrays.get("y"), held=kind == "images")
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
