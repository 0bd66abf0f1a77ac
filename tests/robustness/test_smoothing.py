"""Randomised smoothing: exact noise, sound limits, known radii, and deliberate mistakes caught."""

import bisect
import dataclasses
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import beta, binom, norm
from simulate_networks import network, population

from neurodeploy.cost import Interval
from neurodeploy.errors import FileFormatError, InputError, RangeError, ShapeError
from neurodeploy.network import INPUT, FixedSynapse, Readout, decide
from neurodeploy.robustness.certificates import smoothing
from neurodeploy.robustness.certificates.smoothing import (
    SmoothingConfig,
    smooth,
    smooth_classifier,
)
from neurodeploy.robustness.certificates.smoothing_bounds import (
    binomial_tail,
    clopper_pearson_below,
    normal_quantile_below,
    normal_tail,
)
from neurodeploy.robustness.certificates.smoothing_noise import GridGaussian, noise_stream
from neurodeploy.simulate import run_fixed

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
    from math import comb

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


# A classifier whose smoothed form is known: it fires where the first code is above an edge -------

EDGE = 90


def edge_classifier(points):
    assert points.max() <= MAX  # codes that no encoder makes would be another function
    return (points[:, 0] > EDGE).astype(np.int64)


def edge_result(codes, seed=0, sigma=12.0, n=2000, alpha=0.01, **options):
    codes = np.asarray(codes, np.int64)[:, None] + np.array([[0, 40, 200]])
    config = SmoothingConfig(sigma, n0=200, n=n, alpha=alpha, seed=seed)
    labels = (codes[:, 0] > EDGE).astype(np.int64)
    codes = np.clip(codes, 0, MAX)
    return smooth_classifier(edge_classifier, codes, labels, config, max_code=MAX, **options)


def true_radius(codes):
    """Where the smoothed probability of a real point is one half: at the rounding edge."""
    return np.abs(np.asarray(codes) - (EDGE + 0.5))


def too_large(seeds, **options):
    codes = np.arange(70, 112)
    found = [edge_result(codes, seed, **options) for seed in seeds]
    radii = np.array([r.radius_codes for r in found])
    return (radii > true_radius(codes)).mean(), radii, np.array([r.abstain for r in found])


def test_radius_against_the_closed_form():
    """p = Phi(distance / sigma) exactly, so that the true radius is the distance itself."""
    wrong, radii, abstained = too_large(range(12))
    assert wrong <= 0.01 + 3 * (0.01 / 504) ** 0.5
    distance = true_radius(np.arange(70, 112))
    far = distance > 6
    assert not abstained[:, far].any()
    assert (radii[:, far] > 0.75 * distance[far] - 1).all()
    # Half a code beyond the edge nobody can tell, and it says so.
    near = distance < 0.6
    assert abstained[:, near].mean() > 0.8


def test_probability_is_that_of_the_exact_noise():
    result = edge_result([100], n=200_000)
    exact = norm.cdf((100 - EDGE - 0.5) / 12)
    assert result.count[0] / 200_000 == pytest.approx(exact, abs=4 * (0.25 / 200_000) ** 0.5)
    assert result.p_lower[0] < exact
    assert result.radius_codes[0] == pytest.approx(9.5, rel=0.02)


def test_half_the_noise_would_be_seen(monkeypatch):
    exact = GridGaussian.of
    monkeypatch.setattr(smoothing.GridGaussian, "of", lambda sigma, limit: exact(sigma / 2, limit))
    assert too_large(range(3))[0] > 0.5


def test_an_estimate_in_place_of_a_limit_would_be_seen(monkeypatch):
    monkeypatch.setattr(
        smoothing, "clopper_pearson_below", lambda k, n, alpha: min(k / n, 1 - 1e-9)
    )
    assert too_large(range(3))[0] > 0.2


def test_noise_that_is_not_clamped_would_be_seen(monkeypatch):
    def unclamped(self, codes, draws, bits, max_code):
        return codes + self.values(bits.random_raw(draws * codes.size).reshape(draws, -1))

    monkeypatch.setattr(smoothing.GridGaussian, "noisy", unclamped)
    with pytest.raises(AssertionError):
        edge_result([100])


