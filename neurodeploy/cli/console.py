"""Where words go: results to standard output, progress and warnings to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from neurodeploy.findings import Finding

if TYPE_CHECKING:
    from neurodeploy.pipeline.settings import StageProgress


class Console:
    """The output of one command.

    Text lines are collected and printed at once, or, with ``--json``, replaced by one document.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line of the result (not with --json)."""
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def document(self, document: Any) -> None:
        """Print the one JSON document (only with --json)."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")

    def note(self, text: str) -> None:
        """Print a line to standard error."""
        sys.stderr.write(text + "\n")

    def findings(self, findings: Iterable[Finding], *, least: str = "warning") -> None:
        """Print findings of severity ``least`` or worse to standard error."""
        order = ("info", "warning", "error")
        for finding in findings:
            if order.index(finding.severity) >= order.index(least):
                self.note(str(finding))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a plain aligned table (not with --json)."""
        if self.as_json:
            return
        cells = [[str(c) for c in header], *[[str(c) for c in row] for row in rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.say("  " + line.rstrip())

    def next_step(self, command: str) -> None:
        """Name the command to run next."""
        self.say(f"\nnext: {command}")

    @contextmanager
    def progress(self) -> Iterator[StageProgress]:
        """Show progress bars on standard error, if it is a terminal; else one line per stage."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        terminal = RichConsole(stderr=True)
        if not terminal.is_terminal:
            yield _line_progress(self)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=terminal, transient=True) as bars:
            tasks: dict[str, Any] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=total)
                bars.update(tasks[stage], completed=done, total=total)

            yield report


def _line_progress(console: Console) -> StageProgress:
    seen: set[str] = set()

    def report(stage: str, done: int, total: int) -> None:
        if stage not in seen:
            seen.add(stage)
            console.note(f"{stage} ...")

    return report


def percent(share: float) -> str:
    """Format a share as percent with one decimal."""
    return f"{100 * share:.1f} %"
