"""Output files that are either whole or absent, and hashes of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError


@contextmanager
def made_folder(folder: str | Path) -> Iterator[Path]:
    """Make ``folder`` and its parents; an exception takes away those made here, if still empty.

    Raises
    ------
    InputError
        If something else has that name, or it cannot be made.
    """
    folder = Path(folder)
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: what is there has been asked for
            for path in absent:
                path.rmdir()
        raise


@contextmanager
def filled_folder(folder: str | Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder``; its files move there when the block ends well.

    An exception leaves neither files nor folders behind, and whatever ``folder`` held before.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: cannot be made: it is a file; give the name of a folder")
    parent = target.absolute().parent
    with made_folder(parent):
        try:
            # The name inside is the one that the files may mention.
            temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{target.name}."))
        except OSError as error:
            raise InputError(f"{target}: cannot be made: {error.strerror}") from error
        try:
            inside = temporary / target.absolute().name
            inside.mkdir()
            yield inside
            target.mkdir(exist_ok=True)
            for path in sorted(inside.iterdir()):
                os.replace(path, target / path.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    An exception (a full disk, an interrupt) removes the temporary file and leaves whatever
    ``path`` held before.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file to write")
    with made_folder(target.parent):
        try:
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=f".{target.name}.", suffix=f".part{target.suffix}"
            )
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror}") from error
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes files private to the user; outputs follow the user's umask instead.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, document: Any) -> None:
    """Write ``document`` as indented JSON, whole or not at all. NaN is refused."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def content_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hash named arrays: SHA-256 over sorted names, dtypes, shapes and little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name}\0{little.dtype.str}\0{little.shape}\0".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def file_hash(path: str | Path) -> str:
    """Hash the bytes of a file (SHA-256, hexadecimal)."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def sample_hashes(samples: NDArray[Any]) -> tuple[str, ...]:
    """Hash each sample (first axis) by shape and value, so that overlaps can be found.

    Values are hashed as float64, so the same image stored as uint8 or float64 has one hash.
    """
    hashes = []
    for sample in np.asarray(samples):
        whole = np.asarray(sample, dtype=np.float64)
        data = np.ascontiguousarray(whole).astype("<f8").tobytes()
        hashes.append(hashlib.sha256(f"{whole.shape}\0".encode() + data).hexdigest()[:32])
    return tuple(hashes)
