"""A number or a choice that knows where it comes from: the leaves of every hardware profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurodeploy.errors import ProfileError

Grade = Literal["A", "B", "C"]

#: Legal units, with the base unit of the same dimension and the factor to it.
UNITS: dict[str, tuple[str, float]] = {
    "pJ": ("nJ", 1e-3),
    "nJ": ("nJ", 1.0),
    "ns": ("us", 1e-3),
    "us": ("us", 1.0),
    "mW": ("mW", 1.0),
    "bits": ("bits", 1.0),
    "bytes": ("bits", 8.0),
    "count": ("count", 1.0),
}
#: How directly the number was seen: primary artefact, secondary source, memory.
GRADES: tuple[str, ...] = ("A", "B", "C")
#: What kind of number it is.
BASES: tuple[str, ...] = (
    "measured",
    "fitted",
    "simulated",
    "documented",
    "vendor-claim",
    "scaled",
    "inherited",
    "assumed",
    "modelling-choice",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from: one entry of a profile's table of sources.

    ``year`` is 0 where the source is a living repository.
    """

    key: str
    title: str
    year: int
    locator: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SourcedValue:
    """A number with its interval, unit and origin; or a number that nobody has published.

    Parameters
    ----------
    path : str
        Key path in the profile, such as ``energy_sets.published.neuron``.
    low, typ, high : float or None
        ``low <= typ <= high``; all None if the number is unknown.
    unit : str
        One of ``UNITS``.
    source : str
        Key in the profile's table of sources; empty for an unknown number.
    locator : str
        Table, section or file within the source.
    grade : {"A", "B", "C"}
        How directly the number was seen: A primary artefact, B secondary source, C memory.
    basis : str
        One of ``BASES``.
    correlation_group : str
        Numbers of one group are wrong together; a sampler moves them together.
    conditions, note, reviewer : str
        Voltage, board, format; remarks; who checked a grade C number.
    """

    path: str
    low: float | None
    typ: float | None
    high: float | None
    unit: str
    source: str = ""
    locator: str = ""
    grade: str = ""
    basis: str = ""
    correlation_group: str = ""
    conditions: str = ""
    note: str = ""
    reviewer: str = ""

    @property
    def known(self) -> bool:
        """Whether anybody has published (or we have assumed) a number."""
        return self.typ is not None

    def interval(self, unit: str) -> tuple[float, float, float] | None:
        """Return ``(low, typ, high)`` in ``unit``, or None if the number is unknown.

        Raises
        ------
        ProfileError
            If ``unit`` is of another dimension.
        """
        base, factor = UNITS[self.unit]
        wanted_base, wanted_factor = UNITS[unit]
        if base != wanted_base:
            raise ProfileError(f"{self.path}: is in {self.unit}, which is no amount of {unit}")
        if self.low is None or self.typ is None or self.high is None:
            return None
        ratio = factor / wanted_factor
        return self.low * ratio, self.typ * ratio, self.high * ratio

    def __int__(self) -> int:
        """Return ``typ`` as a whole number.

        Raises
        ------
        ProfileError
            If the number is unknown or not whole.
        """
        if self.typ is None:
            raise ProfileError(
                f"{self.path}: is unknown ({self.note}); state a number in a profile"
            )
        if self.typ != int(self.typ):
            raise ProfileError(f"{self.path}: is {self.typ:g} {self.unit}; needs a whole number")
        return int(self.typ)


@dataclass(frozen=True, slots=True)
class SourcedChoice:
    """A property that is no number (a rule, a yes or no), with its origin.

    ``value`` holds one word per alternative that applies; most properties have exactly one.
    """

    path: str
    value: tuple[str, ...]
    source: str = ""
    locator: str = ""
    grade: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Return the words, separated by commas."""
        return ", ".join(self.value)
