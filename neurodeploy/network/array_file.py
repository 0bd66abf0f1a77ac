"""Reading named arrays from .npz and .h5 files that came from somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError


def read_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return every array of a .npz or .h5 file by name; no pickled arrays.

    Text datasets become zero-dimensional string arrays. ``what`` names the kind of file in
    messages.

    Raises
    ------
    FileFormatError
        If the file is absent, damaged, of another format, or holds pickled objects.
    """
    if path.suffix not in (".npz", ".h5", ".hdf5"):
        raise FileFormatError(f"{path}: {what} files are .npz or .h5, not {path.suffix!r}")
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, BadZipFile) as error:
        raise FileFormatError(f"{path}: cannot be read as {what}: {error}") from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    # Opened here: numpy leaves a file open that turns out to be damaged.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _read_h5(path: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            arrays[name] = np.array(value.decode() if isinstance(value, bytes) else value)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays
