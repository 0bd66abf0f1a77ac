"""A figure of curves over strengths, with intervals as bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neurodeploy.report.content import Figure, Table, number_cell
from neurodeploy.report.number_text import MISSING, percent, plain
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

#: Curves with a mark at each value; the others are lines alone.
_SHAPES = {"float": "circle", "fixed": "square", "smoothed": "diamond"}


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a class of the style sheet, a name, values, and intervals where there are any."""

    css: str
    name: str
    values: Sequence[float | None]
    intervals: Sequence[Sequence[float]] | None = None


def curve_figure(
    title: str, unit: str, strengths: Sequence[float], lines: Sequence[Line], *, share: bool = False
) -> Figure:
    """Return curves over strengths, with their numbers; ``share``: the axis is 0 to 100 %."""
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
    if shape := _SHAPES.get(line.css):
        for (x, v), (at_x, at_y) in zip(known, xy, strict=True):
            parts.append(
                mark(at_x, at_y, shape, f"{line.css} mark", f"{line.name} {v:.4g} at {x:g}")
            )
    return parts
