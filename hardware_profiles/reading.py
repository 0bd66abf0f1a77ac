"""Turn the tables of a profile's TOML file into typed leaves and sections, or say what is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from neurodeploy.errors import ProfileError
from neurodeploy.hardware_profiles.values import (
    BASES,
    GRADES,
    UNITS,
    Source,
    SourcedChoice,
    SourcedValue,
)

SectionT = TypeVar("SectionT")
_NUMBERS = ("low", "typ", "high")
_VALUE_KEYS = (
    *_NUMBERS,
    *("value", "unknown", "unit", "source", "locator", "grade", "basis"),
    *("correlation_group", "conditions", "note", "reviewer"),
)
_CHOICE_KEYS = ("value", "source", "locator", "grade", "note")


@dataclass(frozen=True, slots=True)
class ProfileReader:
    """Reads tables of one profile; knows its file (for messages) and its sources."""

    label: str
    sources: Mapping[str, Source]

    def fail(self, path: str, what: str, remedy: str) -> NoReturn:
        """Raise ProfileError: file, key path, what is wrong, remedy."""
        raise ProfileError(f"{self.label}: {path}: {what}; {remedy}")

    def table(self, parent: Mapping[str, Any], key: str, path: str) -> Mapping[str, Any]:
        """Return the table ``parent[key]``."""
        value = parent.get(key)
        full = f"{path}.{key}" if path else key
        if not isinstance(value, dict):
            found = "is missing" if value is None else f"is {value!r}, not a table"
            self.fail(full, found, f"add the table [{full}]")
        return value

    def text(self, table: Mapping[str, Any], key: str, path: str, *, needed: bool = True) -> str:
        """Return the text ``table[key]``; it may be absent or empty only if not ``needed``."""
        value = table.get(key, "")
        full = f"{path}.{key}" if path else key
        if not isinstance(value, str):
            self.fail(full, f"is {value!r}, not text", "put it in quotes")
        if needed and not value.strip():
            self.fail(full, "is missing", f'write {key} = "..."')
        return value

    def one_of(self, value: str, words: Sequence[str], path: str) -> str:
        """Return ``value`` if it is one of ``words``."""
        if value not in words:
            self.fail(path, f"is {value!r}", f"use one of: {', '.join(words)}")
        return value

    def refuse_unknown(self, table: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        """Refuse keys that the schema does not have; a misspelt key must not vanish silently."""
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                full = f"{path}.{key}" if path else key
                self.fail(full, f"is no key of the schema (value {table[key]!r})", hint)

    def section(self, kind: type[SectionT], table: Mapping[str, Any], path: str) -> SectionT:
        """Return a section: a dataclass whose fields are all leaves."""
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self.refuse_unknown(table, [f.name for f in fields], path)
        leaves = {f.name: self.leaf(f, table, path) for f in fields}
        return kind(**leaves)

    def leaf(
        self, field: dataclasses.Field[Any], table: Mapping[str, Any], path: str
    ) -> SourcedValue | SourcedChoice:
        """Return the leaf that ``field`` describes."""
        full = f"{path}.{field.name}"
        if field.name not in table and field.metadata.get("later"):
            note = "not stated in this profile; held to be what both Loihi chips have"
            return SourcedValue(full, None, None, None, field.metadata["units"][0], note=note)
        if field.name not in table:
            self.fail(full, "is missing", "add it, or write `unknown = true` with unit and note")
        leaf = self.table(table, field.name, path)
        if "words" in field.metadata:
            return self.choice(leaf, field.metadata["words"], full)
        return self.value(leaf, full, field.metadata["units"], priced=field.metadata["priced"])

    def unknown_section(self, kind: type[SectionT], path: str) -> SectionT:
        """Return a section of which the profile states nothing: every leaf is unknown."""
        note = f"profile {self.label} has no such number: it holds the limits of a target alone"
        leaves: dict[str, SourcedValue | SourcedChoice] = {}
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            full, units = f"{path}.{field.name}", field.metadata.get("units")
            leaves[field.name] = (
                SourcedValue(full, None, None, None, units[0], note=note)
                if units
                else SourcedChoice(full, ("unknown",), note=note)
            )
        return kind(**leaves)

    def choice(self, table: Mapping[str, Any], words: Sequence[str], path: str) -> SourcedChoice:
        """Return a choice: one word of ``words``, or a list of them."""
        self.refuse_unknown(table, _CHOICE_KEYS, path)
        raw = table.get("value", "")
        listed = raw if isinstance(raw, list) and raw else [raw]
        chosen = tuple(self.one_of(item, words, f"{path}.value") for item in listed)
        note = self.text(table, "note", path, needed=False)
        if chosen == ("unknown",):
            return SourcedChoice(path, chosen, note=note)
        source, locator, grade = self._origin(table, path)
        return SourcedChoice(path, chosen, source, locator, grade, note)

    def value(
        self, table: Mapping[str, Any], path: str, units: Sequence[str], *, priced: bool
    ) -> SourcedValue:
        """Return a number with its interval and origin, or one that is stated to be unknown."""
        self.refuse_unknown(table, _VALUE_KEYS, path)
        unit = self.text(table, "unit", path)
        self.one_of(unit, tuple(UNITS), f"{path}.unit")
        self.one_of(unit, units, f"{path}.unit")
        note = self.text(table, "note", path, needed=False)
        if table.get("unknown", False) is not False:
            self._check_unknown(table, path, note)
            return SourcedValue(path, None, None, None, unit, note=note)
        low, typ, high = self._numbers(table, path)
        source, locator, grade = self._origin(table, path)
        basis = self.one_of(self.text(table, "basis", path), BASES, f"{path}.basis")
        reviewer = self.text(table, "reviewer", path, needed=False)
        if grade == "C" and not (basis == "assumed" and reviewer):
            self.fail(
                path,
                f"has grade C with basis {basis!r} and reviewer {reviewer!r}",
                'check the number, or state basis = "assumed" and who reviewed it',
            )
        if priced and basis != "modelling-choice" and low <= 0:
            self.fail(
                path,
                f"low is {low:g}, and unknown is not zero",
                'write `unknown = true`, or basis = "modelling-choice" if the model has no such '
                "term",
            )
        group = self.text(table, "correlation_group", path, needed=False) or source
        conditions = self.text(table, "conditions", path, needed=False)
        origin = (source, locator, grade, basis, group, conditions, note, reviewer)
        return SourcedValue(path, low, typ, high, unit, *origin)

    def _numbers(self, table: Mapping[str, Any], path: str) -> tuple[float, float, float]:
        """Return low, typ and high; ``value`` stands for all three."""
        if "value" in table and any(key in table for key in _NUMBERS):
            self.fail(path, "has both `value` and low/typ/high", "keep one of the two")
        keys = ("value",) * 3 if "value" in table else _NUMBERS
        low, typ, high = (self._number(table, key, path) for key in keys)
        if not low <= typ <= high:
            self.fail(
                path,
                f"low {low:g}, typ {typ:g}, high {high:g} are out of order",
                "order them low <= typ <= high",
            )
        return low, typ, high

    def _number(self, table: Mapping[str, Any], key: str, path: str) -> float:
        value = table.get(key)
        if value is None:
            self.fail(f"{path}.{key}", "is missing", "give low, typ and high, or value")
        # bool is an int in Python, and TOML can hold nan and inf.
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{path}.{key}", f"is {value!r}, not a number", "write it without quotes")
        if not math.isfinite(value):
            self.fail(f"{path}.{key}", f"is {value!r}", "write `unknown = true` instead")
        return float(value)

    def _check_unknown(self, table: Mapping[str, Any], path: str, note: str) -> None:
        if table["unknown"] is not True:
            self.fail(f"{path}.unknown", f"is {table['unknown']!r}", "write true, or remove it")
        given = [key for key in (*_NUMBERS, "value") if key in table]
        if given:
            self.fail(path, f"is unknown and has {', '.join(given)}", "keep one of the two")
        if not note.strip():
            self.fail(f"{path}.note", "is missing", "say what was looked for and not found")

    def _origin(self, table: Mapping[str, Any], path: str) -> tuple[str, str, str]:
        """Return source key, locator and grade."""
        source = self.text(table, "source", path)
        if source not in self.sources:
            known = ", ".join(self.sources)
            self.fail(f"{path}.source", f"is {source!r}", f"add it to [sources]; known: {known}")
        grade = self.one_of(self.text(table, "grade", path), GRADES, f"{path}.grade")
        return source, self.text(table, "locator", path), grade
