"""A look at an HDF5 file that someone else made, before any of its data is read.

h5py follows links and external storage out of the file, and allocates whatever size is declared.
The walk uses h5py's low-level interface: a graph of some thousand nodes has tens of thousands of
objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5s, h5t, h5z

from neurodeploy.errors import FileFormatError

MAX_DEPTH = 12
MAX_OBJECTS = 100_000

Kind: TypeAlias = Literal["number", "bool", "text", "other"]

_LINK_NAMES = {h5l.TYPE_SOFT: "SoftLink", h5l.TYPE_EXTERNAL: "ExternalLink"}
_TYPE_NAMES = {
    h5t.INTEGER: "integer",
    h5t.FLOAT: "float",
    h5t.STRING: "string",
    h5t.COMPOUND: "compound",
    h5t.REFERENCE: "reference",
    h5t.ENUM: "enum",
    h5t.VLEN: "variable-length array",
    h5t.ARRAY: "array",
    h5t.OPAQUE: "opaque",
    h5t.BITFIELD: "bit field",
    h5t.TIME: "time",
}
#: Filters that come with HDF5 or h5py. Others are loaded from wherever a plugin path points.
_FILTERS = {
    h5z.FILTER_DEFLATE,
    h5z.FILTER_SHUFFLE,
    h5z.FILTER_FLETCHER32,
    h5z.FILTER_SZIP,
    h5z.FILTER_NBIT,
    h5z.FILTER_SCALEOFFSET,
    h5z.FILTER_LZF,
}


@dataclass(frozen=True, slots=True)
class StoredArray:
    """What a dataset declares.

    Parameters
    ----------
    path : str
        Where it lies in the file.
    shape : tuple of int, optional
        None for a dataset without a dataspace.
    dtype : numpy.dtype, optional
        None where numpy has no such type.
    kind : {"number", "bool", "text", "other"}
        ``number`` is an integer or real type; complex, compound and reference types are ``other``.
    type_name : str
        The HDF5 type for messages.
    n_bytes : int
        Memory that reading it takes, whole chunks included.
    chunks : tuple of int, optional
        Extents of a chunk; None for contiguous data.
    filters : tuple of int
        HDF5 filter codes in the order of writing.
    n_stored : int
        Bytes that its values take in the file. With 0 no value was ever stored, and reading would
        give fill values. Text of variable length lies elsewhere and is not counted.
    """

    path: str
    shape: tuple[int, ...] | None
    dtype: np.dtype[np.generic] | None
    kind: Kind
    type_name: str
    n_bytes: int
    chunks: tuple[int, ...] | None
    filters: tuple[int, ...]
    n_stored: int

    @property
    def is_written(self) -> bool:
        """Whether any value was ever stored."""
        return self.n_stored > 0

    @property
    def n_chunks(self) -> int:
        """Number of chunks that reading all values visits; 1 for contiguous data."""
        if self.shape is None or self.chunks is None:
            return 1
        pairs = zip(self.shape, self.chunks, strict=True)
        return _product(tuple(-(-extent // chunk) for extent, chunk in pairs))


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group and its members by name."""

    path: str
    members: dict[str, StoredGroup | StoredArray] = field(default_factory=dict)


def scan_hdf5(
    file: h5py.File,
    where: str,
    max_bytes: int,
    *,
    max_depth: int = MAX_DEPTH,
    max_objects: int = MAX_OBJECTS,
    max_members: int | None = None,
    members_of: str = "",
    hints: Mapping[str, str] | None = None,
) -> StoredGroup:
    """Walk the links, not the data: refuse what points elsewhere or declares too much.

    Parameters
    ----------
    file : h5py.File
        Opened for reading.
    where : str
        File name for messages.
    max_bytes : int
        Largest sum of declared array sizes. Data of one dataset that two names share count twice.
    max_depth : int
        Deepest nesting of groups.
    max_objects : int
        Largest number of groups and datasets.
    max_members : int, optional
        Largest number of members that all groups called ``members_of`` have together.
    members_of : str
        Name of the groups whose members are counted.
    hints : mapping, optional
        Per bound, by its parameter's name, what the caller can do about it.

    Returns
    -------
    StoredGroup
        The tree of what is declared.

    Raises
    ------
    FileFormatError
        For links, groups that two names share (a cycle is one), data kept outside the file,
        filters that h5py does not bring, deep nesting, or too many objects or bytes.
    """
    limit = _Limits(where, hints or {})
    top = StoredGroup("")
    # Level by level, so that members are counted before they are opened.
    queue = deque([(h5g.open(file.id, b"/"), top, 0)])
    seen = {_identity(queue[0][0])}
    total, count, members = 0, 0, 0
    while queue:
        group, known, depth = queue.popleft()
        if depth > max_depth:
            limit.exceeded("max_depth", f"groups nest deeper than {max_depth}", known.path)
        names = _hard_links(group, known.path, where, max_objects)
        count += len(names)
        if count > max_objects:
            limit.exceeded("max_objects", f"more than {max_objects} objects", known.path)
        if max_members is not None and known.path.rpartition("/")[2] == members_of:
            members += len(names)
            if members > max_members:
                text = f"more than {max_members} members of {members_of!r}"
                limit.exceeded("max_members", text, known.path)
        for name in names:
            path = f"{known.path}/{name}"
            item = h5o.open(group, name.encode())
            if isinstance(item, h5g.GroupID):
                identity = _identity(item)
                if identity in seen:
                    raise FileFormatError(
                        f"{where}: {path[:200]} is a second name of another group; "
                        "such links are refused"
                    )
                seen.add(identity)
                member = StoredGroup(path)
                known.members[name] = member
                queue.append((item, member, depth + 1))
            elif isinstance(item, h5d.DatasetID):
                array = _declared(item, path, where)
                known.members[name] = array
                total += array.n_bytes
                if total > max_bytes:
                    text = f"the declared size of {total} bytes is above the limit of {max_bytes}"
                    limit.exceeded("max_bytes", text, path)
            else:
                raise FileFormatError(f"{where}: {path} is neither a group nor a dataset")
    return top


