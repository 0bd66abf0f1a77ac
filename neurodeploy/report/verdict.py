"""Section: the verdict in plain words, numbers lost first, and one table of all models."""

from __future__ import annotations

from collections.abc import Sequence

from neurodeploy.report.content import (
    Block,
    Card,
    Cards,
    Cell,
    Note,
    NoteKind,
    Table,
    number_cell,
    text_cell,
    verdict_cell,
)
from neurodeploy.report.cost_record import CostRecord, Estimate, cost_record
from neurodeploy.report.cross_check import disagreements
from neurodeploy.report.fidelity import lava_mode, lava_sentence, lava_was_available
from neurodeploy.report.number_text import (
    MISSING,
    count,
    energy,
    percent,
    percent_interval,
    plain,
    points,
    points_interval,
)
from neurodeploy.report.robustness_row import RobustnessRow, robustness_rows, worst_row
from neurodeploy.report.run_folder import Model, RunFolder


def verdict_blocks(runs: Sequence[RunFolder]) -> tuple[Block, ...]:
    """Return banners, one statement per model of every run, and the table of all models."""
    blocks: list[Block] = []
    for run in runs:
        blocks += _banners(run, named=len(runs) > 1)
    cards = tuple(
        _statement(run, model, named=len(runs) > 1) for run in runs for model in run.models
    )
    if not cards:
        return (*blocks, Note("No model is recorded here.", "warning"))
    return (*blocks, Cards(cards), _overview(runs))


def _banners(run: RunFolder, *, named: bool) -> list[Block]:
    start = f"Run {run.name}: " if named else ""
    notes: list[Block] = []
    if lava_was_available(run) is False:
        text = "Lava was absent. Nothing here is confirmed by Lava; the integers below come from "
        text += "the fixed-point simulator alone. Get it with “neurodeploy lava install”."
        notes.append(Note(start + text, "bad"))
    elif run.results.record("lava").text("mode") == "shim":
        notes.append(Note(f"{start}Lava ran as {lava_mode(run)}.", "warning"))
    for name in run.missing:
        text = f"{start}{name} is missing from this folder; the parts that need it are left out."
        notes.append(Note(text, "warning"))
    notes += [Note(f"{start}{text}", "bad") for text in disagreements(run)]
    if run.get("quick"):
        text = "Quick run: fewer samples and radii. Do not quote these numbers."
        notes.append(Note(start + text, "warning"))
    overlapping = [m.name for m in run.models if m.results.flag("overlap_allowed")]
    if overlapping:
        text = "Tuning and evaluation samples overlap (--allow-overlap), which flatters: "
        notes.append(Note(f"{start}{text}{', '.join(overlapping)}.", "bad"))
    return notes


def _statement(run: RunFolder, model: Model, *, named: bool) -> Card:
    statements: list[tuple[str, str, NoteKind]] = [
        ("Robustness", _robustness_sentence(run, model, robustness_rows(model)), "neutral"),
        ("Clean accuracy", _clean_sentence(model), "neutral"),
        ("Lava", *lava_sentence(run, model)),
    ]
    failed = [line for line in model.records("sanity") if line.flag("ok") is False]
    if failed:
        lines = "; ".join(line.text("line") for line in failed)
        statements.append(("Sanity", f"these lines do not hold: {lines}.", "warning"))
    spent = _cost_sentence(cost_record(model))
    if spent:
        statements.append(("Energy per inference (estimate)", spent, "neutral"))
    title = f"{model.name} ({run.name})" if named else model.name
    return Card(title, model.text("verdict") or "no verdict", tuple(statements))


def _robustness_sentence(run: RunFolder, model: Model, rows: Sequence[RobustnessRow]) -> str:
    if not rows:
        return "not measured."
    tolerance = run.results.number("tolerance_points")
    limit = (
        f"the tolerance of {plain(tolerance)} points" if tolerance is not None else "the tolerance"
    )
    strengths = [row for row in rows if row.informative]
    found = {v: sum(row.verdict == v for row in rows) for v in ("lost", "undecided")}
    opening = {
        "survives": f"survives. The one-sided 95 % upper limit of the drop is within {limit} at "
        f"every one of {len(strengths)} informative strengths.",
        "lost": f"is lost. The drop is above {limit} at {found['lost']} of {len(rows)} strengths.",
        "undecided": f"is undecided. At {found['undecided']} of {len(strengths)} informative "
        f"strengths the evidence does not tell whether the drop is within {limit}.",
    }.get(model.text("verdict"), "no verdict is recorded.")
    worst = worst_row(rows)
    return f"{opening} {_worst_sentence(run, worst)}" if worst else opening


