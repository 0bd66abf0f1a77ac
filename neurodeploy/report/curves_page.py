"""One page of curves: accuracy and proofs, layers, energy, broken hardware, over their strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurodeploy.files import write_text
from neurodeploy.report.content import (
    Block,
    FigureGrid,
    Folded,
    Note,
    Paragraph,
    Section,
    Table,
    csv_text,
    number_cell,
    text_cell,
    verdict_cell,
)
from neurodeploy.report.curve_figure import Line, curve_figure
from neurodeploy.report.number_text import percent, plain, points
from neurodeploy.report.page import page_html
from neurodeploy.report.proofs import proof_sections

Document = Mapping[str, Any]
_LEGEND = (("float", "float"), ("fixed", "integers"))


def write_curves(robustness: Document, curves: Document, out: str | Path) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    robustness, curves : mapping
        What ``robustness.json`` and ``curves.json`` hold.
    out : path
        The HTML file.
    """
    verdict = Section(
        "Verdict", "verdict", (Paragraph(robustness["verdict_text"]), *_sanity(robustness))
    )
    sections = (
        Section("Accuracy under attack", "accuracy", _accuracy_blocks(robustness)),
        *proof_sections(robustness, curves),
        Section("Layers and energy under attack", "layers", _layer_blocks(curves)),
        Section("Broken hardware", "faults", _fault_blocks(curves)),
    )
    title = f"Robustness of {robustness['model']}"
    subtitle = f"{robustness['n']} samples, seed {robustness['seed']}"
    write_text(out, page_html(title, subtitle, verdict, sections))


def robustness_csv(robustness: Document) -> str:
    """Return the table of strengths of a ``robustness.json`` as CSV; shares are fractions."""
    table = _accuracy_table(robustness["robustness"])
    return csv_text(table.columns, table.rows)


_SHARES = ("float", "fixed", "lost", "gained")
_LIMITS = ("drop", "drop_lower95", "drop_upper95")


def _sanity(robustness: Document) -> tuple[Block, ...]:
    """Return every sanity line: those that fail in the open, those that hold folded."""
    lines = robustness["sanity"]
    failing = [line for line in lines if not line["ok"]]
    holding = [line for line in lines if line["ok"]]
    blocks: list[Block] = [Note("Every sanity line of the attacks holds.", "good")]
    if failing:
        said = "; ".join(f"{line['line']}: {line['detail']}" for line in failing)
        blocks = [Note(f"Attack too weak to tell: {said}", "warning")]
    if holding:
        rows = tuple((text_cell(line["line"]), text_cell(line["detail"])) for line in holding)
        table = Table("Sanity lines that hold", ("sanity line", "detail"), rows)
        blocks.append(Folded(f"{len(holding)} of {len(lines)} sanity lines hold", (table,)))
    return tuple(blocks)


def _accuracy_blocks(robustness: Document) -> tuple[Block, ...]:
    rows = robustness["robustness"]
    figures = []
    for name in dict.fromkeys(row["perturbation"] for row in rows):
        own = [row for row in rows if row["perturbation"] == name]
        lines = [
            Line(side, label, [r[side] for r in own], [r[f"{side}_ci95"] for r in own])
            for side, label in _LEGEND
        ]
        lost = Line("drop", "lost", [r["lost"] for r in own], [r["lost_ci95"] for r in own])
        radii = [float(r["radius_codes"]) for r in own]
        figures.append(
            curve_figure(f"{name}: accuracy", "input codes", radii, [*lines, lost], share=True)
        )
    return (
        Paragraph(
            "Both networks see the same points; a sample counts as right if every point found "
            "against either network is decided right. Lost: right in float, wrong in integers."
        ),
        FigureGrid(tuple(figures), (*_LEGEND, ("threshold", "lost"))),
        _accuracy_table(rows),
        *_without_given(rows),
        Paragraph(
            "Null: the same attack on the float network twice, with other seeds; lost and gained "
            "by luck alone. Transfer: accuracy on points found on the other network alone, which "
            "overstates robustness. Shows drops of: the smallest true drop that so many samples "
            "would show with a chance of 80 %."
        ),
        _beside_table(rows),
    )


