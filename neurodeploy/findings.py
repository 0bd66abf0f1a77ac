"""What a stage noticed, and the pair (value, findings) that every stage returns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

Severity = Literal["info", "warning", "error"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a stage noticed.

    Parameters
    ----------
    severity : {"info", "warning", "error"}
        ``info`` is a choice worth knowing, ``warning`` a loss or an assumption, ``error`` a
        reason to stop.
    where : str
        Node, population, synapse or file the finding is about.
    what : str
        One sentence with the numbers in it.
    remedy : str
        What the user can do; empty when there is nothing to do.
    numbers : mapping
        The same numbers for programs (JSON types only).
    """

    severity: Severity
    where: str
    what: str
    remedy: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a dictionary of JSON types; infinity and NaN become words."""
        numbers = {key: _finite(value) for key, value in self.numbers.items()}
        return {**dataclasses.asdict(self), "numbers": numbers}

    def __str__(self) -> str:
        """Return ``severity: where: what (remedy)``."""
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{self.severity}: {self.where}: {self.what}{tail}"


def _finite(value: Any) -> Any:
    """Return ``value`` as JSON can say it, which knows neither infinity nor NaN."""
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """The new value a stage made and what it noticed on the way. Unpacks into the two."""

    value: T
    findings: tuple[Finding, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        """Yield the value, then the findings."""
        yield self.value
        yield self.findings

    def with_findings(self, more: Iterable[Finding]) -> Result[T]:
        """Return the same value with ``more`` findings put before its own."""
        return Result(self.value, (*more, *self.findings))