def test_the_class_is_chosen_on_draws_of_its_own():
    """Votes that chose the class and counted for it would favour it: 3 classes by chance alone."""

    def chance(points):
        return (points[:, 1].astype(np.int64) * 7 + points[:, 2]) % 3

    codes = np.full((300, 3), 120)
    config = SmoothingConfig(30.0, n0=15, n=15, alpha=0.05)
    result = smooth_classifier(chance, codes, np.zeros(300, int), config, max_code=MAX)
    assert result.count.mean() / 15 == pytest.approx(1 / 3, abs=0.03)


def test_ties_count_for_no_class_and_all_ties_abstain():
    config = SmoothingConfig(10.0, n0=50, n=400)
    codes, labels = np.full((2, 4), 100), np.array([1, 1])

    def often_tied(points):
        return np.where(points[:, 0] > 100, 1, -1)

    some = smooth_classifier(often_tied, codes, labels, config, max_code=MAX)
    assert (some.top == 1).all()
    assert (some.count < 260).all()
    assert some.abstain.all()

    def tied(points):
        return np.full(len(points), -1)

    none = smooth_classifier(tied, codes, labels, config, max_code=MAX)
    assert (none.top == -1).all()
    assert none.abstain.all()
    assert none.certified_accuracy(0.0) == 0.0
    assert (none.radius_codes == 0).all()


def test_unanimous_votes_give_the_known_limit():
    def sure(points):
        return np.full(len(points), 2)

    config = SmoothingConfig(20.0, n0=5, n=1000, alpha=0.001)
    result = smooth_classifier(sure, np.full((1, 3), 9), [2], config, max_code=MAX, code_step=0.25)
    expected = 20 * norm.ppf(0.001 ** (1 / 1000))
    assert result.radius_codes[0] == pytest.approx(expected, rel=1e-9)
    assert result.radius_codes[0] < expected * (1 + 1e-12)
    assert result.radius_input[0] <= Fraction(result.radius_codes[0]) / 4
    assert result.radius_input[0] == pytest.approx(expected / 4, rel=1e-9)
    assert result.certified_accuracy(expected - 0.01) == 1.0
    assert result.certified_accuracy(expected + 0.01) == 0.0


def test_distance_of_the_table_is_taken_off(monkeypatch):
    sure = np.zeros_like
    config = SmoothingConfig(20.0, n0=5, n=1000)
    codes = np.full((1, 3), 9)

    def result():
        return smooth_classifier(
            lambda x: sure(x[:, 0], np.int64), codes, [0], config, max_code=MAX
        )

    before = result().p_lower[0]
    exact = GridGaussian.of(20.0, MAX)
    coarse = GridGaussian(20.0, MAX, exact.thresholds, Decimal("0.01"), exact._guide)
    monkeypatch.setattr(smoothing.GridGaussian, "of", lambda sigma, limit: coarse)
    assert result().p_lower[0] == pytest.approx(before - 3 * 0.01, rel=1e-12)


# The integer network ----------------------------------------------------------------------------


def small_network():
    rng = np.random.default_rng(3)
    weights = [rng.integers(-30, 34, shape) * 2 for shape in ((9, 6), (3, 9))]
    neurons = population("hidden", 9, v_threshold=16000, decay_u=4095)
    net = network(
        [neurons, population("out", 3, 2, v_threshold=2**17 - 1, decay_u=4095)],
        [
            FixedSynapse("in", INPUT, "hidden", weights[0], 0, "mixed", message_bits=8),
            FixedSynapse("next", "hidden", "out", weights[1], 0, "mixed"),
        ],
        6,
        bits=8,
        steps=7,
    )
    return dataclasses.replace(net, readout=Readout("out", "last_v"))


def samples(count=5):
    return np.random.default_rng(4).integers(0, 256, (count, 6)), np.zeros(count, int)


def test_network_votes_are_those_of_plain_runs():
    net, (codes, labels) = small_network(), samples()
    config = SmoothingConfig(25.0, n0=20, n=150, alpha=0.01, seed=11)
    result = smooth(net, codes, labels, config)
    for i, code in enumerate(codes):
        bits = noise_stream(11, i)
        points = GridGaussian.of(25.0, MAX).noisy(code, 170, bits, MAX)
        decisions = decide(run_fixed(net, points).scores())
        chosen = np.bincount(decisions[:20][decisions[:20] >= 0], minlength=3).argmax()
        assert result.top[i] == chosen
        assert result.count[i] == (decisions[20:] == chosen).sum()
    assert 0 < result.count.min() < 150
    assert len(set(result.top)) > 1


