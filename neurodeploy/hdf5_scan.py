"""A look at an HDF5 file that someone else made, before any of its data is read.

h5py follows links and external storage out of the file, and allocates whatever size is declared.
"""

from __future__ import annotations

import h5py

from neurodeploy.errors import FileFormatError

MAX_DEPTH = 12
MAX_OBJECTS = 100_000


def scan_hdf5(file: h5py.File, where: str, max_bytes: int) -> None:
    """Walk the links, not the data: refuse what points elsewhere or declares too much.

    Parameters
    ----------
    file : h5py.File
        Opened for reading.
    where : str
        File name for messages.
    max_bytes : int
        Largest sum of declared array sizes.

    Raises
    ------
    FileFormatError
        For links, data kept outside the file, deep nesting, or too many objects or bytes.
    """
    total, seen = 0, 0
    stack: list[tuple[h5py.Group, int]] = [(file, 0)]
    while stack:
        group, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise FileFormatError(f"{where}: groups nest deeper than {MAX_DEPTH} at {group.name}")
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind, place = type(link).__name__, f"{group.name.rstrip('/')}/{name}"
                raise FileFormatError(f"{where}: {place} is a {kind}; links are refused")
            seen += 1
            if seen > MAX_OBJECTS:
                raise FileFormatError(f"{where}: more than {MAX_OBJECTS} objects")
            item = group[name]
            if isinstance(item, h5py.Group):
                stack.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise FileFormatError(f"{where}: {item.name} keeps its data outside the file")
                total += _declared_bytes(item)
                if total > max_bytes:
                    raise FileFormatError(
                        f"{where}: {item.name} brings the declared size to {total} bytes, "
                        f"more than the limit of {max_bytes}"
                    )


def _declared_bytes(item: h5py.Dataset) -> int:
    size = 1
    for extent in item.shape or ():
        size *= int(extent)
    return size * max(int(item.dtype.itemsize), 1)
