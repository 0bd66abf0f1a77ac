"""Collecting findings while a graph is read, so that one run names everything at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurodeploy.errors import InputError
from neurodeploy.findings import Finding

#: Findings that one error message lists; a broken file may have one per node.
LISTED = 40


class FindingList:
    """Findings in the order in which they were met, with the error class of each error."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._classes: list[type[InputError]] = []

    def error(
        self,
        where: str,
        what: str,
        remedy: str = "",
        *,
        raises: type[InputError] = InputError,
        **numbers: Any,
    ) -> None:
        """Add an error; alone it is raised as ``raises``."""
        self._findings.append(Finding("error", where, what, remedy, numbers))
        self._classes.append(raises)

    def warning(self, where: str, what: str, remedy: str = "", **numbers: Any) -> None:
        """Add a warning."""
        self._findings.append(Finding("warning", where, what, remedy, numbers))

    def info(self, where: str, what: str, remedy: str = "", **numbers: Any) -> None:
        """Add something worth knowing."""
        self._findings.append(Finding("info", where, what, remedy, numbers))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings made elsewhere."""
        for finding in findings:
            self._findings.append(finding)
            if finding.severity == "error":
                self._classes.append(InputError)

    @property
    def has_errors(self) -> bool:
        """Whether anything stops the graph."""
        return bool(self._classes)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything so far."""
        return tuple(self._findings)

    def stop_on_errors(self, where: str, *, strict: bool = False) -> None:
        """Raise one error that lists all errors; with ``strict`` all warnings too.

        Raises
        ------
        InputError
            Or the subclass that all errors have in common.
        """
        stopping = ("error", "warning") if strict else ("error",)
        errors = [f for f in self._findings if f.severity in stopping]
        if not errors:
            return
        classes = set(self._classes)
        error_class = classes.pop() if len(classes) == 1 else InputError
        lines = [str(f) for f in errors[:LISTED]]
        if len(errors) > LISTED:
            lines.append(f"and {len(errors) - LISTED} more")
        count = "1 finding stops" if len(errors) == 1 else f"{len(errors)} findings stop"
        raise error_class("\n  ".join((f"{where}: {count} here:", *lines)))


def node_at(name: str) -> str:
    """Return how findings call a node."""
    return f"node {name!r}"


def short(names: Iterable[str], limit: int = 10) -> str:
    """Return names for a message, at most ``limit`` of them."""
    listed = list(names)
    text = ", ".join(repr(name) for name in listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"