@dataclass(frozen=True, slots=True)
class _Limits:
    """How a bound that is exceeded is said."""

    where: str
    hints: Mapping[str, str]

    def exceeded(self, name: str, what: str, path: str) -> NoReturn:
        hint = f"; {self.hints[name]}" if name in self.hints else ""
        raise FileFormatError(f"{self.where}: {what} (at {path[:200] or '/'}){hint}")


def stored_arrays(group: StoredGroup) -> Iterator[StoredArray]:
    """Yield every dataset at and below ``group``."""
    stack: list[StoredGroup | StoredArray] = [group]
    while stack:
        item = stack.pop()
        if isinstance(item, StoredArray):
            yield item
        else:
            stack.extend(item.members.values())


def _identity(group: h5g.GroupID) -> tuple[int, int]:
    info = h5o.get_info(group)
    return (int(info.fileno), int(info.addr))


def _hard_links(group: h5g.GroupID, path: str, where: str, limit: int) -> list[str]:
    """Return the members' names; every one is a hard link."""
    links: list[tuple[bytes, int]] = []

    def note(name: bytes, info: h5l.LinkInfo) -> bool | None:
        # h5py gives the same info object at every call.
        links.append((name, info.type))
        return True if len(links) > limit else None

    group.links.iterate(note, info=True)
    if len(links) > limit:
        raise FileFormatError(f"{where}: {path or '/'} has more than {limit} members")
    names = []
    for name, kind in links:
        text = name.decode("utf-8", "backslashreplace")
        if kind != h5l.TYPE_HARD:
            word = _LINK_NAMES.get(kind, "user-defined link")
            raise FileFormatError(f"{where}: {path}/{text} is a {word}; links are refused")
        if text.encode() != name:
            raise FileFormatError(f"{where}: the name {path}/{text} is not UTF-8")
        names.append(text)
    return names


def _declared(item: h5d.DatasetID, path: str, where: str) -> StoredArray:
    plist = item.get_create_plist()
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL or plist.get_external_count() > 0:
        raise FileFormatError(f"{where}: {path} keeps its data outside the file")
    filters = tuple(int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters()))
    strange = [code for code in filters if code not in _FILTERS or not h5z.filter_avail(code)]
    if strange:
        raise FileFormatError(
            f"{where}: {path} is packed with HDF5 filter {strange[0]}, which h5py does not bring; "
            "write the file again with gzip"
        )
    space = item.get_space()
    shape: tuple[int, ...] | None = None
    if space.get_simple_extent_type() != h5s.NULL:
        shape = tuple(int(extent) for extent in space.get_simple_extent_dims())
    file_type = item.get_type()
    type_class = file_type.get_class()
    try:
        dtype: np.dtype[np.generic] | None = item.dtype
    except (TypeError, ValueError, NotImplementedError):
        dtype = None
    chunks = tuple(int(n) for n in plist.get_chunk()) if layout == h5d.CHUNKED else None
    width = max(int(file_type.get_size()), dtype.itemsize if dtype is not None else 1, 1)
    n_bytes = _product(shape or ()) * width
    if chunks is not None and _product(shape or ()) > 0:
        n_bytes = max(n_bytes, _product(chunks) * width)
    return StoredArray(
        path=path,
        shape=shape,
        dtype=dtype,
        kind=_kind(type_class, dtype),
        type_name=_TYPE_NAMES.get(type_class, "unknown"),
        n_bytes=n_bytes,
        chunks=chunks,
        filters=filters,
        n_stored=int(item.get_storage_size()),
    )


def _kind(type_class: int, dtype: np.dtype[np.generic] | None) -> Kind:
    if dtype is None:
        return "other"
    if type_class in (h5t.INTEGER, h5t.FLOAT) and dtype.kind in "iuf":
        return "number"
    if type_class == h5t.STRING:
        return "text"
    return "bool" if type_class == h5t.ENUM and dtype.kind == "b" else "other"


def _product(extents: tuple[int, ...]) -> int:
    size = 1
    for extent in extents:
        size *= extent
    return size
