"""The numbers under randomised smoothing: normal tails, confidence limits, noise on the grid."""

import bisect
from decimal import Decimal
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from neurodeploy.errors import RangeError
from neurodeploy.robustness.certificates.smoothing_bounds import (
    binomial_tail,
    clopper_pearson_below,
    normal_quantile_below,
    normal_tail,
)
from neurodeploy.robustness.certificates.smoothing_noise import GridGaussian, noise_stream

mpmath = pytest.importorskip("mpmath")
mpmath.mp.dps = 70

MAX = 255


def exact_tail(x):
    return mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) / 2


def as_mp(number):
    return mpmath.mpf(str(number))


# Arithmetic -------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.3, 1.0, 2.5, 4.0, 6.5, 9.25, 13.9, -0.7, -5.0])
def test_normal_tail_to_45_digits(x):
    assert abs(as_mp(normal_tail(Decimal(x))) - exact_tail(x)) < mpmath.mpf("1e-47")


def test_normal_tail_far_out_is_zero_within_the_slack():
    assert exact_tail(15) < mpmath.mpf("1e-45")
    assert normal_tail(Decimal(15)) == 0
    assert normal_tail(Decimal("1e9")) == 0
    assert normal_tail(Decimal(-40)) == 1


@pytest.mark.parametrize("p", ["0.5000001", "0.6", "0.75", "0.9", "0.9993", "0.999999999"])
def test_quantile_is_below_and_close(p):
    t = normal_quantile_below(Decimal(p))
    assert 1 - exact_tail(t) < as_mp(p)
    assert abs(norm.ppf(float(p)) - t) < 1e-7


def test_quantile_of_half_and_less_is_zero():
    assert normal_quantile_below(Decimal("0.5")) == 0.0
    assert normal_quantile_below(Decimal("0.2")) == 0.0
    with pytest.raises(RangeError, match="not below 1"):
        normal_quantile_below(Decimal(1))


@pytest.mark.parametrize(
    ("n", "k", "p"), [(7, 5, 0.25), (40, 30, 0.5), (12, 12, 0.75), (9, 9, 0.5)]
)
def test_binomial_tail_against_fractions(n, k, p):
    exact = binomial_fraction(n, k, Fraction(p))
    found = Fraction(binomial_tail(n, k, Decimal(p)))
    assert exact <= found <= exact + Fraction(1, 10**44)


def binomial_fraction(n, k, p):
    return sum(comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("n", [1, 3, 20, 40])
def test_confidence_limit_is_one_sided_exact_and_below(n, alpha):
    for k in range(n + 1):
        limit = clopper_pearson_below(k, n, alpha)
        if k == 0:
            assert limit == 0.0
            continue
        assert binomial_fraction(n, k, Fraction(limit)) <= Fraction(alpha)
        # One ulp-like step further it is no limit any more: neither loose nor two-sided.
        assert binomial_fraction(n, k, Fraction(limit) * (1 + Fraction(1, 2**30))) > Fraction(alpha)


def test_confidence_limit_of_many_draws():
    for k in (1, 5_000, 9_000, 9_999, 10_000):
        limit = clopper_pearson_below(k, 10_000, 1e-3)
        assert limit == pytest.approx(beta.ppf(1e-3, k, 10_001 - k), rel=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.55, 0.8, 0.97, 0.999])
def test_coverage_over_all_outcomes(p):
    """P(limit > p), added up over every possible count: never above alpha, and not idle."""
    n, alpha = 300, 0.01
    limits = np.array([clopper_pearson_below(k, n, alpha) for k in range(n + 1)])
    assert (np.diff(limits) > 0).all()
    wrong = binom.pmf(np.arange(n + 1), n, p)[limits > p].sum()
    assert wrong <= alpha
    two_sided = np.array([0.0, *beta.ppf(alpha / 2, np.arange(1, n + 1), n - np.arange(n))])
    assert (limits[1:] > two_sided[1:]).all()


