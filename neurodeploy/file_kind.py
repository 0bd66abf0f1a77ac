"""Which of our kinds of file a path holds: for the messages about one given in another's place."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import h5py

from neurodeploy.errors import FileFormatError

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK"


def wrong_file(path: str | Path, wanted: str, remedy: str) -> FileFormatError:
    """Return the error about a file that is not what was asked for.

    Parameters
    ----------
    path : path
        A file of another kind, a damaged one, a folder, or nothing at all.
    wanted : str
        The kind that was asked for, e.g. "a traces file".
    remedy : str
        How to get one.
    """
    found = kind_of(path)
    if found == "no such file":
        return FileFormatError(f"{path}: no such file; {remedy}")
    if found == wanted:
        how = "but is damaged or has the ending of another format"
        return FileFormatError(f"{path}: looks like {wanted}, {how}; {remedy}")
    return FileFormatError(f"{path}: is not {wanted} but {found}; {remedy}")


def is_zip(path: Path) -> bool:
    """Whether a file begins as .npz does."""
    with path.open("rb") as file:
        return file.read(2) == _ZIP_MAGIC


def kind_of(path: str | Path) -> str:
    """Return what a path holds, in words: "a traces file", "a folder", "no such file"."""
    path = Path(path)
    try:
        if path.is_dir():
            return "a folder"
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return "no such file" if not path.exists() else "a file that cannot be opened"
    if not start:
        return "an empty file"
    if start == _HDF5_MAGIC:
        return _hdf5_kind(path)
    if start[:2] == _ZIP_MAGIC:
        return _npz_kind(path)
    return "a file of another format (no HDF5, no .npz)"


def _hdf5_kind(path: Path) -> str:
    try:
        # Names alone are looked at: nothing is read, no link is followed.
        with h5py.File(path, "r") as file:
            names = list(file.keys())
            if "kind" in file.attrs:
                return "a NET.h5 of neurodeploy"
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeError):
        return "a damaged HDF5 file"
    if "node" in names:
        return "a NIR file"
    if "layer" in names:
        return "a NetX file"
    return _arrays_kind(names, "an HDF5 file")


def _npz_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError):
        return "a damaged .npz file"
    return _arrays_kind(names, "an .npz file")


def _arrays_kind(names: Iterable[str], container: str) -> str:
    known = set(names)
    if {"meta", "output"} <= known:
        return "a traces file"
    # A group in HDF5, a name with a slash in .npz.
    if known & {"images", "x", "events", "events/t"}:
        return "a data file"
    listed = ", ".join(sorted(known)[:8]) or "nothing"
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"{container} with {listed}{more}"