def test_a_subset_and_any_number_of_threads_give_the_same():
    net, (codes, labels) = small_network(), samples()
    config = SmoothingConfig(25.0, n0=20, n=100)
    whole = smooth(net, codes, labels, config, threads=3)
    some = np.array([3, 1])
    part = smooth(net, codes[some], labels[some], config, keys=some, threads=1)
    for name in ("top", "count", "p_lower", "radius_codes", "abstain"):
        assert (getattr(part, name) == getattr(whole, name)[some]).all()


def test_an_interrupted_run_goes_on(tmp_path):
    net, (codes, labels) = small_network(), samples(24)
    config = SmoothingConfig(25.0, n0=10, n=40)
    path = tmp_path / "votes.json"

    def stop(done, total):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smooth(net, codes, labels, config, threads=1, progress=stop, checkpoint=path)
    stored = json.loads(path.read_text())["top"]
    assert 10 <= sum(t != -2 for t in stored) < 24
    steps = []
    again = smooth(
        net, codes, labels, config, checkpoint=path, progress=lambda done, total: steps.append(done)
    )
    assert steps == list(range(11, 25))
    fresh = smooth(net, codes, labels, config)
    assert (again.count == fresh.count).all()
    assert (again.top == fresh.top).all()
    other = SmoothingConfig(25.0, n0=10, n=40, seed=1)
    with pytest.raises(InputError, match="another network"):
        smooth(net, codes, labels, other, checkpoint=path)
    path.write_text("{}")
    with pytest.raises(FileFormatError, match="no checkpoint"):
        smooth(net, codes, labels, config, checkpoint=path)


def test_noisy_codes_are_what_the_network_sees():
    net, (codes, labels) = small_network(), samples()
    config = SmoothingConfig(25.0, n0=3, n=1, seed=5)
    seen = []

    def watch(points):
        seen.append(points)
        return np.zeros(len(points), np.int64)

    keys = np.array([4, 0, 9, 2, 7])
    smooth_classifier(watch, codes, labels, config, max_code=MAX, keys=keys, threads=1)
    found = smoothing.noisy_codes(codes, config, net.encoder.max_code, draws=3, keys=keys)
    assert (found == np.concatenate(seen[::2])).all()
    assert run_fixed(net, found).scores().shape == (15, 3)


def test_it_is_reported_as_another_classifier_with_its_cost():
    net, (codes, labels) = small_network(), samples()
    config = SmoothingConfig(25.0, n0=20, n=100)
    result = smooth(net, codes, labels, config, energy_per_pass_nj=Interval(1.0, 2.0, 5.0))
    assert result.passes_per_decision == 120
    assert result.energy_per_decision_nj == Interval(120.0, 240.0, 600.0)
    document = result.as_dict()
    json.dumps(document, allow_nan=False)
    assert document["passes_per_decision"] == 120
    assert "not the deployed network" in document["classifier"]
    assert smooth(net, codes, labels, config).as_dict()["energy_per_decision_nj"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma_codes": 0.0},
        {"sigma_codes": float("nan")},
        {"sigma_codes": 1.0, "n": 0},
        {"sigma_codes": 1.0, "alpha": 0.6},
        {"sigma_codes": 1.0, "seed": -1},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(RangeError, match="smoothing"):
        SmoothingConfig(**wrong)


def test_samples_that_do_not_fit():
    net, (codes, labels) = small_network(), samples()
    config = SmoothingConfig(1.0, n0=1, n=1)
    with pytest.raises(ShapeError, match="codes"):
        smooth(net, codes[:, :3], labels, config)
    with pytest.raises(ShapeError, match="labels"):
        smooth(net, codes, labels[:2], config)
    with pytest.raises(RangeError, match=r"0\.\.255"):
        smooth(net, codes + 200, labels, config)
    with pytest.raises(ShapeError, match="keys"):
        smooth(net, codes, labels, config, keys=np.arange(2))
