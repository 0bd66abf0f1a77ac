"""A run in bounded memory: input stays in its file, records go to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import kind_of, wrong_file
from neurodeploy.findings import Finding
from neurodeploy.hdf5_scan import scan_hdf5
from neurodeploy.network import FixedPointNetwork, Quantity, Samples, Traces
from neurodeploy.network.encoded_sequence import EncodedSequence
from neurodeploy.network.event_data import EventGrid, events_in
from neurodeploy.network.stimuli import late_events
from neurodeploy.network.traces_file import traces_file
from neurodeploy.pipeline.backends import Progress, Timing, meta_of
from neurodeploy.pipeline.model import Model
from neurodeploy.simulate import run_fixed

#: Largest sum of declared array sizes of an input file, in bytes.
_MAX_BYTES = 2**45
_REMEDY = "bounded memory is for .h5 files with sequences x [T, B, ...] or events"


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
    """Run what ``source`` holds through the integers and write traces to ``out``.

    Parameters
    ----------
    model : Model
        Quantised.
    source : path
        .h5 with ``x`` [T, B, ...] in input units, or events; if it likes, ``y`` [B].
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
        If the input is no HDF5 file with ``x`` or events.
    InputError, ShapeError, RangeError
        As ``run_fixed``; for events, as ``Events``.
    """
    net = model.require_fixed()
    source = Path(source)
    if source.suffix not in (".h5", ".hdf5"):
        raise InputError(f"{source}: only .h5 input can be read block by block; drop --memory")
    with _opened(source) as file:
        values, late = _sequence(file, source, net)
        model = dataclasses.replace(model, findings=(*model.findings, *late))
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


def _sequence(
    file: h5py.File, path: Path, net: FixedPointNetwork
) -> tuple[Any, tuple[Finding, ...]]:
    """Return values [T, B, ...] that stay in the file, and what they leave out of it."""
    if net.encoder.levels.form == "bias":
        raise ContractError(
            f"{path}: a bias is held for a whole sample; drop --memory, give images"
        )
    values, events = file.get("x"), file.get("events")
    if isinstance(events, h5py.Group) and values is None:
        return _events(events, path, net)
    if not isinstance(values, h5py.Dataset):
        if kind_of(path) != "a data file":
            raise wrong_file(path, "a data file", _REMEDY)
        raise FileFormatError(
            f"{path}: holds neither x [T, B, ...] nor events; bounded memory is for these"
        )
    size = int(np.prod(values.shape[2:]))
    if len(values.shape) < 3 or size != net.n_input:
        raise ShapeError(
            f"{path}: x has shape {values.shape}; the network takes {net.n_input} values"
        )
    return values, ()


def _events(
    group: h5py.Group, path: Path, net: FixedPointNetwork
) -> tuple[EventGrid, tuple[Finding, ...]]:
    """Look at every event once; return them as values that are binned block by block."""
    stored = {f"events/{n}": v for n, v in group.items() if isinstance(v, h5py.Dataset)}
    try:
        events = events_in(stored)
        if events is None:
            raise FileFormatError("holds a group 'events' without arrays")
        dt_s = net.contract.get("dt")
        _, late = events.check(net.n_input, net.steps, dt_s)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    grid = EventGrid(events, net.steps, net.n_input, dt_s)
    return grid, late_events(events, late, net.steps)


def _labels(file: h5py.File, samples: int) -> NDArray[np.int64] | None:
    if "y" not in file:
        return None
    checked: NDArray[np.int64] = Samples(np.zeros((samples, 1)), np.asarray(file["y"])).labels
    return checked
