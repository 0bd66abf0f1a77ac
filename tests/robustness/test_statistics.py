"""Intervals and tests, against scipy, brute force and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm

from neurodeploy.errors import InputError
from neurodeploy.robustness.statistics import (
    _chance_at_most,
    detectable_drop,
    holm,
    holm_levels,
    needed_n,
    paired_drop,
    score_limit,
    score_z,
    wilson,
)


def pair(lost, gained, n):
    """Outcomes [n] of two networks with these counts."""
    first, second = np.zeros(n, bool), np.zeros(n, bool)
    first[:lost] = True
    second[lost : lost + gained] = True
    first[lost + gained :] = second[lost + gained :] = True
    return first, second


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (3, 10), (180, 360), (1, 360)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_equals_scipy(successes, n, confidence):
    expected = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(wilson(successes, n, confidence), expected, atol=1e-12)


def test_wilson_of_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(InputError):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "drop"),
    [(5, 2, 100, 0.05), (0, 0, 50, 0.02), (7, 0, 360, 0.02), (3, 9, 40, -0.4), (20, 18, 200, 0.3)],
)
def test_score_statistic_against_a_numeric_likelihood(lost, gained, n, drop):
    """Tango's closed form is the constrained maximum of the trinomial likelihood."""

    def minus_log_likelihood(q):
        cells = [(lost, q + drop), (gained, q), (n - lost - gained, 1 - 2 * q - drop)]
        return -sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

    bounds = (max(0.0, -drop), (1 - drop) / 2)
    q = minimize_scalar(minus_log_likelihood, bounds=bounds, options={"xatol": 1e-12}).x
    z = (lost - gained - n * drop) / math.sqrt(n * (2 * q + drop - drop**2))
    assert score_z(lost, gained, n, drop) == pytest.approx(z, abs=1e-4)


def test_score_limit_is_the_rule_of_three_where_nothing_changed():
    z = norm.ppf(0.95)
    for n in (20, 360):
        expected = z * z / (n + z * z)
        assert score_limit(0, 0, n, 0.95, upper=True) == pytest.approx(expected, rel=1e-6)
        assert score_limit(0, 0, n, 0.95, upper=False) == pytest.approx(-expected, rel=1e-6)
    assert score_limit(10, 0, 10, 0.95, upper=True) == 1.0
    assert score_limit(0, 10, 10, 0.95, upper=False) == -1.0


def test_bootstrap_is_resampling_of_images():
    first, second = pair(17, 8, 120)
    drop = paired_drop(first, second, 20_000, seed=1)
    rng = np.random.default_rng(2)
    chosen = rng.integers(0, 120, (20_000, 120))
    difference = first.astype(int) - second.astype(int)
    resampled = difference[chosen].mean(axis=1)
    for q in (0.025, 0.05, 0.5, 0.95, 0.975):
        close = abs(np.quantile(drop.replicates, q) - np.quantile(resampled, q))
        assert close <= 1.01 / 120
    assert drop.replicates.std() == pytest.approx(resampled.std(), rel=0.03)
    assert (drop.lost, drop.gained, drop.n, drop.drop) == (17, 8, 120, 9 / 120)


def test_limits_are_the_wider_of_both_methods():
    drop = paired_drop(*pair(0, 0, 20), replicates=1000, seed=0)
    assert np.all(drop.replicates == 0)
    assert drop.upper(0.95) > 0.1  # 20 images cannot show that nothing is lost
    assert drop.lower(0.95) < -0.1
    drop = paired_drop(*pair(40, 10, 360), replicates=5000, seed=0)
    low, high = drop.interval(0.95)
    assert low <= np.quantile(drop.replicates, 0.025)
    assert high >= np.quantile(drop.replicates, 0.975)
    assert low < drop.lower(0.95) < drop.drop < drop.upper(0.95) < high


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(0.03, 0.01, 200), (0.005, 0.001, 200), (0.1, 0.05, 60)]
)
def test_one_sided_limits_cover_the_truth(lost, gained, n):
    """Coverage summed over every outcome there can be, not simulated.

    Either method alone falls below 0.94 somewhere.
    """
    truth = round(lost - gained, 6)  # 0.03 - 0.01 is not quite 0.02
    upper = lower = 0.0
    for a in range(int(n * lost + 5 * math.sqrt(n * lost) + 5)):
        for b in range(int(n * gained + 5 * math.sqrt(n * gained) + 5)):
            share = binom.pmf(a, n, lost) * binom.pmf(b, n - a, gained / (1 - lost))
            if share < 1e-6:
                continue
            drop = paired_drop(*pair(a, b, n), replicates=10_000, seed=0)
            upper += share * (drop.upper(0.95) >= truth)
            lower += share * (drop.lower(0.95) <= truth)
    assert 0.95 <= upper <= 0.999
    assert 0.95 <= lower <= 0.999


