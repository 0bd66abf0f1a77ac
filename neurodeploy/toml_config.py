"""Frozen configurations from plain types: TOML files, with errors that name the key."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.file_kind import wrong_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

C = TypeVar("C")


def read_toml(path: str | Path, remedy: str) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises
    ------
    FileFormatError
        If the file cannot be read as TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{path}: cannot be read as TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise wrong_file(path, "a configuration in TOML", remedy) from error


def toml_value(text: str) -> Any:
    """Return ``text`` read as a TOML value, or as it is where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def updated(
    where: str,
    base: C,
    settings: Mapping[str, Any],
    *,
    prefix: str = "",
    also: Sequence[str] = (),
) -> C:
    """Return the dataclass ``base`` with ``settings`` in place; nested tables go down one level.

    Parameters
    ----------
    where : str
        What errors begin with, a file's name for example.
    settings : mapping
        Values by field; a field that is a dataclass takes a mapping.
    prefix : str
        What errors put before a key.
    also : sequence of str
        Keys beside the fields.

    Raises
    ------
    InputError
        For an unknown key (the message lists the known ones, and names the one that is spelled
        most alike) or a value of the wrong type.
    """
    hints = get_type_hints(type(base))
    values: dict[str, Any] = {}
    for key, value in settings.items():
        label = f"{where}: {prefix}{key}"
        if key not in hints:
            names = [*also, *hints] if not prefix else [*hints]
            known = ", ".join(f"{prefix}{name}" for name in names)
            raise InputError(f"{label} is unknown;{_nearest(key, names, prefix)} known: {known}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise InputError(f"{label} is a table: write [{key}] or {key}.name=value")
            inner = getattr(base, key)
            values[key] = updated(where, inner, value, prefix=f"{key}.", also=also)
        else:
            values[key] = typed(label, hints[key], value)
    return dataclasses.replace(base, **values)  # type: ignore[type-var]


def _nearest(key: str, names: Sequence[str], prefix: str) -> str:
    """Ask whether another key was meant; empty where none is spelled alike."""
    by_lower = {name.lower(): name for name in names}
    wanted = key.lower().replace("-", "_")
    found = difflib.get_close_matches(wanted, by_lower, n=1)
    found = found or [name for name in by_lower if name.startswith(wanted)]
    return f" did you mean {prefix}{by_lower[found[0]]}?" if found else ""


def typed(label: str, wanted: Any, value: Any) -> Any:
    """Return ``value`` as the type ``wanted`` of a field; InputError names ``label``."""
    if get_origin(wanted) in (Union, UnionType):  # X | None: TOML has no None, so X is meant
        wanted = next(kind for kind in get_args(wanted) if kind is not type(None))
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise InputError(f"{label} = {value!r}; choose from {', '.join(get_args(wanted))}")
        return value
    if get_origin(wanted) is tuple:
        return _tuple(label, get_args(wanted), value)
    # bool is an int in Python, but `epochs = true` is a mistake.
    if wanted is float and type(value) in (int, float):
        return float(value)
    if type(value) is not wanted:
        raise InputError(f"{label} = {value!r}; needs {wanted.__name__}")
    return value


def _tuple(label: str, items: tuple[Any, ...], value: Any) -> Any:
    """Return a list as a tuple of whole numbers, of numbers, or of words, as ``items`` says."""
    kinds: dict[Any, tuple[tuple[type, ...], str]] = {
        int: ((int,), "whole numbers, such as [128, 64]"),
        float: ((int, float), "numbers, such as [13, 26]"),
        str: ((str,), 'words, such as ["suite"]'),
    }
    accepted, needs = kinds[items[0]]
    if isinstance(value, (list, tuple)) and all(type(item) in accepted for item in value):
        return tuple(value)
    raise InputError(f"{label} = {value!r}; needs a list of {needs}")
