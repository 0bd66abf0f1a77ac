"""NIR files of every version, read without trusting them.

``nir.read`` follows links out of the file and allocates whatever size is declared; this reader
looks at structure and sizes first (see the pre-scan), and says which node and field it refuses.
Written by NIR 0.1 (no version string) to 1.0.8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.file_kind import wrong_file
from neurodeploy.graph.finding_list import FindingList, node_at
from neurodeploy.graph.limits import ReadLimits, check_arrays
from neurodeploy.graph.raw import BROKEN, MAX_NAME, RawGraph, RawNode, RawScope, inner_name
from neurodeploy.graph.stored_arrays import MAX_TEXT_BYTES, read_numbers, read_text
from neurodeploy.hdf5_scan import StoredArray, StoredGroup, scan_hdf5

#: The newest NIR whose nodes this reader knows.
NEWEST_VERSION = (1, 0, 8)
#: Group levels of a file beside those of nested graphs: metadata, names with slashes.
_SPARE_LEVELS = 32
#: Files up to this size are hashed when they are read.
_HASHED_BYTES = 2**22
#: Metadata that change what a graph means.
_MEANT_FOR_US = frozenset({"neurodeploy", "dlif_gain"})
#: What h5py and HDF5 raise for damaged files.
_DAMAGE = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """The file a graph came from; its bytes are read again when they are needed.

    ``stamp``: its size, time of change and number as the file system keeps them. ``sha256``: of a
    small file, which may change within one tick of that clock; hashing a large one would take
    longer than reading it.
    """

    path: str
    stamp: tuple[int, int, int]
    sha256: str | None

    def content(self) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        InputError
            If the file is gone or is no longer what was read.
        """
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.path}: was read before and cannot be read again: {error.strerror}"
            ) from error
        same = self.stamp == _stamp(Path(self.path))
        if self.sha256 is not None:
            same = hashlib.sha256(content).hexdigest() == self.sha256
        if not same:
            raise InputError(f"{self.path}: has changed since it was read; read the graph again")
        return content


