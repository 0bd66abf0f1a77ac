"""Reading HDF5 datasets whose declared sizes were checked, without trusting what is packed inside.

HDF5's own gzip filter inflates a chunk to whatever its stream holds, far beyond the declared chunk.
Here a chunk is inflated up to its declared size and no further.
"""

from __future__ import annotations

import itertools
import math
import zlib
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5s, h5t, h5z
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError
from neurodeploy.hdf5_scan import StoredArray

#: Largest number of chunks of one gzip dataset; h5py's own choice stays far below.
MAX_CHUNKS = 2**17
#: Largest sum of string lengths of one dataset, in bytes.
MAX_TEXT_BYTES = 2**26
#: Bytes of a Fletcher-32 checksum behind a chunk.
_CHECKSUM = 4
#: Filters that can be undone here.
_BESIDE_GZIP = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32)

Array = NDArray[Any]


def read_numbers(file: h5py.File, item: StoredArray) -> Array:
    """Return a dataset of kind ``number`` or ``bool`` in native byte order.

    Raises
    ------
    FileFormatError
        If a chunk does not hold exactly what it declares.
    """
    if item.shape is None or item.dtype is None:
        raise FileFormatError("is a dataset without values")
    dataset = h5d.open(file.id, item.path.encode())
    if h5z.FILTER_DEFLATE in item.filters:
        if _is_plain(dataset, item):
            return _inflated(dataset, item)
        for offset in _offsets(item):
            _chunk_bytes(dataset, item, offset, dataset.get_type().get_size())
    if item.kind == "bool":
        # numpy's bool is an HDF5 enumeration, which h5py's Dataset translates.
        return np.asarray(h5py.Dataset(dataset)[()])
    values = np.empty(item.shape, item.dtype.newbyteorder("="))
    if values.size:
        dataset.read(h5s.ALL, h5s.ALL, values)
    return values


def _is_plain(dataset: h5d.DatasetID, item: StoredArray) -> bool:
    """Whether the bytes in the file are numpy's; else HDF5 converts them (bfloat16, 12 bits)."""
    if item.kind == "bool" or item.dtype is None:
        return True
    return bool(h5t.py_create(item.dtype) == dataset.get_type())


def read_text(file: h5py.File, item: StoredArray) -> Any:
    """Return a string, or an object array of strings, of a dataset of kind ``text``.

    Raises
    ------
    FileFormatError
        If the strings are no UTF-8, or longer than ``MAX_TEXT_BYTES`` together.
    """
    if item.shape is None or item.dtype is None:
        raise FileFormatError("is a dataset without values")
    handle = h5d.open(file.id, item.path.encode())
    if h5z.FILTER_DEFLATE in item.filters:
        for offset in _offsets(item):
            _chunk_bytes(handle, item, offset, _entry_bytes(file, handle, item))
    dataset = h5py.Dataset(handle)
    if item.shape == ():
        return _decoded(dataset[()])
    rows = item.shape[0]
    block = _rows_at_once(file, handle, item)
    parts: list[Array] = []
    total = 0
    for start in range(0, rows, block):
        part = np.asarray(dataset[start : start + block], dtype=object)
        total += sum(len(value) for value in part.flat)
        if total > MAX_TEXT_BYTES:
            raise FileFormatError(f"holds strings of more than {MAX_TEXT_BYTES} bytes together")
        parts.append(part)
    values = np.concatenate(parts) if parts else np.empty(item.shape, dtype=object)
    flat = [_decoded(value) for value in values.flat]
    result = np.empty(len(flat), dtype=object)
    result[:] = flat
    return result.reshape(item.shape)


