"""Training configurations from a recipe, a TOML file and ``key=value`` overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurodeploy.errors import InputError, RangeError
from neurodeploy.toml_config import read_toml, toml_value, typed, updated
from neurodeploy.training.config import TrainingConfig, recipe


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
    remedy = "give a TOML file, or none for recipe lif"
    document = {} if path is None else read_toml(path, remedy)
    where = "configuration" if path is None else str(path)
    for override in overrides:
        _apply(document, override)
    return config_from_dict(document, where)


def config_from_dict(document: Mapping[str, Any], where: str) -> TrainingConfig:
    """Build a configuration from plain types; errors name ``where`` and the key."""
    settings = dict(document)
    base = recipe(typed(f"{where}: recipe", str, settings.pop("recipe", "lif")))
    try:
        config = updated(where, base, settings, also=("recipe",))
    except RangeError as error:
        raise RangeError(f"{where}: {error}") from error
    return config


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"override {override!r}: write key=value, such as optimizer.epochs=10")
    value = toml_value(text)
    for part in parts[:-1]:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"override {override!r}: {part!r} is not a table")
        document = inner
    document[parts[-1]] = value
