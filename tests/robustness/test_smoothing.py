"""Randomised smoothing: radii that are known in closed form, and deliberate mistakes caught."""

import dataclasses
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm
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
from neurodeploy.robustness.certificates.smoothing_noise import GridGaussian, noise_stream
from neurodeploy.simulate import run_fixed

MAX = 255


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
