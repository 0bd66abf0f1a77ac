"""Numbers that are known only between two bounds: intervals, and counts per input sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.arrays import frozen


@dataclass(frozen=True, slots=True)
class Interval:
    """A non-negative number between ``low`` and ``high``, typically ``typ``."""

    low: float
    typ: float
    high: float

    def __post_init__(self) -> None:
        """Check the order."""
        if not 0 <= self.low <= self.typ <= self.high:
            raise RangeError(
                f"interval: low {self.low:g}, typ {self.typ:g}, high {self.high:g}; "
                "needs 0 <= low <= typ <= high"
            )

    def __add__(self, other: Interval) -> Interval:
        """Add bound by bound: all low, all typical, all high."""
        return Interval(self.low + other.low, self.typ + other.typ, self.high + other.high)

    def __mul__(self, other: Interval) -> Interval:
        """Multiply bound by bound."""
        return Interval(self.low * other.low, self.typ * other.typ, self.high * other.high)

    def scaled(self, factor: float) -> Interval:
        """Return the interval times a number of at least 0."""
        return Interval(self.low * factor, self.typ * factor, self.high * factor)

    def as_dict(self) -> dict[str, float]:
        """Return ``{low, typ, high}``."""
        return {"low": self.low, "typ": self.typ, "high": self.high}


def point(value: float) -> Interval:
    """Return the interval that is one number."""
    return Interval(value, value, value)


def add_all(intervals: Iterable[Interval]) -> Interval:
    """Add intervals bound by bound; the empty sum is zero."""
    return sum(intervals, point(0.0))


def envelope(intervals: Iterable[Interval], typ: float) -> Interval:
    """Return the smallest interval around all of ``intervals``, with ``typ`` of one of them."""
    listed = list(intervals)
    return Interval(min(i.low for i in listed), typ, max(i.high for i in listed))


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of a quantity over the input samples."""

    mean: float
    p5: float
    p95: float

    @staticmethod
    def of(values: NDArray[Any]) -> Spread:
        """Return the spread of ``values`` [B]; percentiles interpolate linearly."""
        p5, p95 = np.percentile(values, [5, 95])
        return Spread(float(np.mean(values)), float(p5), float(p95))

    def as_dict(self) -> dict[str, float]:
        """Return ``{mean, p5, p95}``."""
        return {"mean": self.mean, "p5": self.p5, "p95": self.p95}


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """Events per inference, one float64 [B] array per bound; exact where the three are equal."""

    low: NDArray[np.float64]
    typ: NDArray[np.float64]
    high: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Make the arrays read-only and check their order."""
        for name in ("low", "typ", "high"):
            array = np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64))
            object.__setattr__(self, name, frozen(array))
        ordered = (self.low >= 0) & (self.low <= self.typ) & (self.typ <= self.high)
        if not ordered.all():
            raise RangeError("count: needs 0 <= low <= typ <= high for every sample")

    @staticmethod
    def exactly(values: Any) -> Count:
        """Return a count that is known exactly; ``values`` is [B] or one number."""
        return Count(values, values, values)

    def __add__(self, other: Count) -> Count:
        """Add sample by sample, bound by bound."""
        return Count(self.low + other.low, self.typ + other.typ, self.high + other.high)

    def times(self, low: float, typ: float, high: float) -> Count:
        """Multiply each bound by its own factor."""
        return Count(self.low * low, self.typ * typ, self.high * high)

    def scaled(self, factor: float) -> Count:
        """Multiply all bounds by one factor."""
        return self.times(factor, factor, factor)

    @property
    def exact(self) -> bool:
        """Whether the count is known exactly for every sample."""
        return bool((self.low == self.high).all())

    def mean(self) -> Interval:
        """Return the mean over the samples of each bound."""
        low, typ, high = (float(a.mean()) for a in (self.low, self.typ, self.high))
        # Rounding of the three sums may differ in the last bit.
        return Interval(min(low, typ), typ, max(typ, high))

    def as_dict(self) -> dict[str, Any]:
        """Return the bounds' means, the spread of the typical count, and whether it is exact."""
        spread = Spread.of(self.typ).as_dict()
        return {**spread, "low": self.mean().low, "high": self.mean().high, "exact": self.exact}