def read_nir_file(
    path: str | Path, limits: ReadLimits, findings: FindingList
) -> tuple[RawGraph, FileOrigin]:
    """Return what a NIR file holds; problems of single nodes and fields go to ``findings``.

    Raises
    ------
    InputError
        If there is no such file.
    FileFormatError
        If it is not a NIR file, holds links, or declares more than ``limits``.
    """
    path = Path(path)
    try:
        found = "file" if path.is_file() else "folder" if path.is_dir() else ""
    except OSError as error:  # a name that no file can have
        raise InputError(
            f"{str(path)[:60]}: {error.strerror}; give the path of a NIR file"
        ) from error
    if found != "file":
        what = "is a folder" if found else "no such file"
        raise InputError(f"{path}: {what}; give the path of a NIR file")
    where = str(path)
    try:
        stamp, digest = _stamp(path), _sha256(path)
        with h5py.File(path, "r") as opened:
            tree = scan_hdf5(
                opened,
                where,
                limits.max_bytes,
                max_depth=2 * limits.max_depth + _SPARE_LEVELS,
                max_objects=limits.max_objects,
                max_members=limits.max_nodes,
                members_of="nodes",
                hints={
                    "max_bytes": limits.how_to_raise("max_bytes"),
                    "max_depth": limits.how_to_raise("max_depth"),
                    "max_objects": limits.how_to_raise("max_objects"),
                    "max_members": limits.how_to_raise("max_nodes"),
                },
            )
            check_arrays(tree, where, limits)
            return _Reader(opened, where, limits, findings).graph(tree), FileOrigin(
                str(path.absolute()), stamp, digest
            )
    except FileFormatError:
        raise
    except OSError as error:
        raise wrong_file(path, "a NIR file", "give the path of a NIR file") from error
    except _DAMAGE as error:
        text = str(error) or type(error).__name__
        raise FileFormatError(f"{path}: is not a readable NIR (HDF5) file: {text}") from error


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _sha256(path: Path) -> str | None:
    """Return the hash of a small file, None for a large one."""
    if path.stat().st_size > _HASHED_BYTES:
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Reader:
    """Reads the scopes of an opened file one after the other."""

    def __init__(
        self, file: h5py.File, where: str, limits: ReadLimits, findings: FindingList
    ) -> None:
        self.file, self.where = file, where
        self.limits, self.findings = limits, findings
        self.count = 0
        self.text_bytes = 0

    def graph(self, tree: StoredGroup) -> RawGraph:
        top = tree.members.get("node")
        if not isinstance(top, StoredGroup):
            old = " (NIR before 0.1 wrote another layout)" if "nodes" in tree.members else ""
            raise FileFormatError(f"{self.where}: has no group 'node'; it is not a NIR file{old}")
        kind = self.kind_of(top, "")
        if kind != "NIRGraph":
            raise FileFormatError(
                f"{self.where}: holds a single node of type {kind}, not a graph; wrap it in a "
                "NIRGraph with Input and Output"
            )
        scopes: dict[str, RawScope] = {}
        pending = [("", top, 0)]
        while pending:
            name, group, depth = pending.pop()
            if depth > self.limits.max_depth:
                raise FileFormatError(
                    f"{self.where}: graphs nest deeper than {self.limits.max_depth}; "
                    f"{self.limits.how_to_raise('max_depth')}"
                )
            inner: list[tuple[str, StoredGroup]] = []
            scopes[name] = self.scope(name, group, inner)
            pending += [(flat, nested, depth + 1) for flat, nested in reversed(inner)]
        return RawGraph(scopes, self.version(tree))

    def version(self, tree: StoredGroup) -> str | None:
        item = tree.members.get("version")
        if item is None:
            text = "has no version string; it is read as NIR 0.1, which wrote none"
            self.findings.info("file", text)
            return None
        version = self.text(item, "file", "version")
        match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
        if match is None:
            text = f"its version is {version!r}, which is no NIR version"
            self.findings.warning("file", text, "written by NIR itself?", version=version)
        elif tuple(int(part or 0) for part in match.groups()) > NEWEST_VERSION:
            newest = ".".join(str(part) for part in NEWEST_VERSION)
            text = (
                f"was written by NIR {version}; nodes newer than {newest} may mean something else"
            )
            self.findings.warning("file", text, version=version)
        return version

    def scope(
        self, name: str, group: StoredGroup, inner: list[tuple[str, StoredGroup]]
    ) -> RawScope:
        """Read one NIRGraph; its nested graphs are put into ``inner``."""
        where = node_at(name) if name else "graph"
        members: dict[str, RawNode | str] = {}
        nodes = group.members.get("nodes")
        if not isinstance(nodes, StoredGroup):
            self.findings.error(
                where, "has no group 'nodes'", "write the file again", raises=FileFormatError
            )
            nodes = StoredGroup("")
        for local, node in self.named_groups(nodes, where):
            self.count += 1
            if self.count > self.limits.max_nodes:
                raise FileFormatError(
                    f"{self.where}: more than {self.limits.max_nodes} nodes; "
                    f"{self.limits.how_to_raise('max_nodes')}"
                )
            flat = inner_name(name, local)
            kind = self.kind_of(node, flat)
            if kind == "NIRGraph":
                members[local] = flat
                inner.append((flat, node))
            elif kind is None:
                members[local] = RawNode(flat, "", {})
            else:
                members[local] = self.node(flat, kind, node)
        unknown = [
            key for key in group.members if key not in ("type", "nodes", "edges", "metadata")
        ]
        if unknown:
            self.findings.error(
                where,
                f"the graph has unknown fields {unknown}",
                "private values belong into metadata",
                raises=FileFormatError,
            )
        edges = self.edges(group, where)
        metadata = self.metadata(group, where)
        return RawScope(name, members, edges or (), metadata, edges is not None)

    def named_groups(self, nodes: StoredGroup, where: str) -> list[tuple[str, StoredGroup]]:
        """Return the nodes of a graph. A group without a type is the first half of "a/b"."""
        found: list[tuple[str, StoredGroup]] = []
        pending: list[tuple[str, StoredGroup | StoredArray]] = list(nodes.members.items())[::-1]
        while pending:
            name, item = pending.pop()
            inner = list(item.members.items()) if isinstance(item, StoredGroup) else []
            if len(name) > MAX_NAME or not name.isprintable():
                shown = name[:60]
                text = f"the name {shown!r} has {len(name)} characters or unprintable ones"
                self.findings.error(where, text, f"use at most {MAX_NAME} printable characters")
            elif not isinstance(item, StoredGroup):
                text = f"{name!r} among the nodes is a dataset, not a node"
                self.findings.error(where, text, raises=FileFormatError)
            elif "type" in item.members or not inner:
                found.append((name, item))
                if "/" in name:
                    text = (
                        "its name holds a slash, which HDF5 stores as nesting; nir.read fails on it"
                    )
                    self.findings.warning(node_at(name), text, "use a dot in its place")
            elif all(isinstance(member, StoredGroup) for _, member in inner):
                pending += [(f"{name}/{key}", member) for key, member in reversed(inner)]
            else:
                found.append((name, item))
        return found

    def kind_of(self, group: StoredGroup, name: str) -> str | None:
        where = node_at(name) if name else "graph"
        item = group.members.get("type")
        if item is None:
            self.findings.error(where, "has no type", raises=FileFormatError)
            return None
        kind = self.text(item, where, "type")
        if kind is None:
            self.findings.error(where, "its type is not a string", raises=FileFormatError)
        elif not kind:
            self.findings.error(where, "its type is empty", raises=FileFormatError)
        # An empty word would be taken for a node that has been refused already.
        return kind or None

    def node(self, name: str, kind: str, group: StoredGroup) -> RawNode:
        where = node_at(name)
        values = {
            key: self.value(item, where, key)
            for key, item in group.members.items()
            if key not in ("type", "metadata")
        }
        return RawNode(name, kind, values, self.metadata(group, where))

    def value(self, item: StoredGroup | StoredArray, where: str, key: str) -> Any:
        """Return a field as array or string; ``BROKEN``, with a finding, if it is neither."""
        if not isinstance(item, StoredArray):
            self.findings.error(where, f"{key}: is a group, not an array", raises=FileFormatError)
            return BROKEN
        if item.kind == "text":
            return self.read_text(item, where, key)
        try:
            if item.kind in ("number", "bool"):
                return read_numbers(self.file, item)
            what = f"has the HDF5 type {item.type_name}; numbers are needed"
        except FileFormatError as error:
            what = str(error)
        except _DAMAGE as error:
            what = f"cannot be read, the file is damaged: {error}"
        self.findings.error(where, f"{key}: {what}", raises=FileFormatError)
        return BROKEN

    def read_text(self, item: StoredArray, where: str, key: str) -> Any:
        """Return text as a string or an array of them; ``BROKEN``, with a finding, if damaged.

        A heap may give one long string to many arrays, so all text counts together.
        """
        try:
            text = read_text(self.file, item)
        except FileFormatError as error:
            what = str(error)
        except _DAMAGE as error:
            what = f"cannot be read, the file is damaged: {error}"
        else:
            values = [text] if isinstance(text, str) else text.flat
            self.text_bytes += sum(len(value) for value in values)
            if self.text_bytes > MAX_TEXT_BYTES:
                raise FileFormatError(
                    f"{self.where}: its strings have more than {MAX_TEXT_BYTES} bytes together "
                    f"(at {item.path})"
                )
            return text
        self.findings.error(where, f"{key}: {what}", raises=FileFormatError)
        return BROKEN

    def text(self, item: StoredGroup | StoredArray, where: str, key: str) -> str | None:
        """Return a single string; None, with a finding where it is damaged, for anything else."""
        if not isinstance(item, StoredArray) or item.kind != "text" or item.shape != ():
            return None
        text = self.read_text(item, where, key)
        return None if text is BROKEN else str(text)

    def edges(self, group: StoredGroup, where: str) -> tuple[tuple[str, str], ...] | None:
        """Return the edges by local names; None, with a finding, if they cannot be read."""
        item = group.members.get("edges")
        if isinstance(item, StoredArray) and item.shape is not None and 0 in item.shape:
            return ()
        good = isinstance(item, StoredArray) and item.kind == "text" and len(item.shape or ()) == 2
        if not isinstance(item, StoredArray) or not good or (item.shape or ())[1] != 2:
            self.findings.error(
                where, "edges must be an N x 2 array of node names", raises=FileFormatError
            )
            return None
        count = (item.shape or (0,))[0]
        if count > self.limits.max_edges:
            raise FileFormatError(
                f"{self.where}: {count} edges, more than the limit of {self.limits.max_edges} "
                f"(64 per node); {self.limits.how_to_raise('max_nodes')}"
            )
        rows = self.value(item, where, "edges")
        return None if rows is BROKEN else tuple((str(a), str(b)) for a, b in rows)

    def metadata(self, group: StoredGroup, where: str) -> Mapping[str, Any]:
        item = group.members.get("metadata")
        if item is None:
            return {}
        if not isinstance(item, StoredGroup):
            self.findings.error(where, "metadata is not a group", raises=FileFormatError)
            return {}
        return self.tree(item, where)

    def tree(self, group: StoredGroup, where: str) -> dict[str, Any]:
        """Read nested metadata without recursion; what cannot be read is left out and said."""
        top: dict[str, Any] = {}
        pending = [(group, top)]
        while pending:
            here, into = pending.pop()
            for key, item in here.members.items():
                if isinstance(item, StoredGroup):
                    into[key] = {}
                    pending.append((item, into[key]))
                    continue
                value = self.metadata_value(item, where)
                if value is not BROKEN:
                    into[key] = value
        return top

    def metadata_value(self, item: StoredArray, where: str) -> Any:
        key = item.path.rpartition("/metadata/")[2]
        if item.kind == "other" or item.shape is None:
            text = f"metadata {key!r} has the HDF5 type {item.type_name}"
            if key.partition("/")[0] in _MEANT_FOR_US:
                # Words that say how to run the graph: a default in their place would be a guess.
                remedy = "write it as a number, a text or an array of numbers"
                self.findings.error(where, f"{text}, which says nothing", remedy)
            else:
                self.findings.warning(where, f"{text} and is left out")
            return BROKEN
        value = self.value(item, where, f"metadata {key!r}")
        if value is BROKEN or isinstance(value, str):
            return value
        return value.item() if value.ndim == 0 else value
