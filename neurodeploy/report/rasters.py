"""Drawings of single runs: input image, spike raster and membrane, float against fixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from neurodeploy.report.number_text import plain
from neurodeploy.report.svg import (
    PANEL_WIDTH,
    Frame,
    Scale,
    drawing,
    line,
    mark,
    number,
    path,
    polyline,
    rectangle,
    text,
    ticks,
    x_axis,
    y_axis,
)

#: What one raster shows at most; more would neither be legible nor keep the page small.
MOST_NEURONS, MOST_STEPS = 160, 200
_BOTH = "both spikes"


def image_drawing(image: NDArray[np.float64], title: str) -> Markup | None:
    """Return a square image as grey cells, dark for high values; None if it is not square."""
    side = round(image.size**0.5)
    if side * side != image.size or not 2 <= side <= 40 or not np.isfinite(image).all():
        return None
    low, high = float(image.min()), float(image.max())
    share = (image - low) / (high - low) if high > low else np.zeros(image.size)
    cell = 96.0 / side
    parts = [rectangle(0, 0, 96, 96, "paper")]
    for grey in range(1, 9):
        cells = np.flatnonzero(np.rint(8 * share) == grey)
        steps = "".join(
            f"M{number(cell * (index % side))} {number(cell * (index // side))}"
            f"h{number(cell)}v{number(cell)}h-{number(cell)}z"
            for index in cells.tolist()
        )
        if steps:
            parts.append(path(steps, f"grey{grey}"))
    return drawing(96, title, parts, width=96)


def raster_drawing(
    float_spikes: NDArray[Any], fixed_spikes: NDArray[Any], title: str, heading: str
) -> Markup:
    """Return a raster of two runs [T, N]: equal spikes grey, differing ones coloured and wider.

    A spike of the float run fills the left half of its step, one of the fixed run the right half,
    so that a difference can be told without colour.
    """
    a, b = (s[:MOST_STEPS, :MOST_NEURONS] != 0 for s in (float_spikes, fixed_spikes))
    steps, neurons = a.shape
    height = 150.0 + min(110.0, 0.9 * neurons)
    frame = Frame(
        Scale(0.5, steps + 0.5, 46.0, PANEL_WIDTH - 8),
        Scale(-1.0, float(neurons), 24.0, height - 44),
    )
    cell = (frame.right - frame.left) / steps
    row = (frame.bottom - frame.top) / (neurons + 1)
    thick = min(max(0.75 * row, 0.8), 7.0)
    differing = max(thick, 3.0)
    parts = [
        text(frame.left, 14, heading, "panel start"),
        y_axis(frame, _whole(ticks(0, neurons - 1, 6)), "neuron", grid=False),
        x_axis(frame, _whole(ticks(1, steps, 8), first=1), "time step"),
        _dashes(frame, a & b, 0.06, 0.94, cell, thick, _BOTH),
        _dashes(frame, a & ~b, 0.06, 0.5, cell, differing, "float spikes"),
        _dashes(frame, b & ~a, 0.5, 0.94, cell, differing, "fixed spikes"),
    ]
    return drawing(height, title, parts)


def membrane_drawing(
    membranes: tuple[NDArray[np.float64], NDArray[np.float64]],
    threshold: float | None,
    fired: Sequence[NDArray[Any]],
    title: str,
    heading: str,
) -> Markup:
    """Return the membrane [T] of one neuron in both runs, threshold and spike times.

    ``fired`` holds the spikes [T] of the float and the fixed run, or nothing.
    """
    steps = membranes[0].size
    shown = [float(v) for run in membranes for v in run if np.isfinite(v)] or [0.0]
    reach = max(abs(min(shown)), abs(max(shown)))
    # A threshold far out of reach (a read-out's, by design) would flatten the membranes.
    near = threshold is not None and (reach < 1e-9 or abs(threshold) <= 20 * reach)
    limit = threshold if near else None
    values = [*shown, 0.0, *([] if limit is None else [limit])]
    margin = 0.06 * (max(values) - min(values)) or 0.1
    top = 44.0 if fired else 26.0
    frame = Frame(
        Scale(0.5, steps + 0.5, 60.0, PANEL_WIDTH - 8),
        Scale(min(values) - margin, max(values) + margin, 176.0, top),
    )
    marks = [(value, plain(value, 3)) for value in ticks(frame.y.low, frame.y.high, 5)]
    parts = [
        text(frame.left, 14, heading, "panel start"),
        y_axis(frame, marks, "membrane (float units)"),
        x_axis(frame, _whole(ticks(1, steps, 8), first=1), "time step"),
    ]
    if limit is not None:
        parts.append(
            line(frame.left, frame.y(limit), frame.right, frame.y(limit), "threshold line")
        )
    for run, css, shape in zip(membranes, ("float", "fixed"), ("circle", "square"), strict=True):
        times = np.flatnonzero(np.isfinite(run)).tolist()
        xy = [(frame.x(t + 1.0), frame.y(float(run[t]))) for t in times]
        if xy:
            parts.append(polyline(xy, f"{css} line"))
        if steps <= 40:
            parts.extend(mark(x, y, shape, f"{css} mark") for x, y in xy)
    for spikes, css, y in zip(fired, ("float", "fixed"), (25.0, 35.0), strict=False):
        parts.extend(
            mark(frame.x(t + 1.0), y, "down", f"{css} fill", f"{css} spike at step {t + 1}")
            for t in np.flatnonzero(spikes).tolist()
        )
    return drawing(220, title, parts)


def _dashes(
    frame: Frame,
    spikes: NDArray[np.bool_],
    start: float,
    stop: float,
    cell: float,
    thick: float,
    css: str,
) -> Markup:
    """Return one path with a bar from share ``start`` to ``stop`` of each spike's cell."""
    times, neurons = np.nonzero(spikes)
    if times.size == 0:
        return Markup("")
    width = number(cell * (stop - start))
    steps = "".join(
        f"M{number(frame.left + cell * (t + start))} {number(frame.y(float(n)) - thick / 2)}"
        f"h{width}v{number(thick)}h-{width}z"
        for t, n in zip(times.tolist(), neurons.tolist(), strict=True)
    )
    return path(steps, css)


def _whole(values: Sequence[float], first: int | None = None) -> list[tuple[float, str]]:
    """Return labels for whole numbers only, with ``first`` among them."""
    kept = {round(v) for v in values if abs(v - round(v)) < 1e-9}
    if first is not None:
        # "1" and "2" would touch where steps are narrow; the first step is worth its label.
        kept = {v for v in kept if v > first + 0.06 * (max(kept) - first)} | {first}
    return [(float(v), str(v)) for v in sorted(kept)]
