"""Find, read and check hardware profiles."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from neurodeploy.errors import ProfileError
from neurodeploy.file_kind import kind_of
from neurodeploy.hardware_profiles.profile import (
    KINDS,
    PROFILE_SCHEMA,
    STATUSES,
    Counting,
    EnergySet,
    Limits,
    Numerics,
    Power,
    Profile,
    TimingSet,
    ValidationCase,
)
from neurodeploy.hardware_profiles.reading import ProfileReader
from neurodeploy.hardware_profiles.values import Source, SourcedValue

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SetT = TypeVar("SetT")
_PACKAGE = "neurodeploy.hardware_profiles"
_TEXTS = ("id", "name", "vendor", "generation", "kind", "status")
_DEFAULTS = ("default_energy_set", "default_timing_set")
#: What a profile of limits alone leaves out, all of it or nothing.
_PRICES = (*_DEFAULTS, "energy_sets", "timing_sets", "power")
_NO_SET = "none"
_KEYS = (
    *("schema_version", *_TEXTS, *_DEFAULTS, "not_modelled", "sources", "numerics", "limits"),
    *("counting", "energy_sets", "timing_sets", "power", "validation"),
)
#: Fields of a validation case, in their order.
_CASE_TEXTS = ("key", "title", "boundary", "summary", "regime")
_CASE_ENERGIES = ("measured", "predicted")


def names() -> tuple[str, ...]:
    """Return the names of the profiles that come with neurodeploy."""
    files = resources.files(_PACKAGE).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load(name_or_path: str | Path) -> Profile:
    """Read a profile that comes with neurodeploy, by name, or one of your own, by path.

    Parameters
    ----------
    name_or_path : str or Path
        A name of ``names()``, or the path of a .toml file. A text with a slash or ending in
        ``.toml`` is a path.

    Raises
    ------
    ProfileError
        If there is no such profile, or its file is malformed; the message has file and key path.
    """
    name = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or name.endswith(".toml") or "/" in name
    if not is_path:
        if name not in names():
            raise ProfileError(
                f"profile {name!r} does not exist; there are: {', '.join(names())}; or give the "
                "path of a .toml file"
            )
        text = (resources.files(_PACKAGE) / f"{name}.toml").read_text(encoding="utf-8")
        return parse(text, label=f"{name}.toml")
    try:
        return parse(Path(name).read_text(encoding="utf-8"), label=name)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(
            f"{name}: cannot be read: {kind_of(name)}; profiles that come with neurodeploy: "
            f"{', '.join(names())}"
        ) from error


def parse(text: str, *, label: str = "profile") -> Profile:
    """Return the profile written in ``text`` (TOML); ``label`` names it in messages.

    Raises
    ------
    ProfileError
        If the text is no TOML, or a key is missing, unknown, out of order or without source.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{label}: is not TOML: {error}; correct that line") from error
    plain = ProfileReader(label, {})
    plain.refuse_unknown(document, _KEYS, "")
    if document.get("schema_version") != PROFILE_SCHEMA:
        found = document.get("schema_version")
        plain.fail("schema_version", f"is {found!r}", f"this version reads {PROFILE_SCHEMA}")
    reader = ProfileReader(label, _sources(plain, document))
    return _profile(reader, document, text)


def _profile(reader: ProfileReader, document: Mapping[str, Any], text: str) -> Profile:
    texts = {key: reader.text(document, key, "") for key in _TEXTS}
    reader.one_of(texts["kind"], KINDS, "kind")
    reader.one_of(texts["status"], STATUSES, "status")
    unpriced = texts["status"] == "limits-only" and not any(key in document for key in _PRICES)
    if unpriced:
        energy_sets: Mapping[str, EnergySet] = _no_set(reader, "energy_sets", EnergySet)
        timing_sets: Mapping[str, TimingSet] = _no_set(reader, "timing_sets", TimingSet)
        power = reader.unknown_section(Power, "power")
    else:
        energy_sets = _sets(reader, document, "energy_sets", EnergySet)
        timing_sets = _sets(reader, document, "timing_sets", TimingSet)
        power = reader.section(Power, reader.table(document, "power", ""), "power")
    defaults = {key: _NO_SET if unpriced else reader.text(document, key, "") for key in _DEFAULTS}
    reader.one_of(defaults["default_energy_set"], tuple(energy_sets), "default_energy_set")
    reader.one_of(defaults["default_timing_set"], tuple(timing_sets), "default_timing_set")
    return Profile(
        **texts,
        **defaults,
        not_modelled=_texts(reader, document, "not_modelled"),
        sources=reader.sources,
        numerics=reader.section(Numerics, reader.table(document, "numerics", ""), "numerics"),
        limits=reader.section(Limits, reader.table(document, "limits", ""), "limits"),
        counting=reader.section(Counting, reader.table(document, "counting", ""), "counting"),
        energy_sets=energy_sets,
        timing_sets=timing_sets,
        power=power,
        validation=_validation(reader, document),
        text=text,
    )


def _sources(reader: ProfileReader, document: Mapping[str, Any]) -> Mapping[str, Source]:
    table = reader.table(document, "sources", "")
    sources = {}
    for key in table:
        path = f"sources.{key}"
        entry = reader.table(table, key, "sources")
        reader.refuse_unknown(entry, ("title", "year", "locator", "note"), path)
        year = entry.get("year")
        if isinstance(year, bool) or not isinstance(year, int):
            reader.fail(f"{path}.year", f"is {year!r}", "write a year, or 0 for a repository")
        title, locator = (reader.text(entry, k, path) for k in ("title", "locator"))
        note = reader.text(entry, "note", path, needed=False)
        sources[key] = Source(key, title, year, locator, note)
    return MappingProxyType(sources)


def _sets(
    reader: ProfileReader, document: Mapping[str, Any], key: str, kind: type[SetT]
) -> Mapping[str, SetT]:
    """Return the named sets under ``key``; there is at least one."""
    table = reader.table(document, key, "")
    if not table:
        reader.fail(key, "holds no set", f"add a table [{key}.NAME]")
    sets = {
        name: reader.section(kind, reader.table(table, name, key), f"{key}.{name}")
        for name in table
    }
    return MappingProxyType(sets)


def _no_set(reader: ProfileReader, key: str, kind: type[SetT]) -> Mapping[str, SetT]:
    """Return the one set of a profile that states none: every number of it is unknown."""
    return MappingProxyType({_NO_SET: reader.unknown_section(kind, f"{key}.{_NO_SET}")})


def _texts(reader: ProfileReader, document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        reader.fail(key, f"is {value!r}", "write a list of texts")
    return tuple(value)


def _validation(reader: ProfileReader, document: Mapping[str, Any]) -> tuple[ValidationCase, ...]:
    tables = document.get("validation", [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        reader.fail("validation", "is not a list of tables", "write [[validation]]")
    cases = []
    for i, table in enumerate(tables):
        path = f"validation.{i}"
        reader.refuse_unknown(table, (*_CASE_TEXTS, *_CASE_ENERGIES), path)
        key, title, boundary, summary, regime = (
            reader.text(table, name, path) for name in _CASE_TEXTS
        )
        measured, predicted = (_case_energy(reader, table, name, path) for name in _CASE_ENERGIES)
        cases.append(ValidationCase(key, title, boundary, summary, regime, measured, predicted))
    return tuple(cases)


def _case_energy(
    reader: ProfileReader, table: Mapping[str, Any], key: str, path: str
) -> SourcedValue:
    leaf = reader.table(table, key, path)
    return reader.value(leaf, f"{path}.{key}", ("pJ", "nJ"), priced=True)
