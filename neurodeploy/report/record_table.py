"""Turn a list of JSON objects into a table: known keys formatted, unknown ones kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neurodeploy.report.content import Cell, Table, number_cell, text_cell
from neurodeploy.report.number_text import anything, plain
from neurodeploy.report.run_folder import Record


@dataclass(frozen=True, slots=True)
class Column:
    """A known key, its heading, and how its numbers are written.

    ``ranges``: a list of two numbers is the lowest and highest value over the neurons.
    """

    key: str
    heading: str
    form: Callable[[float | None], str] = plain
    ranges: bool = False


def record_table(
    caption: str,
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    hidden: Sequence[str] = (),
    note: str = "",
) -> Table:
    """Return a table of ``records``.

    Known columns that no record fills are left out; keys that this version does not know follow
    at the right (scalars and short lists only), so that a newer writer's numbers are not hidden.
    """
    filled = [c for c in columns if any(r.get(c.key) is not None for r in records)]
    known = {c.key for c in columns} | set(hidden)
    extra = [
        key
        for key in dict.fromkeys(k for r in records for k in r.data)
        if key not in known and any(_short(r.get(key)) for r in records)
    ]
    shown = [*filled, *(Column(key, key.replace("_", " ")) for key in extra)]
    rows = tuple(tuple(_cell(r.get(c.key), c) for c in shown) for r in records)
    return Table(caption, tuple(c.heading for c in shown), rows, note=note)


def value_cell(value: Any, form: Callable[[float | None], str] = plain) -> Cell:
    """Return a cell for any JSON value: numbers through ``form``, the rest as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number_cell(form(value), value)
    return text_cell("" if value is None else anything(value))


def _cell(value: Any, column: Column) -> Cell:
    if column.ranges and isinstance(value, list) and len(value) == 2:
        low, high = (column.form(v) if isinstance(v, (int, float)) else str(v) for v in value)
        shown = low if low == high else f"{low} to {high}"
        return number_cell(shown, value[0] if low == high else f"{value[0]}..{value[1]}")
    return value_cell(value, column.form)


def _short(value: Any) -> bool:
    if isinstance(value, list):
        return 0 < len(value) <= 16 and not any(isinstance(v, (list, dict)) for v in value)
    return value is not None and not isinstance(value, dict)
