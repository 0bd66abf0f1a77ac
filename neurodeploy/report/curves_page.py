"""One page of curves: accuracy and proofs, layers, energy, broken hardware, over their strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from neurodeploy.files import write_text
from neurodeploy.report.content import (
    Block,
    Figure,
    FigureGrid,
    Note,
    Paragraph,
    Section,
    Table,
    csv_text,
    number_cell,
    text_cell,
    verdict_cell,
)
from neurodeploy.report.number_text import MISSING, percent, plain, points
from neurodeploy.report.page import page_html
from neurodeploy.report.svg import (
    PANEL_WIDTH,
    Frame,
    Scale,
    band,
    drawing,
    mark,
    polyline,
    text,
    ticks,
    x_axis,
    y_axis,
)

Document = Mapping[str, Any]
_LEGEND = (("float", "float"), ("fixed", "integers"))


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a class of the style sheet, a name, values, and intervals where there are any."""

    css: str
    name: str
    values: Sequence[float | None]
    intervals: Sequence[Sequence[float]] | None = None


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
        "Verdict", "verdict", (Paragraph(robustness["verdict_text"]), _sanity(robustness))
    )
    sections = (
        Section("Accuracy under attack", "accuracy", _accuracy_blocks(robustness)),
        Section("Proofs on the integers", "proofs", _proof_blocks(robustness, curves)),
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


def _sanity(robustness: Document) -> Block:
    failing = [line for line in robustness["sanity"] if not line["ok"]]
    if not failing:
        return Note("Every sanity line of the attacks holds.", "good")
    said = "; ".join(f"{line['line']}: {line['detail']}" for line in failing)
    return Note(f"Attack too weak to tell: {said}", "warning")


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
            _figure(f"{name}: accuracy", "input codes", radii, [*lines, lost], share=True)
        )
    return (
        Paragraph(
            "Both networks see the same points; a sample counts as right if every point found "
            "against either network is decided right. Lost: right in float, wrong in integers."
        ),
        FigureGrid(tuple(figures), (*_LEGEND, ("threshold", "lost"))),
        _accuracy_table(rows),
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


def _proof_blocks(robustness: Document, curves: Document) -> tuple[Block, ...]:
    found = curves["certified"]
    if not found:
        return (Note("No certificate was asked for."),)
    radii = [float(entry["radius_codes"]) for entry in found]
    lines = [
        Line(css, name, [e[method] for e in found], [e[f"{method}_ci95"] for e in found])
        for css, name, method in (
            ("float", "intervals", "interval"),
            ("fixed", "refined", "refined"),
        )
    ]
    attacked = [
        (row["radius_codes"], row["fixed"])
        for row in robustness["robustness"]
        if row["perturbation"] == curves["attack"]
    ]
    gap = ", ".join(f"{percent(a)} at {plain(r)}" for r, a in attacked)
    return (
        Paragraph(
            "Proven: every input within the radius is decided right by the deployed integers, "
            "floors, wraps and clips included. The truth lies between a proof and an attack. "
            f"Right under attack ({curves['attack']}): {gap} codes."
        ),
        FigureGrid(
            (_figure("share proven", "input codes", radii, lines, share=True),),
            (("float", "intervals"), ("fixed", "refined")),
        ),
    )


def _layer_blocks(curves: Document) -> tuple[Block, ...]:
    radii = [float(entry["radius_codes"]) for entry in curves["agreement"]]
    figures = []
    for name in curves["agreement"][0]["populations"]:
        values = [entry["populations"][name] for entry in curves["agreement"]]
        figures.append(
            _figure(f"{name}: equal spikes", "input codes", radii, [Line("fixed", name, values)])
        )
    energy = [entry["energy_nj"] for entry in curves["energy"]]
    if any(e["typ"] is not None or e["high"] is not None for e in energy):
        lines = [
            Line("fixed", "typical", [e["typ"] for e in energy]),
            Line("threshold", "low", [e["low"] for e in energy]),
            Line("threshold", "high", [e["high"] for e in energy]),
        ]
        figures.append(_figure("core energy (nJ, estimate)", "input codes", radii, lines))
    operations = [entry["synaptic_operations"] for entry in curves["energy"]]
    lines = [Line("fixed", "operations", operations)]
    figures.append(_figure("synaptic operations per inference", "input codes", radii, lines))
    return (
        Paragraph(
            "On clean samples (radius 0) and on one point per sample, which breaks the integers "
            "where any does."
        ),
        FigureGrid(tuple(figures)),
    )


def _fault_blocks(curves: Document) -> tuple[Block, ...]:
    figures = tuple(
        _figure(
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


def _figure(
    title: str, unit: str, strengths: Sequence[float], lines: Sequence[Line], *, share: bool = False
) -> Figure:
    columns = (unit, *(line.name for line in lines))
    cells = tuple(
        (
            number_cell(plain(x), x),
            *(
                number_cell(MISSING if (v := line.values[i]) is None else f"{v:.4g}", v)
                for line in lines
            ),
        )
        for i, x in enumerate(strengths)
    )
    picture = _curves(title, unit, strengths, lines, share=share)
    return Figure(picture, title, Table(title, columns, cells))


def _curves(
    title: str, unit: str, strengths: Sequence[float], lines: Sequence[Line], *, share: bool
) -> Markup:
    known = [v for line in lines for v in line.values if v is not None] or [0.0]
    low, high = (0.0, 1.0) if share else (min(known), max(known))
    room = 0.0 if share else 0.08 * (high - low) or 0.05 * abs(high) or 0.1
    room_x = 0.05 * (max(strengths) - min(strengths)) or 1.0
    frame = Frame(
        Scale(min(strengths) - room_x, max(strengths) + room_x, 60.0, PANEL_WIDTH - 8),
        Scale(low - room, high + room, 180.0, 26.0),
    )
    y_labels = [(v, percent(v) if share else plain(v)) for v in ticks(low, high, 6)]
    x_labels = [(v, plain(v, 3)) for v in ticks(min(strengths), max(strengths), 6)]
    parts = [
        text(frame.left, 14, title, "panel start"),
        y_axis(frame, y_labels, ""),
        x_axis(frame, x_labels, unit),
    ]
    for line in lines:
        parts += _line(frame, strengths, line)
    return drawing(222, title, parts)


def _line(frame: Frame, strengths: Sequence[float], line: Line) -> list[Markup]:
    parts = []
    if line.intervals is not None and len(strengths) > 1:
        low, high = ([frame.y(ci[end]) for ci in line.intervals] for end in (0, 1))
        parts.append(band([frame.x(x) for x in strengths], low, high, f"{line.css} band"))
    known = [(x, v) for x, v in zip(strengths, line.values, strict=True) if v is not None]
    xy = [(frame.x(x), frame.y(v)) for x, v in known]
    if xy:
        parts.append(polyline(xy, "threshold line" if line.css == "drop" else f"{line.css} line"))
    if line.css in ("float", "fixed"):
        shape = "circle" if line.css == "float" else "square"
        for (x, v), (at_x, at_y) in zip(known, xy, strict=True):
            parts.append(
                mark(at_x, at_y, shape, f"{line.css} mark", f"{line.name} {v:.4g} at {x:g}")
            )
    return parts