@pytest.mark.parametrize(("k", "n", "alpha"), [(-1, 5, 0.1), (6, 5, 0.1), (2, 5, 0.0), (2, 5, 0.5)])
def test_confidence_limit_refuses(k, n, alpha):
    with pytest.raises(RangeError, match="confidence limit"):
        clopper_pearson_below(k, n, alpha)


# Noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 7.3, 63.75, 400.0])
def test_table_is_the_rounded_gaussian(sigma):
    """Every probability against 70 digits; their distance is within the stated bound."""
    noise = GridGaussian.of(sigma, MAX)
    edges = [0, *map(int, noise.thresholds), 2**64]
    assert edges == sorted(edges)
    values = range(noise.lowest, -noise.lowest + 1)
    stored = [mpmath.mpf(b - a) / 2**64 for a, b in zip(edges, edges[1:], strict=False)]
    apart = mpmath.mpf(0)
    for k, share in zip(values, stored, strict=True):
        low = 1 if k == -MAX else exact_tail((k - 0.5) / mpmath.mpf(sigma))
        high = 0 if k == MAX else exact_tail((k + 0.5) / mpmath.mpf(sigma))
        apart += abs(share - (low - high))
    if -noise.lowest < MAX:
        apart += 2 * exact_tail((-noise.lowest + 0.5) / mpmath.mpf(sigma))
    assert apart / 2 <= as_mp(noise.distance) <= apart / 2 + mpmath.mpf("1e-40")
    assert noise.distance < Decimal("1e-16")


@pytest.mark.parametrize("sigma", [0.3, 5.0, 63.75])
def test_each_word_means_the_number_of_thresholds_below(sigma):
    noise = GridGaussian.of(sigma, MAX)
    edges = noise.thresholds.astype(object)
    words = {0, 2**64 - 1, *(int(e) + d for e in edges for d in (-1, 0, 1))}
    words |= {c * 2**48 + d for c in range(0, 2**16, 997) for d in (0, 2**48 - 1)}
    words = sorted(w for w in words if 0 <= w < 2**64)
    found = noise.values(np.array(words, dtype=np.uint64))
    assert list(found) == [bisect.bisect_right(edges, w) + noise.lowest for w in words]


def test_drawn_frequencies():
    noise = GridGaussian.of(2.0, MAX)
    drawn = noise.values(noise_stream(5, 0).random_raw(200_000))
    for k in range(-6, 7):
        share = norm.cdf((k + 0.5) / 2) - norm.cdf((k - 0.5) / 2)
        assert (drawn == k).mean() == pytest.approx(share, abs=5 * (share / 200_000) ** 0.5)


def test_noisy_codes_are_clamped_and_do_not_depend_on_batches():
    noise = GridGaussian.of(100.0, MAX)
    codes = np.array([0, 3, 128, 255], np.int32)
    bits = noise_stream(1, 7)
    whole = noise.noisy(codes, 500, noise_stream(1, 7), MAX)
    parts = [noise.noisy(codes, count, bits, MAX) for count in (1, 99, 400)]
    assert (np.concatenate(parts) == whole).all()
    raw = codes + noise.values(noise_stream(1, 7).random_raw(2000).reshape(500, 4))
    assert raw.min() < 0
    assert raw.max() > MAX
    assert (whole == np.clip(raw, 0, MAX)).all()
    assert whole.dtype == np.uint8
    assert not (whole == noise.noisy(codes, 500, noise_stream(1, 8), MAX)).all()
    assert not (whole == noise.noisy(codes, 500, noise_stream(2, 7), MAX)).all()


def test_noise_of_wide_codes():
    noise = GridGaussian.of(200.0, 1023)
    points = noise.noisy(np.full(50, 960), 40, noise_stream(0, 0), 1023)
    assert points.dtype == np.uint16
    assert points.max() == 1023