def test_p_value_agrees_with_the_limit():
    for lost in range(0, 40, 3):
        drop = paired_drop(*pair(lost, 4, 300), replicates=10_000, seed=lost)
        p = drop.p_lost(0.02)
        if p < 0.045:
            assert drop.lower(0.95) > 0.02
        if p > 0.055:
            assert drop.lower(0.95) <= 0.02
    assert paired_drop(*pair(200, 0, 300), replicates=10_000, seed=0).p_lost(0.02) < 1e-3
    assert paired_drop(*pair(0, 0, 300), replicates=10_000, seed=0).p_lost(0.02) > 0.9


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(3, 0, 20), (12, 2, 360), (17, 2, 360), (2, 0, 360)]
)
def test_p_value_is_the_larger_of_both_methods(lost, gained, n):
    drop = paired_drop(*pair(lost, gained, n), replicates=10_000, seed=1)
    score = 1 - norm.cdf(score_z(lost, gained, n, 0.02))
    percentile = (1 + (drop.replicates <= 0.02).sum()) / 10_001
    assert abs(score - percentile) > 1e-3
    assert drop.p_lost(0.02) == pytest.approx(max(score, percentile), abs=1e-9)


def test_paired_drop_refuses_what_is_not_paired():
    with pytest.raises(InputError, match="paired"):
        paired_drop(np.ones(3, bool), np.ones(4, bool), 1000, 0)
    with pytest.raises(InputError, match="paired"):
        paired_drop(np.ones(0, bool), np.ones(0, bool), 1000, 0)


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == (True, False, False, True)
    assert holm([0.04]) == (True,)
    assert holm([0.04, 0.04]) == (False, False)
    assert holm([0.02, 0.04]) == (True, True)
    assert holm([]) == ()


def test_holm_equals_adjusted_p_values():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.uniform(0, 0.1, rng.integers(1, 8))
        order = np.argsort(p)
        adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
        expected = np.empty(len(p), bool)
        expected[order] = adjusted <= 0.05
        assert holm(p.tolist()) == tuple(expected)


def test_holm_levels_say_when_holm_rejects():
    rng = np.random.default_rng(1)
    for _ in range(300):
        p = rng.uniform(0, 0.06, rng.integers(1, 7)).tolist()
        for index, level in enumerate(holm_levels(p)):
            for value, rejected in ((level, True), (level * (1 + 1e-9), False), (0.0, True)):
                asked = [*p[:index], value, *p[index + 1 :]]
                assert holm(asked)[index] == rejected
    assert holm_levels([]) == ()


def counts_like(drop, count):
    """Outcomes of so many images with the shares of ``drop``."""
    return pair(round(drop.lost * count / drop.n), round(drop.gained * count / drop.n), count)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "level"),
    [
        (18, 2, 360, 0.005),
        (14, 2, 360, 0.05),
        (17, 2, 360, 0.005),
        (7, 3, 360, 0.05),
        (31, 7, 997, 0.05),
        (25, 11, 997, 0.05),
        (60, 30, 1797, 0.05),
        (6, 3, 360, 0.05),
        (5, 5, 100, 0.05),
        (30, 5, 1000, 0.05),
        (30, 5, 1000, 0.005),
        (40, 16, 1000, 0.01),
        (18, 0, 1000, 0.05),
        (24, 12, 360, 0.0125),
    ],
)
def test_needed_n_decides_and_nine_tenths_of_it_do_not(lost, gained, n, level):
    drop = paired_drop(*pair(lost, gained, n), replicates=10_000, seed=0)
    needed = needed_n(drop, 0.02, level)

    def decided(count, seed):
        again = paired_drop(*counts_like(drop, count), 10_000, seed)
        if drop.drop < 0.02:
            return again.upper(0.95) <= 0.02
        return again.p_lost(0.02) <= level

    assert needed > n + 1
    assert sum(decided(needed, seed) for seed in range(10)) >= 7
    assert sum(decided(round(0.9 * needed), seed) for seed in range(10)) <= 3


