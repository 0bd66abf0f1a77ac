"""Low-to-high bars with a mark at the typical value, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from neurodeploy.report.cost_record import Estimate
from neurodeploy.report.svg import (
    PANEL_WIDTH,
    Frame,
    Scale,
    decades,
    drawing,
    line,
    mark,
    text,
    x_axis,
)

_SHAPES = {"clean": "circle", "attacked": "square"}


def interval_drawing(
    title: str,
    rows: Sequence[tuple[str, Sequence[tuple[str, Estimate]]]],
    form: Callable[[float | None], str],
    tick_form: Callable[[float | None], str],
) -> Markup | None:
    """Return one group per row: its name, then a bar and its typical value per (class, estimate).

    A lower bound of zero reaches to the left edge. None if no value is above zero.
    """
    values = [
        value
        for _, series in rows
        for _, e in series
        for value in (e.low, e.typ, e.high)
        if value is not None and value > 0
    ]
    if not values:
        return None
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    low, high = 10.0**first, 10.0 ** max(last, first + 1)
    tall = 32.0 + 15.0 * max(len(series) for _, series in rows)
    bottom = 8.0 + tall * len(rows)
    frame = Frame(Scale(low, high, 26.0, 268.0, logarithmic=True), Scale(0.0, 1.0, 8.0, bottom))
    parts = [x_axis(frame, _labels(frame, tick_form), _axis_title(title), grid=True)]
    for index, (name, series) in enumerate(rows):
        y = 20.0 + tall * index
        parts.append(text(frame.left, y, name, "tick start strong"))
        for place, (css, estimate) in enumerate(series):
            parts.extend(_bar(frame, y + 13 + 15 * place, css, estimate, form))
    return drawing(bottom + 42, title, parts)


def _bar(
    frame: Frame, y: float, css: str, estimate: Estimate, form: Callable[[float | None], str]
) -> list[Markup]:
    start, stop = (frame.x(_above_zero(v, frame)) for v in (estimate.low, estimate.high))
    parts = [line(start, y, stop, y, f"{css} range")]
    if estimate.typ is not None:
        x = frame.x(_above_zero(estimate.typ, frame))
        tip = f"{css}: {form(estimate.typ)} ({form(estimate.low)} to {form(estimate.high)})"
        parts.append(mark(x, y, _SHAPES.get(css, "diamond"), f"{css} mark", tip))
        parts.append(text(PANEL_WIDTH - 6, y + 4, form(estimate.typ), "tick end"))
    return parts


def _above_zero(value: float | None, frame: Frame) -> float:
    return max(value or 0.0, frame.x.low)


def _labels(frame: Frame, tick_form: Callable[[float | None], str]) -> list[tuple[float, str]]:
    powers = decades(frame.x.low, frame.x.high)
    every = max(1, math.ceil((len(powers) - 1) / 4))
    return [(p, tick_form(p) if i % every == 0 else "") for i, p in enumerate(powers)]


def _axis_title(title: str) -> str:
    return "energy per inference" if "energy" in title else "time"
