"""What enters a run: held images or one input per step, with labels if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import wrong_file
from neurodeploy.files import sample_hashes
from neurodeploy.findings import Finding
from neurodeploy.network.array_file import read_arrays
from neurodeploy.network.arrays import frozen
from neurodeploy.network.encoding import ConstantEncoder
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

    def hashes(self, encoder: ConstantEncoder) -> tuple[str, ...]:
        """Hash each sample's codes: [n] if they are the same at every step, else [T, n].

        So an image has one hash, held by the network or written out as a sequence.
        """
        codes = encoder.encode(self.values)
        if self.held:
            return sample_hashes(codes)
        still = (codes == codes[:1]).all(axis=(0, 2))
        each = [codes[0, i] if still[i] else codes[:, i] for i in range(len(self))]
        return tuple(sample_hashes(sample[None])[0] for sample in each)

    def changed_by(self, encoder: ConstantEncoder) -> tuple[Finding, ...]:
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


def load_stimuli(path: str | Path) -> Stimuli:
    """Read ``x`` [T, B, ...] or ``images`` [B, ...], and ``y`` [B] if it is there.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or holds neither or both.
    """
    path = Path(path)
    arrays = read_arrays(path, "data")
    held = "images" in arrays
    if held == ("x" in arrays):
        if not held:
            remedy = "a data file holds images [B, ...] or x [T, B, ...], and y [B] labels"
            raise wrong_file(path, "a data file", remedy)
        found = ", ".join(sorted(arrays)) or "nothing"
        raise FileFormatError(
            f"{path}: found {found}; a data file holds either images [B, ...] (held) or "
            "x [T, B, ...] (one input per step), in input units, and y [B] labels"
        )
    try:
        return Stimuli(_array(arrays, held), arrays.get("y"), held)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _array(arrays: dict[str, NDArray[Any]], held: bool) -> NDArray[Any]:
    return arrays["images" if held else "x"]