def test_needed_n_of_any_counts():
    """Few images, all lost, all gained, or half of each: a number or None, and no failure."""
    for n in (1, 2, 3, 7):
        for lost in range(n + 1):
            for gained in range(n + 1 - lost):
                drop = paired_drop(*pair(lost, gained, n), replicates=1000, seed=0)
                for tolerance in (0.001, 0.02, 0.5, 0.99):
                    needed = needed_n(drop, tolerance)
                    assert needed is None or needed > n


def test_needed_n_knows_no_number_at_the_tolerance():
    drop = paired_drop(*pair(2, 0, 100), replicates=1000, seed=0)
    assert needed_n(drop, 0.02) is None
    near = paired_drop(*pair(1999, 0, 100_000), replicates=1000, seed=0)
    assert needed_n(near, 0.02) is None


def test_needed_n_counts_different_images_where_there_are_copies():
    """Fifty images, each there eight times: more copies of them would never decide."""
    copies = np.repeat(np.arange(50), 8)
    drop = paired_drop(*pair(8, 0, 400), replicates=10_000, seed=0, clusters=copies)
    assert drop.upper(0.95) > 0.02
    needed = needed_n(drop, 0.02)
    assert needed == needed_n(paired_drop(*pair(1, 0, 50), 10_000, 0), 0.02)
    assert needed is None  # the drop is the tolerance
    less = paired_drop(*pair(4, 0, 400), replicates=10_000, seed=0, clusters=copies)
    assert needed_n(less, 0.02) == pytest.approx(
        needed_n(paired_drop(*pair(4, 0, 400), 10_000, 0), 0.02), rel=0.05
    )


@pytest.mark.parametrize("tolerance", [0.02, 0.005, 0.1])
def test_the_computed_bootstrap_is_the_drawn_one(tolerance):
    for lost, gained, n in ((17, 2, 360), (0, 0, 50), (1, 0, 100), (60, 40, 300), (3, 50, 200)):
        drop = paired_drop(*pair(lost, gained, n), replicates=100_000, seed=3)
        chance = _chance_at_most(lost / n, gained / n, n, tolerance)
        assert chance == pytest.approx((drop.replicates <= tolerance).mean(), abs=0.006)
    # Without gains it is a binomial sum.
    exact = binom.cdf(math.floor(tolerance * 1000 + 1e-9), 1000, 0.03)
    assert _chance_at_most(0.03, 0.0, 1000, tolerance) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize(("lost", "gained", "n"), [(10, 6, 360), (20, 14, 360), (60, 50, 1797)])
def test_detectable_drop_is_found_with_its_power(lost, gained, n):
    """Simulated with the share of changes that the formula takes."""
    drop = detectable_drop(lost, gained, n)
    psi = (lost + gained + 2) / (n + 4)
    rng = np.random.default_rng(0)
    shares = [(psi + drop) / 2, (psi - drop) / 2, 1 - psi]
    counts = rng.multinomial(n, shares, size=20_000)
    found = (counts[:, 0] - counts[:, 1]) / np.sqrt(np.maximum(counts[:, 0] + counts[:, 1], 1))
    assert abs((found > norm.ppf(0.95)).mean() - 0.8) < 0.03


def test_detectable_drop_falls_with_n_and_rises_with_churn():
    assert detectable_drop(5, 5, 1000) < detectable_drop(5, 5, 100)
    assert detectable_drop(5, 5, 360) < detectable_drop(20, 20, 360)
    assert detectable_drop(0, 0, 360) > 0
    assert detectable_drop(0, 0, 2) <= 1
    assert detectable_drop(360, 0, 360) <= 1
    # About two points at the size of the digits' test set and four changes in a hundred.
    assert 0.02 < detectable_drop(7, 6, 360) < 0.03
