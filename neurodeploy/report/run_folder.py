"""Read the folder of one run: summary.json, results.json and figures.npz, and nothing else.

The schema number is strict. Parts that a run did not produce are not an error: the page says that
they are missing. A value of the wrong type is an error that names file and key.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError

SCHEMA = 1
SUMMARY, RESULTS, FIGURES = "summary.json", "results.json", "figures.npz"
_AGAIN = "write the folder again with `neurodeploy deploy` or `neurodeploy demo`"


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object with typed access. ``where`` names file and key in error messages.

    An absent key and ``null`` are the same: "not recorded".
    """

    where: str
    data: Mapping[str, Any]

    def __bool__(self) -> bool:
        """Whether anything is recorded."""
        return bool(self.data)

    def get(self, key: str) -> Any:
        """Return the JSON value as it is, or None."""
        return self.data.get(key)

    def number(self, key: str) -> float | None:
        """Return a finite number, or None."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, value, "a number")
        return value if math.isfinite(value) else None

    def text(self, key: str, default: str = "") -> str:
        """Return a string, or ``default``."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def flag(self, key: str) -> bool | None:
        """Return a boolean, or None."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return a pair of finite numbers, or None."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self._wrong(key, value, "a list of two numbers")
        ends = Record(f"{self.where}: {key}", {"low": value[0], "high": value[1]})
        low, high = ends.number("low"), ends.number("high")
        return None if low is None or high is None else (low, high)

    def items(self, key: str) -> tuple[Any, ...]:
        """Return a list's entries as they are; none if absent."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return tuple(value)

    def record(self, key: str) -> Record:
        """Return a nested object; an empty one if absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self._wrong(key, value, "an object")
        return Record(f"{self.where}: {key}", value or {})

    def records(self, key: str) -> tuple[Record, ...]:
        """Return a list of objects; none if absent."""
        entries = self.items(key)
        for entry in entries:
            if not isinstance(entry, Mapping):
                raise self._wrong(key, entry, "a list of objects")
        return tuple(Record(f"{self.where}: {key}[{i}]", e) for i, e in enumerate(entries))

    def _wrong(self, key: str, value: Any, expected: str) -> FileFormatError:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        return FileFormatError(f"{self.where}: {key} is {shown}, not {expected}; {_AGAIN}")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model of a run: its part of summary.json, of results.json and of figures.npz.

    ``figures`` maps what follows ``"<NAME>/"`` in the archive to arrays; None if there is no
    archive.
    """

    name: str
    summary: Record
    results: Record
    figures: Mapping[str, NDArray[Any]] | None

    def record(self, key: str) -> Record:
        """Return a part from results.json or, where that has none, from summary.json."""
        return self.results.record(key) or self.summary.record(key)

    def records(self, key: str) -> tuple[Record, ...]:
        """Return a list from results.json or, where that has none, from summary.json."""
        return self.results.records(key) or self.summary.records(key)

    def text(self, key: str) -> str:
        """Return a string from results.json or, where that has none, from summary.json."""
        return self.results.text(key) or self.summary.text(key)


@dataclass(frozen=True, slots=True, eq=False)
class RunFolder:
    """What one folder holds. ``hashes`` are SHA-256 of the files that were read."""

    name: str
    summary: Record
    results: Record
    models: tuple[Model, ...]
    hashes: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    @property
    def title(self) -> str:
        """The run's own title, or its folder's name."""
        return self.results.text("title") or self.name

    def text(self, key: str) -> str:
        """Return a string from results.json or, where that has none, from summary.json."""
        return self.results.text(key) or self.summary.text(key)

    def get(self, key: str) -> Any:
        """Return a JSON value from results.json or, where that has none, from summary.json."""
        value = self.results.get(key)
        return self.summary.get(key) if value is None else value


def read_run(directory: str | Path) -> RunFolder:
    """Read the folder of one run.

    Parameters
    ----------
    directory : path
        Folder with ``summary.json`` and, unless the run was cut short, ``results.json`` and
        ``figures.npz``.

    Raises
    ------
    InputError
        If the folder or its ``summary.json`` does not exist.
    FileFormatError
        If a file is damaged, of another schema, or holds a value of the wrong type.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give a folder that a run has written")
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{folder}: holds no {SUMMARY}; {_AGAIN}")
    summary = _read_json(folder / SUMMARY)
    results = _read_json(folder / RESULTS) if (folder / RESULTS).is_file() else Record(RESULTS, {})
    figures = _read_arrays(folder / FIGURES) if (folder / FIGURES).is_file() else None
    present = [name for name in (SUMMARY, RESULTS, FIGURES) if (folder / name).is_file()]
    return RunFolder(
        name=folder.resolve().name,
        summary=summary,
        results=results,
        models=_models(summary, results, figures),
        hashes=tuple((name, _sha256(folder / name)) for name in present),
        missing=tuple(name for name in (RESULTS, FIGURES) if name not in present),
    )


def _read_json(path: Path) -> Record:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: cannot be read as JSON: {error}; {_AGAIN}") from error
    if not isinstance(document, dict):
        raise FileFormatError(f"{path}: holds no JSON object; {_AGAIN}")
    schema = document.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise FileFormatError(
            f"{path}: schema {schema!r}; this version reads schema {SCHEMA}; "
            "use the neurodeploy version that wrote the folder, or " + _AGAIN
        )
    return Record(path.name, document)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise FileFormatError(f"{path}: is a single array, not an archive; {_AGAIN}")
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path}: is no readable .npz archive: {error}; {_AGAIN}") from error


def _models(
    summary: Record, results: Record, figures: Mapping[str, NDArray[Any]] | None
) -> tuple[Model, ...]:
    short, full = summary.record("models"), results.record("models")
    names = tuple(dict.fromkeys([*full.data, *short.data]))
    return tuple(
        Model(name, short.record(name), full.record(name), _arrays_of(name, names, figures))
        for name in names
    )


def _arrays_of(
    name: str, names: Iterable[str], figures: Mapping[str, NDArray[Any]] | None
) -> dict[str, NDArray[Any]] | None:
    """Return the arrays whose key starts with ``name/`` and with no longer model name."""
    if figures is None:
        return None
    longer = tuple(f"{n}/" for n in names if n.startswith(f"{name}/"))
    start = f"{name}/"
    return {
        key.removeprefix(start): array
        for key, array in figures.items()
        if key.startswith(start) and not (longer and key.startswith(longer))
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
