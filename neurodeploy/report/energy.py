"""Section: energy and latency. Counts first, then estimates at nested boundaries with sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from neurodeploy.report.content import (
    Block,
    Cell,
    Figure,
    FigureGrid,
    Heading,
    Note,
    Paragraph,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.cost_ratios import ratio_blocks
from neurodeploy.report.cost_record import CostRecord, Estimate, cost_record, energies, times
from neurodeploy.report.cost_terms import missing_blocks, source_blocks, term_blocks
from neurodeploy.report.interval_chart import interval_drawing
from neurodeploy.report.number_text import (
    count,
    duration,
    energy,
    energy_unit,
    plain,
    time_unit,
)
from neurodeploy.report.robustness_row import perturbation_name
from neurodeploy.report.run_folder import Model, Record

ENERGY_LEGEND = (("clean", "clean input"), ("attacked", "under attack"))
_DRAIN = {"lava": " (with drain)", "aligned": " (without drain)"}
_ENDS = ("low", "typical", "high")
Form = Callable[[float | None], str]


def energy_blocks(model: Model) -> tuple[Block, ...]:
    """Return ratios and counts, energies and times, terms, gaps and sources of one model."""
    cost = cost_record(model)
    if not cost.clean:
        return (Heading(model.name), Note("This run estimated no cost for this model."))
    return (
        Heading(model.name),
        Note(f"Estimate, not a measurement: {cost.clean.text('wording')}".rstrip(": ")),
        *ratio_blocks(model.name, cost.whole),
        *_count_blocks(model.name, cost),
        *_estimate_blocks(model.name, cost),
        *missing_blocks(model.name, cost.clean),
        *term_blocks(model.name, cost.clean),
        *source_blocks(model.name, cost.clean),
    )


def _attack(cost: CostRecord) -> str:
    """Return what "under attack" means here."""
    attacked = cost.whole.record("attacked")
    name, radius = attacked.text("perturbation"), attacked.number("radius_codes")
    where = f" at radius {plain(radius)} codes" if radius is not None else ""
    return f"{perturbation_name(name)}{where}" if name else "an attack"


def _count_blocks(name: str, cost: CostRecord) -> list[Block]:
    """Return the mean counts of both networks, clean and attacked."""
    clean, attacked = cost.whole.record("clean"), cost.whole.record("attacked")
    runs = (
        ("float, clean", clean.record("float")),
        ("fixed, clean", clean.record("fixed").record("activity")),
        ("float, attacked", attacked.record("float")),
        ("fixed, attacked", attacked.record("fixed").record("activity")),
    )
    known = [
        (title + _DRAIN.get(run.text("timing"), ""), run.record("totals") or run)
        for title, run in runs
        if run
    ]
    keys = known[-1][1].data if known else {}
    rows = tuple(
        (
            text_cell(key.replace("_", " ")),
            *(number_cell(count(_mean(run, key)), _mean(run, key)) for _, run in known),
        )
        for key, value in keys.items()
        if isinstance(value, (dict, int, float)) and not isinstance(value, bool)
    )
    if not rows:
        return []
    columns = ("mean per inference", *(title for title, _ in known))
    note = f"Attacked: {_attack(cost)}. Drain: the steps after the input has ended, until the "
    note += "last layer has seen it."
    return [Table(f"{name}: counts, float and fixed", columns, rows, note)]


def _mean(run: Record, key: str) -> float | None:
    """Return a count's mean; a writer may give the number itself."""
    value = run.get(key)
    return run.record(key).number("mean") if isinstance(value, dict) else run.number(key)


def _estimate_blocks(name: str, cost: CostRecord) -> list[Block]:
    spent = (energies(cost.clean), energies(cost.attacked))
    taken = (times(cost.clean), times(cost.attacked))
    title = f"{name}: estimates per inference"
    table = _estimate_table(title, [*_paired(spent, energy), *_paired(taken, duration)])
    figures = [
        Figure(shown, f"{name}: {what}, low to high, mark at the typical value; log axis.", table)
        for what, sides, form, unit in (
            ("energy estimate", spent, energy, energy_unit),
            ("time estimate", taken, duration, time_unit),
        )
        if (shown := _drawing(f"{name}: {what}", sides, form, unit)) is not None
    ]
    blocks: list[Block] = [FigureGrid(tuple(figures), ENERGY_LEGEND)] if figures else []
    blocks.append(table)
    if cost.clean.flag("partial"):
        text = "Partial estimate: events without a published coefficient are in no number above."
        blocks.append(Note(text, "warning"))
    combination = cost.clean.text("combination")
    if combination:
        blocks.append(Paragraph(f"How the bounds combine: {combination}."))
    return blocks


def _drawing(
    title: str, sides: tuple[Sequence[Estimate], Sequence[Estimate]], form: Form, unit: Form
) -> Markup | None:
    rows = []
    for name, pair in _pairs(sides).items():
        series = [(css, e) for css, e in zip(("clean", "attacked"), pair, strict=True) if e]
        known = [(css, e) for css, e in series if e.known]
        if known:
            rows.append((name, known))
    return interval_drawing(title, rows, form, unit) if rows else None


def _pairs(
    sides: tuple[Sequence[Estimate], Sequence[Estimate]],
) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    """Return (clean, attacked) per name, in the order of the file."""
    names = dict.fromkeys(e.name for side in sides for e in side)
    clean, attacked = ({e.name: e for e in side} for side in sides)
    return {name: (clean.get(name), attacked.get(name)) for name in names}


def _paired(
    sides: tuple[Sequence[Estimate], Sequence[Estimate]], form: Form
) -> list[tuple[Cell, ...]]:
    rows = []
    for name, pair in _pairs(sides).items():
        values = [v for e in pair for v in ((e.low, e.typ, e.high) if e else (None,) * 3)]
        rows.append((text_cell(name), *(number_cell(form(v), v) for v in values)))
    return rows


def _estimate_table(title: str, rows: Sequence[tuple[Cell, ...]]) -> Table:
    columns = tuple(f"{side}, {end}" for side in ("clean", "attacked") for end in _ENDS)
    unknown = any(cell.value is None for row in rows for cell in row)
    note = "A dash: a number that this needs was never published, or nothing is recorded. "
    in_csv = "The CSV file holds nJ and µs."
    return Table(title, ("estimate", *columns), tuple(rows), (note if unknown else "") + in_csv)