def _rows_at_once(file: h5py.File, dataset: h5d.DatasetID, item: StoredArray) -> int:
    """Return how many rows of a text dataset can be read without more than MAX_TEXT_BYTES.

    Strings of variable length lie in a heap, where many entries may share one long string.
    """
    shape = item.shape or (1,)
    rows, per_row = shape[0], max(1, math.prod(shape[1:]))
    if item.dtype is None or item.dtype.kind != "O" or rows == 0:
        return max(1, rows)
    offset = dataset.get_offset()
    if offset is not None and 0 not in shape:
        # An entry begins with its length: four bytes, little-endian.
        with open(file.filename, "rb") as plain:
            plain.seek(offset)
            entries = np.frombuffer(plain.read(dataset.get_storage_size()), np.uint8)
        lengths = entries.reshape(rows * per_row, -1)[:, :4].copy().view("<u4")
        total = int(lengths.sum(dtype=np.int64))
        if total > MAX_TEXT_BYTES:
            raise FileFormatError(f"holds strings of {total} bytes; the limit is {MAX_TEXT_BYTES}")
        return rows
    file_bytes = max(1, int(file.id.get_filesize()))
    return max(1, MAX_TEXT_BYTES // (file_bytes * per_row))


def _decoded(value: Any) -> str:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise FileFormatError("holds text that is not UTF-8") from None


def _inflated(dataset: h5d.DatasetID, item: StoredArray) -> Array:
    """Read a gzip dataset chunk by chunk, each inflated to its declared size at most."""
    shape, chunks = item.shape or (), item.chunks or ()
    # numpy's bool is an enumeration of one byte in the file.
    stored = np.dtype("i1" if item.kind == "bool" or item.dtype is None else item.dtype)
    values = np.empty(shape, stored.newbyteorder("="))
    for offset in _offsets(item):
        data = _chunk_bytes(dataset, item, offset, stored.itemsize)
        chunk = np.frombuffer(data, stored).reshape(chunks)
        inside = tuple(
            slice(start, min(start + extent, end))
            for start, extent, end in zip(offset, chunks, shape, strict=True)
        )
        values[inside] = chunk[tuple(slice(s.stop - s.start) for s in inside)]
    return values.astype(np.bool_) if item.kind == "bool" else values


def _offsets(item: StoredArray) -> Any:
    """Return an iterator over the first index of every chunk of a dataset with values."""
    shape, chunks = item.shape or (), item.chunks or ()
    steps = [range(0, end, extent) for end, extent in zip(shape, chunks, strict=True)]
    count = 1
    for step in steps:
        count *= len(step)
    if count > MAX_CHUNKS:
        raise FileFormatError(
            f"is cut into {count} chunks of shape {chunks}; the limit is {MAX_CHUNKS}"
        )
    return itertools.product(*steps)


def _entry_bytes(file: h5py.File, dataset: h5d.DatasetID, item: StoredArray) -> int:
    """Return how many bytes of a chunk one string takes."""
    if item.dtype is None or item.dtype.kind != "O":
        return int(dataset.get_type().get_size())
    # Of variable length: its length, the address of its heap, and its number there.
    return 4 + int(file.id.get_create_plist().get_sizes()[0]) + 4


def _chunk_bytes(
    dataset: h5d.DatasetID, item: StoredArray, offset: tuple[int, ...], width: int
) -> bytes:
    """Return the plain bytes of one chunk; refuse one that has more or fewer than declared."""
    strange = [code for code in item.filters if code not in _BESIDE_GZIP]
    if strange:
        raise FileFormatError(f"is packed with gzip and HDF5 filter {strange[0]} at once")
    wanted = math.prod(item.chunks or ()) * width
    skipped, data = dataset.read_direct_chunk(offset)
    for index in reversed(range(len(item.filters))):
        if skipped & (1 << index):
            continue
        code = item.filters[index]
        if code == h5z.FILTER_FLETCHER32:
            # zlib's own checksum guards the content.
            data = data[:-_CHECKSUM]
        elif code == h5z.FILTER_DEFLATE:
            data = _inflate(data, wanted)
        else:
            data = np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()
    if len(data) != wanted:
        raise FileFormatError(f"has a chunk of {len(data)} bytes where {wanted} are declared")
    return bytes(data)


def _inflate(data: bytes, wanted: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, wanted + 1)
    except zlib.error as error:
        raise FileFormatError(f"has a damaged gzip chunk: {error}") from None
    if len(plain) != wanted or not stream.eof:
        size = f"more than {wanted}" if len(plain) > wanted else str(len(plain))
        raise FileFormatError(f"has a gzip chunk of {size} bytes where {wanted} are declared")
    return plain
