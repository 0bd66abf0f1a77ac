"""Reading named arrays from .npz and .h5 files that came from somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError
from neurodeploy.file_kind import is_zip, kind_of, wrong_file
from neurodeploy.hdf5_scan import scan_hdf5

#: Largest sum of declared array sizes that is read, in bytes.
MAX_BYTES = 2**33
_SUFFIXES = (".npz", ".h5", ".hdf5")
#: Kinds of file that hold arrays of other names, whatever they are called.
_NO_ARRAYS = ("a NET.h5 of neurodeploy", "a NIR file", "a NetX file")
_REMEDIES = {
    "data": (
        "data are .npz or .h5 with images [B, ...] (held) or x [T, B, ...] (one input per step), "
        "in input units, or events, and y [B] labels"
    ),
    "traces": "traces are .npz or .h5; neurodeploy run writes them",
}


def read_arrays(path: Path, what: Literal["data", "traces"]) -> dict[str, NDArray[Any]]:
    """Return every array of a .npz or .h5 file by name; no pickled arrays.

    Text datasets become zero-dimensional string arrays. ``what`` is the kind of file, for messages.

    Raises
    ------
    FileFormatError
        If the file is absent, damaged, of another format, holds pickled objects, or declares more
        than ``MAX_BYTES``.
    """
    if path.suffix not in _SUFFIXES or not path.is_file() or kind_of(path) in _NO_ARRAYS:
        raise wrong_file(path, f"a {what} file", _REMEDIES[what])
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
    except (OSError, EOFError, BadZipFile) as error:
        raise wrong_file(path, f"a {what} file", _REMEDIES[what]) from error
    except (ValueError, KeyError, RuntimeError) as error:
        if not is_zip(path) and path.suffix == ".npz":
            # numpy takes what it does not know for pickled objects, and says how to load them.
            raise wrong_file(path, f"a {what} file", _REMEDIES[what]) from error
        raise FileFormatError(f"{path}: cannot be read as {what}: {error}") from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    # Opened here: numpy leaves a file open that turns out to be damaged.
    with path.open("rb") as raw:
        archive = np.load(raw, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise FileFormatError(f"{path}: is one unnamed array (.npy); write it with numpy.savez")
        with archive as file:
            declared = sum(entry.file_size for entry in file.zip.infolist())
            if declared > MAX_BYTES:
                raise FileFormatError(
                    f"{path}: declares {declared} bytes, more than the limit of {MAX_BYTES}"
                )
            return {key: file[key] for key in file.files}


def _read_h5(path: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            arrays[name] = np.array(value.decode() if isinstance(value, bytes) else value)

    with h5py.File(path, "r") as file:
        scan_hdf5(file, str(path), MAX_BYTES)
        file.visititems(visit)
    return arrays
