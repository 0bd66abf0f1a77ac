"""Training configurations from a recipe, a TOML file and ``key=value`` overrides."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from neurodeploy.errors import FileFormatError, InputError, RangeError
from neurodeploy.file_kind import wrong_file
from neurodeploy.training.config import TrainingConfig, recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a configuration from TOML, then apply ``key=value`` overrides.

    The file holds ``recipe`` (a starting point, default "lif"), ``name``, ``seed`` and the tables
    ``model``, ``perturbation``, ``loss`` and ``optimizer``. An override names a key with its
    table, ``optimizer.epochs=10``; its value is read as TOML, or as text where it is no TOML.

    Raises
    ------
    FileFormatError
        If the file cannot be read as TOML.
    InputError
        For an unknown key (the message lists the known ones) or a value of the wrong type.
    RangeError
        For a value outside its range.
    """
    document: dict[str, Any] = {}
    where = "configuration"
    if path is not None:
        where = str(path)
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise FileFormatError(f"{where}: cannot be read as TOML: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            remedy = "give a TOML file, or none for recipe lif"
            raise wrong_file(path, "a configuration in TOML", remedy) from error
    for override in overrides:
        _apply(document, override)
    return config_from_dict(document, where)


def config_from_dict(document: Mapping[str, Any], where: str) -> TrainingConfig:
    """Build a configuration from plain types; errors name ``where`` and the key."""
    settings = dict(document)
    base = recipe(_typed(f"{where}: recipe", str, settings.pop("recipe", "lif")))
    try:
        config: TrainingConfig = _updated(where, "", base, settings)
    except RangeError as error:
        raise RangeError(f"{where}: {error}") from error
    return config


def _updated(where: str, prefix: str, base: Any, settings: Mapping[str, Any]) -> Any:
    """Return ``base`` with ``settings`` in place; nested tables go down one level."""
    hints = get_type_hints(type(base))
    values: dict[str, Any] = {}
    for key, value in settings.items():
        label = f"{where}: {prefix}{key}"
        if key not in hints:
            known = ", ".join(f"{prefix}{name}" for name in hints)
            extra = "" if prefix else "recipe, "
            raise InputError(f"{label} is unknown; known: {extra}{known}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise InputError(f"{label} is a table: write [{key}] or {key}.name=value")
            values[key] = _updated(where, f"{key}.", getattr(base, key), value)
        else:
            values[key] = _typed(label, hints[key], value)
    return dataclasses.replace(base, **values)


def _typed(label: str, wanted: Any, value: Any) -> Any:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise InputError(f"{label} = {value!r}; choose from {', '.join(get_args(wanted))}")
        return value
    if get_origin(wanted) is tuple:
        if isinstance(value, (list, tuple)) and all(type(item) is int for item in value):
            return tuple(value)
        raise InputError(f"{label} = {value!r}; needs a list of whole numbers, such as [128, 64]")
    # bool is an int in Python, but `epochs = true` is a mistake.
    if wanted is float and type(value) in (int, float):
        return float(value)
    if type(value) is not wanted:
        raise InputError(f"{label} = {value!r}; needs {wanted.__name__}")
    return value


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"override {override!r}: write key=value, such as optimizer.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in parts[:-1]:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"override {override!r}: {part!r} is not a table")
        document = inner
    document[parts[-1]] = value
