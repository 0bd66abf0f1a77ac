"""Samples that occur more than once: a sample with its copies is one cluster."""

from __future__ import annotations

import numpy as np
import pytest
from robustness.standins import Linear, random_linear

from neurodeploy.errors import InputError
from neurodeploy.robustness import RobustnessConfig, evaluate_classifiers
from neurodeploy.robustness.sample_clusters import (
    effective_share,
    independent_share,
    sample_clusters,
)
from neurodeploy.robustness.statistics import paired_drop


def test_same_codes_and_same_label_are_one():
    codes = np.array([[1, 2], [3, 4], [1, 2], [1, 2], [2, 1]], np.int32)
    labels = np.array([0, 0, 0, 1, 0])
    assert sample_clusters(codes, labels).tolist() == [0, 1, 0, 2, 3]
    assert sample_clusters(codes[[0, 1, 3]], labels[[0, 1, 3]]) is None


def test_what_copies_are_worth():
    assert independent_share(None) == 1.0
    assert independent_share(np.array([0, 1, 2])) == 1.0
    assert independent_share(np.array([0, 0, 1, 1])) == 0.5
    uneven = np.array([0, 0, 0, 1])
    assert independent_share(uneven) == pytest.approx(16 / 10 / 4)
    assert independent_share(uneven, np.array([True, False, False, True])) == 1.0
    assert independent_share(uneven, np.zeros(4, bool)) == 1.0
    # The images that changed are the repeated ones: the variance says less than the sizes.
    clusters = np.array([0] * 10 + [*range(1, 91)])
    change = (clusters == 0).astype(np.int64)
    assert effective_share(change, clusters) < 0.2 < independent_share(clusters)
    assert effective_share(np.zeros(100, np.int64), clusters) == independent_share(clusters)


def outcomes(rng, clusters, lost, gained):
    """Right [n] twice, alike within a cluster, with these shares of the clusters."""
    u = rng.random(int(clusters.max()) + 1)[clusters]
    return u >= gained, u < 1 - lost


def test_no_repeat_is_bit_for_bit_what_it_was():
    first, second = outcomes(np.random.default_rng(0), np.arange(300), 0.05, 0.02)
    plain = paired_drop(first, second, 2000, 7)
    other = paired_drop(first, second, 2000, 7, np.random.default_rng(1).permutation(300))
    assert (plain.replicates == other.replicates).all()
    assert plain.interval(0.95) == other.interval(0.95)
    assert other.effective == 1.0


def test_every_sample_twice_tells_no_more_than_once():
    first, second = outcomes(np.random.default_rng(1), np.arange(400), 0.06, 0.02)
    once = paired_drop(first, second, 20_000, 3)
    twice = paired_drop(
        np.tile(first, 2), np.tile(second, 2), 20_000, 3, np.tile(np.arange(400), 2)
    )
    assert (twice.lost, twice.gained, twice.n) == (2 * once.lost, 2 * once.gained, 800)
    assert twice.effective == pytest.approx(0.5)
    np.testing.assert_allclose(twice.interval(0.95), once.interval(0.95), atol=2e-3)
    assert twice.p_lost(0.02) == pytest.approx(once.p_lost(0.02), abs=0.01)
    believed = paired_drop(np.tile(first, 2), np.tile(second, 2), 20_000, 3)
    assert believed.interval(0.95)[1] < twice.interval(0.95)[1]


def test_the_bootstrap_draws_whole_clusters():
    """Against resampling written out, with outcomes that differ within a cluster."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    first, second = rng.random(clusters.size) < 0.8, rng.random(clusters.size) < 0.7
    found = paired_drop(first, second, 20_000, 1, 5 * clusters + 3)  # any numbers will do
    change = first.astype(int) - second
    members = [change[clusters == c] for c in range(60)]
    drawn = []
    for _ in range(4000):
        whole = np.concatenate([members[c] for c in rng.integers(0, 60, 60)])
        drawn.append(whole.mean())
    assert found.replicates.std() == pytest.approx(np.std(drawn), rel=0.05)
    for q in (0.05, 0.5, 0.95):
        assert np.quantile(found.replicates, q) == pytest.approx(np.quantile(drawn, q), abs=0.01)


@pytest.mark.parametrize("shares", [(0.03, 0.01), (0.1, 0.05)])
def test_limits_hold_with_copies_and_not_without_knowing_of_them(shares):
    rng = np.random.default_rng(3)
    truth, hold, blind = shares[0] - shares[1], [0, 0], [0, 0]
    for i in range(300):
        clusters = np.repeat(np.arange(200), rng.choice([1, 2, 8], 200))
        pair = outcomes(rng, clusters, *shares)
        for count, drop in (
            (hold, paired_drop(*pair, 1000, i, clusters)),
            (blind, paired_drop(*pair, 1000, i)),
        ):
            count[0] += drop.lower(0.95) <= truth
            count[1] += drop.upper(0.95) >= truth
    assert min(hold) >= 276, "92 % of 300"
    assert min(blind) < 276


def test_rows_take_copies_together():
    """Deterministic networks and attack: three copies change no interval but by the bootstrap."""
    first = random_linear(1, 4, 2, 15, largest=4)
    rng = np.random.default_rng(51)
    second = Linear(first.weight + rng.integers(-1, 2, first.weight.shape), first.bias, 15)
    codes = np.unique(rng.integers(0, 16, (120, 4)).astype(np.int32), axis=0)
    labels = np.maximum(first.predict(codes), 0)
    config = RobustnessConfig(("fgsm",), (1, 2), bootstrap=10_000)
    pair = {"float": first, "fixed": second}
    once = evaluate_classifiers(pair, codes, labels, config)
    thrice = evaluate_classifiers(pair, np.tile(codes, (3, 1)), np.tile(labels, 3), config)
    for key in ("float_ci95", "fixed_ci95"):
        np.testing.assert_allclose(thrice.clean_accuracy[key], once.clean_accuracy[key], atol=1e-9)
    for one, three in zip(once.rows, thrice.rows, strict=True):
        assert three["n"] == 3 * one["n"]
        for key in ("float", "fixed", "lost", "gained"):
            assert three[key] == one[key], "the premise"
        for key in ("float_ci95", "fixed_ci95", "lost_ci95", "gained_ci95", "retention_ci95",
                    "detectable_drop"):  # fmt: skip
            np.testing.assert_allclose(three[key], one[key], atol=1e-9)
        np.testing.assert_allclose(three["drop_ci95"], one["drop_ci95"], atol=0.01)


def test_clusters_that_do_not_fit():
    with pytest.raises(InputError, match="4 cluster numbers for 5 images"):
        paired_drop(np.ones(5, bool), np.ones(5, bool), 1000, 0, np.zeros(4, np.int64))
