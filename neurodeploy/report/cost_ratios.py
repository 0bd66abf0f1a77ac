"""Count ratios: what can be said about energy without knowing any energy per event."""

from __future__ import annotations

from collections.abc import Sequence

from neurodeploy.report.content import (
    Block,
    Bullets,
    Cell,
    Folded,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.number_text import anything, count, ratio
from neurodeploy.report.run_folder import Record


def ratio_blocks(name: str, cost: Record) -> list[Block]:
    """Return one table of all ratios, their notes, and the counts behind each, folded."""
    ratios = cost.records("ratios")
    if not ratios:
        return []
    blocks: list[Block] = [_table(name, ratios)]
    notes = dict.fromkeys(anything(note) for record in ratios for note in record.items("notes"))
    if notes:
        blocks.append(Bullets(tuple(notes)))
    behind = tuple(_counts(name, record) for record in ratios if record.records("counts"))
    if behind:
        blocks.append(Folded(f"{name}: counts behind the ratios", behind))
    return blocks


def _table(name: str, ratios: Sequence[Record]) -> Table:
    by_count = [{c.text("name"): c for c in record.records("counts")} for record in ratios]
    names = dict.fromkeys(key for counts in by_count for key in counts)
    sets = dict.fromkeys(key for record in ratios for key in record.record("energy_ratio").data)
    rows = [
        (
            text_cell(key.replace("_", " ")),
            *(_ratio_cell(counts.get(key)) for counts in by_count),
        )
        for key in names
    ]
    rows.append((text_cell("core energy, proven bounds"), *(_bound_cell(r) for r in ratios)))
    for key in sets:
        typical = [r.record("energy_ratio").record(key).number("typ") for r in ratios]
        cells = tuple(number_cell(ratio(value), value) for value in typical)
        rows.append((text_cell(f"core energy, typical, set {key}"), *cells))
    titles = tuple(record.text("what", "ratio") for record in ratios)
    note = (
        "Whatever an event costs, the ratio of two core energies lies between the smallest and the "
        "largest ratio of their counts."
    )
    return Table(f"{name}: count ratios", ("ratio of", *titles), tuple(rows), note)


def _ratio_cell(entry: Record | None) -> Cell:
    if entry is None:
        return number_cell(ratio(None), None)
    value, low, high = (entry.number(key) for key in ("ratio", "low", "high"))
    known = low == value == high or low is None or high is None
    return number_cell(ratio(value), value, note="" if known else f"{ratio(low)} to {ratio(high)}")


def _bound_cell(record: Record) -> Cell:
    low, high = (record.record("bound").number(key) for key in ("low", "high"))
    shown = f"{ratio(low)} to {ratio(high) if high is not None else 'without bound'}"
    return number_cell(shown, f"{low}..{high}")


def _counts(name: str, record: Record) -> Table:
    what = record.text("what", "ratio")
    rows = []
    for entry in record.records("counts"):
        sides = [entry.record(key).number("typ") for key in ("count", "baseline")]
        cells = (number_cell(count(value), value) for value in sides)
        rows.append((text_cell(entry.text("name").replace("_", " ")), *cells))
    return Table(
        f"{name}: counts, {what}", ("mean per inference", "value", "baseline"), tuple(rows)
    )