def _worst_sentence(run: RunFolder, row: RobustnessRow) -> str:
    most = run.results.record("threat_model").number("max_code")
    of = f" of {count(most + 1)}" if most else ""
    one_sided = row.drop_upper
    limit = f", one-sided 95 % upper limit {points(one_sided)}" if one_sided is not None else ""
    kind = "informative strength" if row.informative else "strength (none is informative)"
    return (
        f"Worst {kind}: lost {percent(row.lost)}, gained {percent(row.gained)}, drop "
        f"{row.drop_text}{limit}, retention {percent(row.retention)}; {row.name} at {row.strength} "
        f"{plain(row.radius_codes)}{of} codes, n = {count(row.n)}."
    )


def _clean_sentence(model: Model) -> str:
    clean = model.record("clean_accuracy")
    if not clean:
        return "not measured."
    sides = []
    for side in ("float", "fixed"):
        interval = clean.interval(f"{side}_ci95")
        more = f" (95 % interval {percent_interval(interval)})" if interval else ""
        sides.append(f"{percent(clean.number(side))} {side}{more}")
    n = clean.number("n")
    return f"{' and '.join(sides)}{f', n = {count(n)}' if n else ''}."


def _cost_sentence(cost: CostRecord) -> str:
    parts = [
        f"{e.name} {energy(e.typ)} ({energy(e.low)} to {energy(e.high)})"
        if e.known
        else f"{e.name} unknown"
        for e in cost.energies
    ]
    if not parts:
        return ""
    return f"{'; '.join(parts)}."


def _overview(runs: Sequence[RunFolder]) -> Table:
    several = len(runs) > 1
    columns: tuple[str, ...] = (
        "model",
        "verdict",
        "lost",
        "gained",
        "drop (points)",
        "retention",
        "worst at",
    )
    columns += ("clean float", "clean fixed", "Lava mismatches", "core energy", "total energy")
    rows = tuple(
        ((text_cell(run.name),) if several else ()) + _overview_row(run, model)
        for run in runs
        for model in run.models
    )
    return Table(
        "All models",
        (("run",) if several else ()) + columns,
        rows,
        note="Lost, gained, drop and retention at the strength that decides most. Energies are "
        "estimates per inference on clean input.",
        stacked_on_phones=True,
    )


def _overview_row(run: RunFolder, model: Model) -> tuple[Cell, ...]:
    row = worst_row(robustness_rows(model))
    clean = model.record("clean_accuracy")
    lava = model.record("fidelity").record("lava")
    wrong, compared = lava.number("mismatches"), lava.number("compared")
    cost = cost_record(model)
    shares = (row.lost, row.gained) if row else (None, None)
    interval = points_interval(row.drop_ci95) if row and row.drop_ci95 else ""
    return (
        text_cell(model.name),
        verdict_cell(model.text("verdict")),
        *(number_cell(percent(share), share) for share in shares),
        number_cell(points(row.drop if row else None), row.drop if row else None, note=interval),
        number_cell(percent(row.retention if row else None), row.retention if row else None),
        _worst_cell(row),
        *(number_cell(percent(clean.number(s)), clean.number(s)) for s in ("float", "fixed")),
        Cell(
            f"{count(wrong)} of {count(compared)}" if compared else "not confirmed",
            wrong,
            css="number" if compared else "",
        ),
        *(_energy_cell(cost.energy(boundary)) for boundary in ("core", "total")),
    )


def _worst_cell(row: RobustnessRow | None) -> Cell:
    if row is None:
        return text_cell("")
    where = f"{row.name}, {plain(row.radius_codes)} codes"
    return Cell(where, f"{where}, n = {count(row.n)}", f"n = {count(row.n)}")


def _energy_cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return number_cell(MISSING, None)
    between = f"{energy(estimate.low)} to {energy(estimate.high)}"
    return number_cell(energy(estimate.typ), estimate.typ, note=between)
