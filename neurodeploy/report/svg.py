"""A small SVG vocabulary: scales, ticks, axes and marks, as escaped and deterministic markup.

Why not matplotlib here: a page is read at 400 px as well as at 1280 px. Panels of 360 units that
reflow keep their text readable on a phone; one wide drawing that shrinks does not. The markup is
also some ten times smaller, is styled by the page's own sheet (print included), and carries a
``<title>`` per mark. Coordinates have one decimal, so the bytes do not depend on the platform.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

#: Width of one panel in user units; about one CSS pixel on a phone and in three columns.
PANEL_WIDTH = 360.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Map values ``low..high`` to positions ``start..stop``; ``logarithmic`` needs low > 0."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of ``value``, held inside the panel."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area of a panel and its two scales."""

    x: Scale
    y: Scale

    @property
    def left(self) -> float:
        """Left edge."""
        return min(self.x.start, self.x.stop)

    @property
    def right(self) -> float:
        """Right edge."""
        return max(self.x.start, self.x.stop)

    @property
    def top(self) -> float:
        """Upper edge (SVG's y grows downward)."""
        return min(self.y.start, self.y.stop)

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return max(self.y.start, self.y.stop)


def drawing(
    height: float, title: str, parts: Iterable[Markup], width: float = PANEL_WIDTH
) -> Markup:
    """Return a complete ``<svg>``, named by ``title`` for screen readers."""
    body = Markup("").join(parts)
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" style="max-width:{}px">{}</svg>'
    ).format(number(width), number(height), title, number(1.3 * width), body)


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    shown = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """Return a straight line."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        number(x1), number(y1), number(x2), number(y2), css
    )


def text(x: float, y: float, content: str, css: str = "tick", *, turned: bool = False) -> Markup:
    """Return text; classes ``start``, ``middle`` and ``end`` set its anchor."""
    turn = Markup(' transform="rotate(-90 {} {})"').format(number(x), number(y)) if turned else ""
    return Markup('<text x="{}" y="{}" class="{}"{}>{}</text>').format(
        number(x), number(y), css, turn, content
    )


def rectangle(x: float, y: float, width: float, height: float, css: str, title: str = "") -> Markup:
    """Return a filled rectangle."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(
        number(x), number(y), number(width), number(height), css, _title(title)
    )


def path(steps: str, css: str, title: str = "") -> Markup:
    """Return a path from SVG path commands (numbers and letters only)."""
    return Markup('<path d="{}" class="{}">{}</path>').format(steps, css, _title(title))


def polyline(xy: Sequence[tuple[float, float]], css: str) -> Markup:
    """Return a line through the positions ``xy``."""
    return path(_through(xy), css)


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float], css: str) -> Markup:
    """Return the area between two lines over the same positions ``x``."""
    upper = list(zip(x, high, strict=True))
    lower = list(zip(x, low, strict=True))[::-1]
    return path(_through([*upper, *lower]) + "z", css)


#: Marks as paths around the origin, so that shape (not colour alone) tells series apart.
MARKS = {
    "circle": "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",
    "square": "m-3.2 -3.2h6.4v6.4h-6.4z",
    "diamond": "m0 -4.6l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
    "cross": "m-3.6 -3.6l7.2 7.2m0 -7.2l-7.2 7.2",
    "down": "m-3.5 -5h7l-3.5 6z",
    "up": "m-3.5 5h7l-3.5 -6z",
    "tick": "m0 -4v8",
}


def mark(x: float, y: float, shape: str, css: str, title: str = "") -> Markup:
    """Return one mark of ``MARKS`` at a position, with a tooltip."""
    return path(f"M{number(x)} {number(y)}{MARKS[shape]}", css, title)


def x_axis(
    frame: Frame, labels: Sequence[tuple[float, str]], title: str, *, grid: bool = False
) -> Markup:
    """Return the lower axis: ticks at (value, label) and the axis title with its unit."""
    parts = [line(frame.left, frame.bottom, frame.right, frame.bottom, "axis")]
    for value, label in labels:
        x = frame.x(value)
        top = frame.top if grid else frame.bottom
        parts.append(line(x, top, x, frame.bottom + 4, "grid" if grid else "axis"))
        parts.append(text(x, frame.bottom + 17, label, "tick middle"))
    middle = (frame.left + frame.right) / 2
    parts.append(text(middle, frame.bottom + 34, title, "label middle"))
    return Markup("").join(parts)


def y_axis(
    frame: Frame, labels: Sequence[tuple[float, str]], title: str, *, grid: bool = True
) -> Markup:
    """Return the left axis: ticks at (value, label) and the turned axis title with its unit."""
    parts = [line(frame.left, frame.top, frame.left, frame.bottom, "axis")]
    for value, label in labels:
        y = frame.y(value)
        right = frame.right if grid else frame.left
        parts.append(line(frame.left - 4, y, right, y, "grid" if grid else "axis"))
        parts.append(text(frame.left - 7, y + 4, label, "tick end"))
    parts.append(text(12, (frame.top + frame.bottom) / 2, title, "label middle", turned=True))
    return Markup("").join(parts)


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Return at most ``most`` round values (1, 2 or 5 times a power of ten) in ``low..high``."""
    span = high - low
    if not span > 0:
        return (low,)
    rough = span / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def decades(low: float, high: float) -> tuple[float, ...]:
    """Return the powers of ten in ``low..high`` (both > 0)."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return tuple(10.0**power for power in range(first, last + 1))


def _through(xy: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in xy)


def _title(content: str) -> Markup:
    return Markup("<title>{}</title>").format(content) if content else Markup("")
