"""One panel per perturbation: accuracy of both networks above, their drop below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neurodeploy.report.content import VERDICT_MARKS
from neurodeploy.report.number_text import percent, percent_interval, plain, points
from neurodeploy.report.robustness_row import Interval, RobustnessRow
from neurodeploy.report.svg import (
    PANEL_WIDTH,
    Frame,
    Scale,
    band,
    drawing,
    line,
    mark,
    polyline,
    text,
    ticks,
    x_axis,
    y_axis,
)

_SHAPES = {"survives": "circle", "lost": "cross", "undecided": "diamond", "uninformative": "square"}


@dataclass(frozen=True, slots=True)
class DropRange:
    """Lowest and highest drop of all panels of a model, so that they can be compared by eye."""

    low: float
    high: float

    @staticmethod
    def of(rows: Iterable[RobustnessRow], tolerance: float | None) -> DropRange:
        """Return the range that holds every drop, interval, null drop, zero and the tolerance."""
        values = [0.0, tolerance or 0.0]
        for row in rows:
            null = row.null.interval("drop_ci95") or ()
            every = (row.drop, row.null.number("drop"), *(row.drop_ci95 or ()), *null)
            values += [value for value in every if value is not None]
        margin = 0.06 * (max(values) - min(values)) or 0.01
        return DropRange(min(values) - margin, max(values) + margin)


def accuracy_drawing(
    title: str,
    name: str,
    rows: Sequence[RobustnessRow],
    drops: DropRange,
    tolerance: float | None,
) -> Markup:
    """Return the panel of one perturbation; ``tolerance`` is a fraction."""
    x = _radius_scale(rows)
    above = Frame(x, Scale(0.0, 1.0, 190.0, 26.0))
    below = Frame(x, Scale(drops.low, drops.high, 388.0, 238.0))
    shares = [(share / 100, str(share)) for share in (0, 20, 40, 60, 80, 100)]
    steps = [(v / 100, points(v / 100)) for v in ticks(100 * drops.low, 100 * drops.high, 6)]
    labels = _radius_labels(rows)
    parts = [
        text(above.left, 14, name, "panel start"),
        y_axis(above, shares, "accuracy (%)"),
        x_axis(above, labels, ""),
        *_side(above, "float", [(r, r.float_accuracy, r.float_ci95) for r in rows], "circle"),
        *_side(above, "fixed", [(r, r.fixed_accuracy, r.fixed_ci95) for r in rows], "square"),
        y_axis(below, steps, "drop (points)"),
        x_axis(below, labels, f"{rows[0].strength} (input codes)"),
        line(below.left, below.y(0.0), below.right, below.y(0.0), "axis"),
        *_null_line(below, rows),
        *_tolerance_line(below, tolerance),
        *(part for row in rows for part in _drop_marks(below, row)),
    ]
    return drawing(428, title, parts)


def _side(
    frame: Frame,
    css: str,
    values: Sequence[tuple[RobustnessRow, float | None, Interval | None]],
    shape: str,
) -> list[Markup]:
    """Return band, line and marks of one network."""
    parts = []
    sure = [(frame.x(row.radius_codes), ci) for row, _, ci in values if ci]
    if sure:
        low, high = ([frame.y(ci[end]) for _, ci in sure] for end in (0, 1))
        parts.append(band([x for x, _ in sure], low, high, f"{css} band"))
    known = [(row, a, ci) for row, a, ci in values if a is not None]
    if known:
        xy = [(frame.x(row.radius_codes), frame.y(a)) for row, a, _ in known]
        parts.append(polyline(xy, f"{css} line"))
    for row, accuracy, ci in known:
        tip = f"{css} {percent(accuracy)} at {row.strength} {plain(row.radius_codes)}"
        tip += f", 95 % interval {percent_interval(ci)}" if ci else ""
        x, y = frame.x(row.radius_codes), frame.y(accuracy)
        parts.append(mark(x, y, shape, f"{css} mark", tip))
    return parts


def _null_line(frame: Frame, rows: Sequence[RobustnessRow]) -> list[Markup]:
    parts = []
    sure = [(r.radius_codes, ci) for r in rows if (ci := r.null.interval("drop_ci95"))]
    if len(sure) > 1:
        low, high = ([frame.y(ci[end]) for _, ci in sure] for end in (0, 1))
        parts.append(band([frame.x(radius) for radius, _ in sure], low, high, "null band"))
    known = [(r.radius_codes, d) for r in rows if (d := r.null.number("drop")) is not None]
    if known:
        xy = [(frame.x(radius), frame.y(drop)) for radius, drop in known]
        parts.append(polyline(xy, "null line"))
    return parts


def _tolerance_line(frame: Frame, tolerance: float | None) -> list[Markup]:
    if tolerance is None:
        return []
    y = frame.y(tolerance)
    return [line(frame.left, y, frame.right, y, "tolerance line")]


def _drop_marks(frame: Frame, row: RobustnessRow) -> list[Markup]:
    x = frame.x(row.radius_codes)
    sign = VERDICT_MARKS.get(row.verdict, "")
    parts = [text(x, 230, sign, f"sign middle {row.verdict if sign else ''}".strip())]
    if row.drop_ci95:
        low, high = (frame.y(value) for value in row.drop_ci95)
        parts.append(line(x, low, x, high, "whisker"))
        parts.extend(line(x - 4, y, x + 4, y, "whisker") for y in (low, high))
    if row.drop is not None:
        tip = f"{row.drop_text}, {row.verdict}, at {row.strength} {plain(row.radius_codes)}"
        shape = _SHAPES.get(row.verdict, "circle")
        parts.append(mark(x, frame.y(row.drop), shape, "drop mark", tip))
    return parts


def _radius_scale(rows: Sequence[RobustnessRow]) -> Scale:
    radii = [row.radius_codes for row in rows]
    low, high = min(radii), max(radii)
    margin = 0.06 * (high - low) or max(1.0, 0.1 * abs(high))
    return Scale(low - margin, high + margin, 54.0, PANEL_WIDTH - 8)


def _radius_labels(rows: Sequence[RobustnessRow]) -> list[tuple[float, str]]:
    """Label the measured radii themselves; leave out labels that would touch."""
    scale = _radius_scale(rows)
    kept: list[tuple[float, str]] = []
    for radius in sorted({row.radius_codes for row in rows}):
        label = plain(radius)
        room = 4.0 * (len(label) + len(kept[-1][1]) + 1) if kept else 0.0
        if not kept or scale(radius) - scale(kept[-1][0]) >= room:
            kept.append((radius, label))
    return kept