def _without_given(rows: Sequence[Document]) -> tuple[Block, ...]:
    """Return the strengths as they are without the points from elsewhere, where there are any."""
    pairs = [(row, alone) for row in rows if (alone := row.get("without_given"))]
    if not pairs:
        return ()
    columns = (
        "perturbation", "radius", "float", "integers", "lost", "gained", "drop",
        "drop one-sided low", "drop one-sided high", "verdict without", "verdict",
    )  # fmt: skip
    table = Table(
        "The same without the points from elsewhere",
        columns,
        tuple(
            (
                text_cell(row["perturbation"]),
                number_cell(plain(row["radius_codes"]), row["radius_codes"]),
                *(number_cell(percent(alone[k]), alone[k]) for k in _SHARES),
                *(number_cell(points(alone[k]), alone[k]) for k in _LIMITS),
                text_cell(alone["verdict"]),
                text_cell(row["verdict"]),
            )
            for row, alone in pairs
        ),
    )
    words = (
        "Points from elsewhere count in the numbers above. They make a verdict worse, never "
        "better: of the verdicts with them and without them the worse one stands."
    )
    return (Paragraph(words), table)


def _beside_table(rows: Sequence[Document]) -> Table:
    columns = (
        "perturbation", "radius", "null lost", "null gained", "float by transfer", "float",
        "integers by transfer", "integers", "shows drops of",
    )  # fmt: skip

    def shares(row: Document) -> tuple[float | None, ...]:
        null, transfer = row["null"] or {}, row["transfer"] or {}
        return (
            *(null.get(k) for k in ("lost", "gained")),
            *(value for side, _ in _LEGEND for value in (transfer.get(side), row[side])),
            row["detectable_drop"],
        )

    return Table(
        "Beside it: luck, transfer, and what so many samples show",
        columns,
        tuple(
            (
                text_cell(row["perturbation"]),
                number_cell(plain(row["radius_codes"]), row["radius_codes"]),
                *(number_cell(percent(value), value) for value in shares(row)),
            )
            for row in rows
        ),
    )


def _accuracy_table(rows: Sequence[Document]) -> Table:
    columns = (
        "perturbation", "radius", "float", "integers", "lost", "gained", "drop", "drop low 95 %",
        "drop high 95 %", "n", "attack too weak", "verdict",
    )  # fmt: skip
    return Table(
        "Accuracy by strength",
        columns,
        tuple(
            (
                text_cell(row["perturbation"]),
                number_cell(plain(row["radius_codes"]), row["radius_codes"]),
                *(number_cell(percent(row[k]), row[k]) for k in ("float", "fixed")),
                *(number_cell(percent(row[k]), row[k]) for k in ("lost", "gained")),
                *(number_cell(points(v), v) for v in (row["drop"], *row["drop_ci95"])),
                number_cell(str(row["n"]), row["n"]),
                text_cell("yes" if row["attack_too_weak"] else "no"),
                verdict_cell(row["verdict"]),
            )
            for row in rows
        ),
    )


def _layer_blocks(curves: Document) -> tuple[Block, ...]:
    radii = [float(entry["radius_codes"]) for entry in curves["agreement"]]
    figures = []
    for name in curves["agreement"][0]["populations"]:
        values = [entry["populations"][name] for entry in curves["agreement"]]
        figures.append(
            curve_figure(
                f"{name}: equal spikes", "input codes", radii, [Line("fixed", name, values)]
            )
        )
    energy = [entry["energy_nj"] for entry in curves["energy"]]
    if any(e["typ"] is not None or e["high"] is not None for e in energy):
        lines = [
            Line("fixed", "typical", [e["typ"] for e in energy]),
            Line("threshold", "low", [e["low"] for e in energy]),
            Line("threshold", "high", [e["high"] for e in energy]),
        ]
        figures.append(curve_figure("core energy (nJ, estimate)", "input codes", radii, lines))
    operations = [entry["synaptic_operations"] for entry in curves["energy"]]
    lines = [Line("fixed", "operations", operations)]
    figures.append(curve_figure("synaptic operations per inference", "input codes", radii, lines))
    return (
        Paragraph(
            "On clean samples (radius 0) and on one point per sample, which breaks the integers "
            "where any does."
        ),
        FigureGrid(tuple(figures)),
    )


def _fault_blocks(curves: Document) -> tuple[Block, ...]:
    figures = tuple(
        curve_figure(
            f"{fault['name']}: accuracy",
            fault["unit"],
            fault["strengths"],
            [
                Line(side, label, fault[side]["accuracy"], fault[side]["ci95"])
                for side, label in _LEGEND
            ],
            share=True,
        )
        for fault in curves["faults"]
    )
    if not figures:
        return (Note("No fault was asked for."),)
    return (
        Paragraph("Clean accuracy with faults, mean over draws; both networks break alike."),
        FigureGrid(figures, _LEGEND),
    )
