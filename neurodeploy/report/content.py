"""What a page is made of: sections of paragraphs, tables and figures, before any HTML exists.

The section modules build these frozen blocks from the records of a run; the template turns them
into HTML and escapes every text. Only ``Figure.drawing`` is markup already, made and escaped by
``neurodeploy.report.svg``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from markupsafe import Markup

from neurodeploy.report.number_text import MISSING

NoteKind = Literal["good", "neutral", "warning", "bad"]
VERDICT_MARKS = {"survives": "✓", "lost": "✗", "undecided": "?", "uninformative": "○"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: ``text`` for readers, ``value`` (full precision) for the CSV file.

    ``note`` is a second, smaller line; ``css`` a class of the style sheet.
    """

    text: str
    value: Any = None
    note: str = ""
    css: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption. ``download`` replaces the CSV made of the cells, if given.

    A ``folded`` table is one click away; ``stacked_on_phones`` turns rows into cards there.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    download: str = ""
    stacked_on_phones: bool = False
    folded: bool = False
    kind: str = field(default="table", init=False)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Per column, whether all its cells are numbers (and so stand at the right)."""
        return tuple(
            bool(self.rows) and all(row[i].css == "number" for row in self.rows)
            for i in range(len(self.columns))
        )

    @property
    def file_name(self) -> str:
        """Name that a browser gives the downloaded CSV file."""
        kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.caption.lower())
        return "-".join(part for part in kept.split("-") if part)[:60] + ".csv"

    @property
    def data_uri(self) -> str:
        """The table as a CSV file inside a link."""
        text = self.download or csv_text(self.columns, self.rows)
        return "data:text/csv;charset=utf-8," + quote(text, safe="!'()*,-./:;?_~$")


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, what it shows, and its numbers one click away."""

    drawing: Markup
    caption: str
    data: Table
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True, slots=True)
class FigureGrid:
    """Figures side by side where there is room, with one legend for all: (css class, text)."""

    figures: tuple[Figure, ...]
    legend: tuple[tuple[str, str], ...] = ()
    kind: str = field(default="grid", init=False)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Plain text."""

    text: str
    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True, slots=True)
class Note:
    """Text that must not be overlooked: a confirmation, a gap, a warning, a failure."""

    text: str
    level: NoteKind = "neutral"
    kind: str = field(default="note", init=False)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below the section's own; ``verdict`` adds its badge."""

    text: str
    verdict: str = ""
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True, slots=True)
class Card:
    """A statement about one model: its verdict and a few (term, sentence, level)."""

    title: str
    verdict: str
    statements: tuple[tuple[str, str, NoteKind], ...]


@dataclass(frozen=True, slots=True)
class Cards:
    """Statements side by side where there is room."""

    cards: tuple[Card, ...]
    kind: str = field(default="cards", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Pairs of a term and its description."""

    pairs: tuple[tuple[str, str], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: str = field(default="bullets", init=False)


@dataclass(frozen=True, slots=True)
class Code:
    """A command or a file name, kept as it is."""

    text: str
    kind: str = field(default="code", init=False)


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that are one click away."""

    summary: str
    blocks: tuple[Block, ...]
    kind: str = field(default="folded", init=False)


Block = (
    Table
    | FigureGrid
    | Figure
    | Paragraph
    | Note
    | Heading
    | Cards
    | Facts
    | Bullets
    | Code
    | Folded
)


@dataclass(frozen=True, slots=True)
class Section:
    """One numbered part of the page."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]


def text_cell(text: str, *, note: str = "", css: str = "") -> Cell:
    """Return a cell whose CSV value is its own text; an empty text counts as missing."""
    return Cell(text or MISSING, text or None, note, css)


def number_cell(text: str, value: Any, *, note: str = "") -> Cell:
    """Return a right-aligned cell: formatted ``text``, full-precision ``value``."""
    return Cell(text, value, note, "number")


def verdict_cell(verdict: str, *, note: str = "") -> Cell:
    """Return a verdict as mark and word, so that it does not depend on colour."""
    if not verdict:
        return Cell(MISSING, note=note)
    mark = VERDICT_MARKS.get(verdict, "")
    known = verdict if verdict in VERDICT_MARKS else "other"
    return Cell(f"{mark} {verdict}".strip(), verdict, note, f"verdict {known}")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a CSV file with a header line; missing values are empty fields."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if cell.value is None else cell.value for cell in row])
    return buffer.getvalue()
