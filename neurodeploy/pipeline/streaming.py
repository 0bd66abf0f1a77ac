"""A run in bounded memory: input stays in its file, records go to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import kind_of, wrong_file
from neurodeploy.hdf5_scan import scan_hdf5
from neurodeploy.network import Quantity, Samples, Traces
from neurodeploy.network.encoded_sequence import EncodedSequence
from neurodeploy.network.traces_file import traces_file
from neurodeploy.pipeline.backends import Progress, Timing, meta_of
from neurodeploy.pipeline.model import Model
from neurodeploy.simulate import run_fixed

#: Largest sum of declared array sizes of an input file, in bytes.
_MAX_BYTES = 2**45
_REMEDY = "bounded memory is for .h5 files with sequences x [T, B, ...]"


def stream_model(
    model: Model,
    source: str | Path,
    out: str | Path,
    *,
    memory_bytes: int,
    record: Sequence[Quantity] = (),
    timing: Timing = "aligned",
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Traces, NDArray[np.int64] | None]:
    """Run the sequence in ``source`` through the integers and write traces to ``out``.

    Parameters
    ----------
    model : Model
        Quantised.
    source : path
        .h5 with ``x`` [T, B, ...] in input units and, if it likes, ``y`` [B].
    out : path
        .h5 traces.
    memory_bytes : int
        For scratch; see ``run_fixed``.
    record, timing, threads, progress
        As ``run_fixed``.

    Returns
    -------
    (traces, labels)
        Traces with output and counts alone; labels or None.

    Raises
    ------
    FileFormatError
        If the input is no HDF5 file with ``x``.
    InputError, ShapeError, RangeError
        As ``run_fixed``.
    """
    net = model.require_fixed()
    source = Path(source)
    if source.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{source}: only .h5 input can be read block by block; drop --memory")
    with _opened(source) as file:
        values = _sequence(file, source, net.n_input)
        labels = _labels(file, values.shape[1])
        with traces_file(out, meta_of(model, "fixed")) as into:
            traces = run_fixed(
                net,
                EncodedSequence(values, net.encoder),
                record=tuple(record),
                timing=timing,
                threads=threads,
                progress=progress,
                memory_bytes=memory_bytes,
                into=into,
            )
    return traces, labels


def _opened(path: Path) -> h5py.File:
    """Open and scan an input file."""
    try:
        file = h5py.File(path, "r")
        scan_hdf5(file, str(path), _MAX_BYTES)
    except OSError as error:
        raise wrong_file(path, "a data file", _REMEDY) from error
    return file


def _sequence(file: h5py.File, path: Path, n_input: int) -> Any:
    values = file.get("x")
    if not isinstance(values, h5py.Dataset):
        if kind_of(path) != "a data file":
            raise wrong_file(path, "a data file", _REMEDY)
        raise FileFormatError(f"{path}: holds no x [T, B, ...]; bounded memory is for sequences")
    size = int(np.prod(values.shape[2:]))
    if len(values.shape) < 3 or size != n_input:
        raise ShapeError(f"{path}: x has shape {values.shape}; the network takes {n_input} values")
    return values


def _labels(file: h5py.File, samples: int) -> NDArray[np.int64] | None:
    if "y" not in file:
        return None
    checked: NDArray[np.int64] = Samples(np.zeros((samples, 1)), np.asarray(file["y"])).labels
    return checked
