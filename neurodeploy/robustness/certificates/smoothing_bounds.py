"""Bounds of randomised smoothing that rounding cannot make too good.

Every float here is proposed by scipy and accepted only where decimal arithmetic with 60 digits
confirms it; else it is made worse until it is confirmed. The decimal sums below have errors under
``SLACK``, which every comparison leaves as room.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

from scipy.special import ndtri
from scipy.stats import beta

from neurodeploy.errors import RangeError

#: Every operation below runs in it; Decimal's default has 28 digits.
_CONTEXT = Context(prec=60)
#: Far above the error of any sum in this module, far below the spacing of 64-bit probabilities.
SLACK = Decimal("1e-45")
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
_NEGLIGIBLE = Decimal("1e-58")


def normal_tail(x: Decimal) -> Decimal:
    """Return P(Z > x) of a standard normal Z, with an absolute error below ``SLACK``.

    For x >= 0 by the series ``1/2 - phi(x) * (x + x^3/3 + x^5/(3*5) + ...)``, whose terms are all
    positive. Source: Abramowitz and Stegun, 26.2.11.
    """
    if x >= 15:  # the tail is below 4e-51
        return Decimal(0)
    with localcontext(_CONTEXT):
        if x < 0:
            return 1 - normal_tail(x.copy_negate())
        square = x * x
        term = total = x
        odd = 1
        while term > total * _NEGLIGIBLE or square > odd:
            odd += 2
            term = term * square / odd
            total += term
        density = (-square / 2).exp() / (2 * _PI).sqrt()
        return max(Decimal(0), Decimal("0.5") - density * total)


def normal_quantile_below(p: Decimal) -> float:
    """Return a float t > 0 with ``P(Z <= t) < p`` for certain, as large as is easily found.

    Returns 0.0 where p is at most 1/2 or too close to it.
    """
    if p >= 1:
        raise RangeError(f"normal quantile: probability {p} is not below 1")
    t, less = float(ndtri(float(p))), 2.0**-48
    with localcontext(_CONTEXT):
        while t > 0:
            if 1 - normal_tail(Decimal(t)) + SLACK < p:
                return t
            t, less = t - max(t, 1.0) * less, 2 * less
    return 0.0


def binomial_tail(n: int, k: int, p: Decimal) -> Decimal:
    """Return an upper bound of P(Bin(n, p) >= k), at most ``SLACK`` above it; 0 < p < k / n."""
    with localcontext(_CONTEXT):
        odds = p / (1 - p)
        term = Decimal(math.comb(n, k)) * p**k * (1 - p) ** (n - k)
        total = Decimal(0)
        for j in range(k, n + 1):
            total += term
            ratio = odds * (n - j) / (j + 1)
            # The ratios fall, so that what is left is below a geometric series.
            if term * ratio < _NEGLIGIBLE * (1 - ratio):
                break
            term *= ratio
        return total + SLACK


def clopper_pearson_below(k: int, n: int, alpha: float) -> float:
    """Return a one-sided lower confidence limit for a probability, from ``k`` of ``n`` draws.

    With probability at least ``1 - alpha`` over the draws the true probability is above it: it is
    confirmed that ``P(Bin(n, limit) >= k) <= alpha``. Source: Clopper and Pearson, Biometrika 1934.

    Raises
    ------
    RangeError
        Unless 0 <= k <= n, n >= 1 and 0 < alpha < 1/2.
    """
    if not (0 <= k <= n and n >= 1 and 0 < alpha < 0.5):
        raise RangeError(
            f"confidence limit: {k} of {n} draws at alpha {alpha}; needs 0 <= k <= n, n >= 1 and "
            "0 < alpha < 1/2"
        )
    if k == 0:
        return 0.0
    limit, less = float(beta.ppf(alpha, k, n - k + 1)), 2.0**-44
    while limit > 0:
        if binomial_tail(n, k, Decimal(limit)) <= Decimal(alpha):
            return limit
        limit, less = limit * (1 - less), 2 * less
    return 0.0
