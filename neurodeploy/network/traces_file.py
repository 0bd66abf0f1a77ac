"""A traces file filled while a run goes on, so that its memory does not grow with the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.files import replacing
from neurodeploy.network.traces import COUNTS, TRACES_SCHEMA, escaped_key

#: Values copied at a time.
_COPY_VALUES = 2**22


class TracesFile:
    """An .h5 traces file under way; made by ``traces_file``.

    Arrays lie uncompressed in the file and are mapped into memory: what is written to them goes to
    the disk as the system needs the room.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any]) -> None:
        self._path = path
        self._meta = dict(meta)
        self._arrays: dict[str, np.memmap[Any, Any]] = {}

    def new_array(self, key: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return a writable array of zeros for the record ``key`` ("<population>/<quantity>")."""
        with h5py.File(self._path, "r+") as file:
            made = _contiguous(file, escaped_key(key), shape, np.dtype(dtype))
            offset = made.id.get_offset()
            size = made.id.get_storage_size()
        _reserve(self._path, offset, size)
        array = np.memmap(self._path, np.dtype(dtype), "r+", offset, shape)
        self._arrays[key] = array
        return array

    def finish(
        self,
        output_key: str,
        counts: Mapping[str, NDArray[np.int64]],
        meta: Mapping[str, Any],
        *,
        keep: bool,
    ) -> None:
        """Write the rest; the arrays given out must not be written to any more.

        ``output_key`` is the record that is the output; ``keep`` says whether it is a record too.
        """
        for array in self._arrays.values():
            array.flush()
        with h5py.File(self._path, "r+") as file:
            if keep:
                self._copy(file, self._arrays[output_key])
            else:
                file.move(escaped_key(output_key), "output")
            for key, count in counts.items():
                file.create_dataset(COUNTS + escaped_key(key), data=count)
            file["meta"] = json.dumps({"schema": TRACES_SCHEMA, **meta, **self._meta})

    def _copy(self, file: h5py.File, output: NDArray[Any]) -> None:
        stored = _contiguous(file, "output", output.shape, output.dtype)
        steps = max(1, _COPY_VALUES // max(1, int(np.prod(output.shape[1:]))))
        for t in range(0, output.shape[0], steps):
            stored[t : t + steps] = output[t : t + steps]


@contextmanager
def traces_file(path: str | Path, meta: Mapping[str, Any] | None = None) -> Iterator[TracesFile]:
    """Give a traces file to fill; it takes its name when the block ends well.

    ``meta`` (JSON types) is added to what the run says of itself.

    Raises
    ------
    InputError
        If ``path`` does not end in .h5.
    """
    if Path(path).suffix != ".h5":
        raise InputError(f"{path}: traces that are written while they are made end in .h5")
    with replacing(path) as temporary:
        with h5py.File(temporary, "w"):
            pass
        yield TracesFile(temporary, meta or {})


def _reserve(path: Path, offset: int, size: int) -> None:
    """Take the room on the disk now: writing through a map on a full disk ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), offset, size)


def _contiguous(
    file: h5py.File, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Make a dataset whose place in the file is known at once, in one piece."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    made = h5py.h5d.create(
        file.id,
        key.encode(),
        h5py.h5t.py_create(dtype),
        h5py.h5s.create_simple(shape),
        dcpl=properties,
        lcpl=links,
    )
    return h5py.Dataset(made)
