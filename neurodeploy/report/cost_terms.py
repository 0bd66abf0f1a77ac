"""Where each nanojoule of an estimate comes from: terms, what is missing, sources."""

from __future__ import annotations

from neurodeploy.report.content import (
    Block,
    Bullets,
    Cell,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.number_text import MISSING, anything, count, energy, plain
from neurodeploy.report.run_folder import Record


def term_blocks(name: str, estimate: Record) -> list[Block]:
    """Return one table of terms per energy set; the default set first and unfolded."""
    terms = estimate.records("terms")
    default = estimate.text("default_energy_set")
    sets = dict.fromkeys(term.text("set") for term in terms)
    ordered = sorted(sets, key=lambda key: key != default)
    return [
        _term_table(
            name, key, tuple(t for t in terms if t.text("set") == key), folded=key != ordered[0]
        )
        for key in ordered
    ]


def missing_blocks(name: str, estimate: Record) -> list[Block]:
    """Return what no number contains, and the notes of the estimate."""
    blocks: list[Block] = []
    missing = estimate.records("missing")
    absent_times = tuple(anything(path) for path in estimate.items("missing_times"))
    if missing:
        merged: dict[tuple[str, ...], list[Record]] = {}
        for term in missing:
            key = tuple(term.text(k) for k in ("term", "boundary", "reason"))
            merged.setdefault(key, []).append(term)
        rows = tuple(_missing_row(key, group) for key, group in merged.items())
        columns = ("missing term", "boundary", "count", "energy set", "why", "effect")
        blocks.append(
            Table(f"{name}: what the estimate lacks", columns, rows, stacked_on_phones=True)
        )
    if absent_times:
        blocks.append(Bullets(tuple(f"Unknown time: {path}" for path in absent_times)))
    notes = tuple(anything(note) for note in estimate.items("notes"))
    return [*blocks, Bullets(notes)] if notes else blocks


def source_blocks(name: str, estimate: Record) -> list[Block]:
    """Return the sources that the terms refer to."""
    sources = estimate.record("sources")
    if not sources:
        return []
    rows = tuple(
        (
            text_cell(key),
            text_cell(source.text("title")),
            text_cell(anything(source.get("year")) if source.get("year") else ""),
            text_cell(source.text("locator")),
            text_cell(source.text("note")),
        )
        for key in sources.data
        for source in (sources.record(key),)
    )
    columns = ("source", "title", "year", "where in it", "note")
    return [Table(f"{name}: sources", columns, rows, folded=True)]


def _missing_row(key: tuple[str, ...], group: list[Record]) -> tuple[Cell, ...]:
    term, boundary, reason = key
    counted = group[0].number("count")
    blocks = any(t.flag("blocks") for t in group)
    return (
        text_cell(term.replace("_", " ")),
        text_cell(boundary),
        number_cell(count(counted), counted),
        text_cell(", ".join(dict.fromkeys(t.text("set") for t in group))),
        text_cell(reason),
        text_cell("no number at this boundary" if blocks else "left out"),
    )


def _term_table(name: str, key: str, terms: tuple[Record, ...], *, folded: bool) -> Table:
    columns = ("term", "boundary", "count", "coefficient", "energy", "source", "grade", "basis")
    return Table(
        f"{name}: terms of energy set {key or 'without name'}, clean input",
        columns,
        tuple(_term_row(term) for term in terms),
        note="Mean per inference; coefficients as low / typical / high. Grade A: primary source "
        "read; B: secondary source.",
        folded=folded,
    )


def _term_row(term: Record) -> tuple[Cell, ...]:
    counted, price, spent = (term.record(k) for k in ("count", "coefficient", "energy_nj"))
    bounds = [price.number(k) for k in ("low", "typ", "high")]
    known = any(b is not None for b in bounds)
    shown = " / ".join(plain(b, 3) for b in dict.fromkeys(bounds))
    low, high = spent.number("low"), spent.number("high")
    between = f"{energy(low)} to {energy(high)}" if low is not None and low != high else ""
    source = ", ".join(p for p in (term.text("source"), term.text("locator")) if p)
    return (
        Cell(
            term.text("term").replace("_", " "),
            term.text("term"),
            term.text("description"),
            "wide",
        ),
        text_cell(term.text("boundary")),
        number_cell(count(counted.number("typ")), counted.number("typ")),
        Cell(f"{shown} {term.text('unit')}" if known else MISSING, shown, css="number"),
        number_cell(energy(spent.number("typ")), spent.number("typ"), note=between),
        text_cell(source if known else "not published"),
        text_cell(term.text("grade") if known else ""),
        text_cell(term.text("basis") if known else ""),
    )
