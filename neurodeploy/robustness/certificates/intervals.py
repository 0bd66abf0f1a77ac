"""Interval arithmetic on the integers of the chip: every rule exact on both ends.

All rules but the wraps are monotone, so that the image of an interval is bounded by the images of
its ends: a sum; a shift (floor) by a constant; a clip; and the decay ``D(x, k) = sign(x) *
((|x| * k) >> 12)`` for k >= 0, because ``(n * k) >> 12`` never falls while n >= 0 grows and D is
odd. An interval that lies within one period of a wrap moves with it; one that crosses becomes all
that can come out.

Arrays are int64. What goes in is an int32 at most, times a decay of at most 2^12 or a gain of at
most 2^16, or shifted left by at most 31: below 2^63 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.registers import DECAY_BITS, V_MAX

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Beyond every number here.
_BEYOND = np.int64(2**62)
#: Entries of an array axis: all of them in order.
ALL = slice(None)

_HALF_32, _PERIOD_32 = 2**31, 2**32
_WRAP_AT, _PERIOD_24 = 2**23, 2**24


class Interval(NamedTuple):
    """All integers from ``lo`` to ``hi``, both included; int64 arrays of one shape."""

    lo: Integers
    hi: Integers


def exactly(values: NDArray[np.integer]) -> Interval:
    """Return the intervals that hold ``values`` alone."""
    wide = values.astype(np.int64)
    return Interval(wide, wide)


def add(first: Interval, second: Interval) -> Interval:
    """Return what the sum of one value of each may be."""
    return Interval(first.lo + second.lo, first.hi + second.hi)


def offset(x: Interval, number: Integers) -> Interval:
    """Return ``x + number``."""
    return Interval(x.lo + number, x.hi + number)


def where_possible(may: Flags, x: Interval) -> Interval:
    """Return ``x`` where it may be, else an empty interval, which adds nothing to a hull."""
    return Interval(np.where(may, x.lo, _BEYOND), np.where(may, x.hi, -_BEYOND))


def hull_of(cases: Sequence[Interval]) -> Interval:
    """Return the smallest interval around all cases."""
    return Interval(
        np.minimum.reduce([x.lo for x in cases]), np.maximum.reduce([x.hi for x in cases])
    )


def choose(where: Flags, first: Interval, second: Interval) -> Interval:
    """Return ``first`` where ``where`` holds, else ``second``."""
    return Interval(np.where(where, first.lo, second.lo), np.where(where, first.hi, second.hi))


def meet(first: Interval, second: Interval) -> Interval:
    """Return what lies in both; both must hold the true value, or the result is empty."""
    return Interval(np.maximum(first.lo, second.lo), np.minimum(first.hi, second.hi))


def decay(x: Interval, keep: Integers) -> Interval:
    """Return ``D(x, keep)``, truncated toward zero."""
    return Interval(_decay(x.lo, keep), _decay(x.hi, keep))


def _decay(x: Integers, keep: Integers) -> Integers:
    kept = (np.abs(x) * keep) >> DECAY_BITS
    return np.where(x < 0, -kept, kept)


def shift(x: Interval, exponent: int) -> Interval:
    """Return ``x << exponent``, or ``x >> -exponent`` (floor)."""
    if exponent >= 0:
        return Interval(x.lo << exponent, x.hi << exponent)
    return Interval(x.lo >> -exponent, x.hi >> -exponent)


def scale(x: Interval, factor: int) -> Interval:
    """Return ``x * factor`` for a factor of at least 0."""
    return Interval(x.lo * factor, x.hi * factor)


def clip(x: Interval) -> tuple[Interval, Flags]:
    """Return ``x`` clipped to -V_MAX .. V_MAX, and where that may change it."""
    clipped = Interval(np.clip(x.lo, -V_MAX, V_MAX), np.clip(x.hi, -V_MAX, V_MAX))
    return clipped, (clipped.lo != x.lo) | (clipped.hi != x.hi)


def exceeds(x: Interval, threshold: Integers) -> tuple[Flags, Flags]:
    """Return where ``x > threshold`` (strict) surely holds, and where it may."""
    return x.lo > threshold, x.hi > threshold


def wrap32(x: Interval) -> tuple[Interval, Flags]:
    """Return ``x`` reduced to an int32, and where that may change it."""
    return _wrap(x, _HALF_32, _PERIOD_32)


def wrap_convolution(x: Interval) -> tuple[Interval, Flags]:
    """Return ``((x + 2^23) mod 2^24) - 2^23``, and where that may change it."""
    return _wrap(x, _WRAP_AT, _PERIOD_24)


def _wrap(x: Interval, half: int, period: int) -> tuple[Interval, Flags]:
    first, last = (x.lo + half) // period, (x.hi + half) // period
    crosses = first != last
    moved = Interval(x.lo - first * period, x.hi - first * period)
    low, high = np.int64(-half), np.int64(half - 1)
    full = Interval(np.where(crosses, low, moved.lo), np.where(crosses, high, moved.hi))
    return full, crosses | (first != 0)


def wrap24_once(x: Interval) -> tuple[Interval, Flags]:
    """Return u's single wrap, and where it may change x.

    ``x - 2^24`` for x > 2^23, ``x + 2^24`` for x <= -2^23; what is further out stays outside 24
    bits. The parts of an interval below, inside and above are moved apart and hulled.
    """
    below, above = x.lo <= -_WRAP_AT, x.hi > _WRAP_AT
    inside = (x.lo <= _WRAP_AT) & (x.hi > -_WRAP_AT)
    low, middle, high = (
        Interval(x.lo + _PERIOD_24, np.minimum(x.hi, -_WRAP_AT) + _PERIOD_24),
        Interval(np.maximum(x.lo, -_WRAP_AT + 1), np.minimum(x.hi, _WRAP_AT)),
        Interval(np.maximum(x.lo, _WRAP_AT + 1) - _PERIOD_24, x.hi - _PERIOD_24),
    )
    cases = [
        where_possible(below, low), where_possible(inside, middle), where_possible(above, high),
    ]  # fmt: skip
    return hull_of(cases), below | above
