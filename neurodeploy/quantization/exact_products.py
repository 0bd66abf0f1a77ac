"""Matrix products in float64 that do not depend on the order in which they are summed.

A library of matrix products cuts its work by the number of threads, and sums round otherwise. Here
every factor is cut into two parts of few bits, so that all products of parts, and all their sums,
are whole numbers below 2**53: exact in any order, with fused steps or without. Only the product of
the two low parts is left out, about 2**-40 of the largest terms. The idea of such parts: Ozaki,
Ogita, Oishi and Rump, "Error-free transformations of matrix multiplication", Numer. Algorithms,
2012.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Whole numbers up to this power of two are exact in float64, and so are their sums.
_EXACT_BITS = 53


class _Parts(NamedTuple):
    """``values`` is nearly ``high * 2**exponent + low * 2**(exponent - bits)``; whole numbers."""

    high: Floats
    low: Floats
    exponent: int
    bits: int


def product(a: Floats, b: Floats) -> Floats:
    """Return ``a @ b`` [m, n] of finite ``a`` [m, k] and ``b`` [k, n], the same on any machine.

    The result is within about ``k * 2**-(2 bits)`` of ``abs(a).max() * abs(b).max()``, with
    ``2 bits = 53 - log2(k)``.
    """
    one, other = _parts(a, a.shape[1]), _parts(b, a.shape[1])
    mixed = one.high @ other.low + one.low @ other.high
    total = one.high @ other.high + np.ldexp(mixed, -one.bits)
    return np.asarray(np.ldexp(total, one.exponent + other.exponent))


def gram(rows: Floats) -> Floats:
    """Return ``rows.T @ rows`` [n, n] of finite ``rows`` [k, n], as ``product`` would."""
    own = _parts(rows, rows.shape[0])
    mixed = own.high.T @ own.low
    total = own.high.T @ own.high + np.ldexp(mixed + mixed.T, -own.bits)
    return np.asarray(np.ldexp(total, 2 * own.exponent))


def _parts(values: Floats, terms: int) -> _Parts:
    """Cut into whole numbers of which ``terms`` products add up exactly."""
    # Two sums of mixed products are added, which takes a bit.
    bits = (_EXACT_BITS - 1 - math.ceil(math.log2(max(terms, 1)))) // 2
    largest = float(np.abs(values).max(initial=0.0))
    exponent = math.frexp(largest)[1] - bits
    scaled = np.ldexp(values, -exponent)
    high = np.rint(scaled)
    low = np.rint(np.ldexp(scaled - high, bits))
    return _Parts(high, low, exponent, bits)
