"""Intervals and tests for accuracies and for the drop between two networks on the same images.

The drop is a mean over images of a difference that is 1 (lost), -1 (gained) or 0. Its interval
comes from a bootstrap over images. Resampling n images with replacement is a multinomial draw of
the counts of lost, gained and unchanged images, so that is what is drawn.

The percentile interval is used, not BCa: the statistic is a plain mean, so its bootstrap has no
bias to correct, and what skewness is left matters only when few images changed. There every
bootstrap fails: with no lost image among 20 it says that the drop is 0 for certain, and its 95 %
upper limit holds in 93 % of cases at 3 % lost and 1 % gained (n = 360), in 76 % at 0.4 and 0.1 %
(exact sums over all outcomes). So each limit is the wider of the bootstrap's and of the score
interval for paired proportions (Tango, Statistics in Medicine 17, 1998); together they hold in at
least 95 % in all cases computed.

Where samples repeat, the bootstrap draws a sample with all its copies, and the score limits and
Wilson intervals take as many images as the copies are worth together (``sample_clusters.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from neurodeploy.errors import InputError
from neurodeploy.robustness.sample_clusters import Clusters, cluster_replicates, effective_share

#: Beyond this many images the answer of ``needed_n`` is "no practical number".
NEEDED_N_MAX = 100_000


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided Wilson score interval of a share, as fractions.

    (0, 1) for ``n`` = 0: nothing is known. Counts may be fractional: repeated samples weigh less.
    """
    if not 0 <= successes <= n:
        raise InputError(f"Wilson interval: {successes} successes among {n}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (middle - half) / scale
    high = 1.0 if successes == n else (middle + half) / scale
    return low, high


def score_z(lost: float, gained: float, n: float, drop: float) -> float:
    """Return Tango's score statistic of the hypothesis that the true drop is ``drop``.

    Positive when the observed drop is larger; standard normal in large samples. ``lost`` and
    ``gained`` are counts and may be fractional (for planning).
    """
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * drop
    c = -gained * drop * (1 - drop)
    # Likelihood estimate of the share gained under the hypothesis.
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * share + drop * (1 - drop))
    difference = lost - gained - n * drop
    if variance <= 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def score_limit(lost: float, gained: float, n: float, confidence: float, upper: bool) -> float:
    """Return the one-sided limit of the drop at ``confidence`` by Tango's score interval."""
    if not upper:
        return -score_limit(gained, lost, n, confidence, upper=True)
    z = NormalDist().inv_cdf(confidence)
    observed = (lost - gained) / n
    edge = 1 - 1e-9
    if observed >= edge or score_z(lost, gained, n, edge) + z > 0:
        return 1.0
    return float(brentq(lambda drop: score_z(lost, gained, n, drop) + z, observed, edge))


@dataclass(frozen=True, slots=True, eq=False)
class PairedDrop:
    """The drop from one network to another on the same images, with its uncertainty.

    Parameters
    ----------
    lost, gained, n : int
        Images right on the first network alone, on the second alone, and all images.
    replicates : float64 [R]
        Bootstrap distribution of the drop.
    effective : float
        Share of the outcomes that are worth an independent image (1: each is its own image).
    """

    lost: int
    gained: int
    n: int
    replicates: NDArray[np.float64]
    effective: float = 1.0

    @property
    def drop(self) -> float:
        """Share lost minus share gained."""
        return (self.lost - self.gained) / self.n

    def lower(self, confidence: float) -> float:
        """Return the one-sided lower limit at ``confidence``; the wider of the two methods."""
        percentile = np.quantile(self.replicates, 1 - confidence, method="lower")
        score = score_limit(*self.independent, confidence, upper=False)
        return min(float(percentile), score)

    def upper(self, confidence: float) -> float:
        """Return the one-sided upper limit at ``confidence``; the wider of the two methods."""
        percentile = np.quantile(self.replicates, confidence, method="higher")
        score = score_limit(*self.independent, confidence, upper=True)
        return max(float(percentile), score)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided interval at ``confidence``."""
        one_sided = 0.5 + confidence / 2
        return self.lower(one_sided), self.upper(one_sided)

    def p_lost(self, tolerance: float) -> float:
        """Return the p-value of "the drop is at most ``tolerance``"; the larger of both methods.

        It is below 1 - confidence where ``lower(confidence)`` is above ``tolerance``.
        """
        below = int((self.replicates <= tolerance).sum())
        percentile = (1 + below) / (1 + self.replicates.size)
        score = 1 - NormalDist().cdf(score_z(*self.independent, tolerance))
        return max(percentile, score)

    @property
    def independent(self) -> tuple[float, float, float]:
        """Lost, gained and all, as many as independent images would give."""
        return (
            self.lost * self.effective,
            self.gained * self.effective,
            self.n * self.effective,
        )


def paired_drop(
    first_right: NDArray[np.bool_],
    second_right: NDArray[np.bool_],
    replicates: int,
    seed: int,
    clusters: Clusters | None = None,
) -> PairedDrop:
    """Compare two networks on the same images, [n] each, with a bootstrap over images.

    Parameters
    ----------
    clusters : int64 [n] or None
        Images with one number are copies and are drawn together (``sample_clusters``); None, or
        numbers that are all different: each image is its own.

    Raises
    ------
    InputError
        If there is no image, or the two do not belong together.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise InputError(f"paired drop: shapes {first.shape} and {second.shape}; needs [n] twice")
    n = int(first.size)
    lost, gained = int((first & ~second).sum()), int((~first & second).sum())
    rng = np.random.default_rng(seed)
    if clusters is not None:
        if clusters.shape != first.shape:
            raise InputError(f"paired drop: {clusters.size} cluster numbers for {n} images")
        if np.unique(clusters).size < n:
            change = first.astype(np.int64) - second
            drawn = cluster_replicates(change, clusters, replicates, rng)
            return PairedDrop(lost, gained, n, drawn, effective_share(change, clusters))
    counts = rng.multinomial(n, np.array([lost, gained, n - lost - gained]) / n, size=replicates)
    return PairedDrop(lost, gained, n, (counts[:, 0] - counts[:, 1]) / n)


def holm(p_values: Sequence[float], alpha: float = 0.05) -> tuple[bool, ...]:
    """Return which hypotheses Holm's step-down procedure rejects at family level ``alpha``."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, index in enumerate(order):
        if p_values[index] > alpha / (len(order) - rank):
            break
        rejected[index] = True
    return tuple(rejected)


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> tuple[float, ...]:
    """Return up to which p-value ``holm`` would reject each hypothesis, the others as they are."""
    count = len(p_values)
    levels = []
    for index in range(count):
        others = sorted(p for i, p in enumerate(p_values) if i != index)
        rank = 0
        while rank < count - 1 and others[rank] <= alpha / (count - rank):
            rank += 1
        levels.append(alpha / (count - rank))
    return tuple(levels)


def detectable_drop(
    lost: float, gained: float, n: float, confidence: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest true drop that a test of "no drop" would find with ``power``, a fraction.

    For the paired test of two proportions on ``n`` independent images, of which a share psi changes
    in either direction: delta = (z_confidence sqrt(psi) + z_power sqrt(psi - delta**2)) / sqrt(n)
    (Connor, Biometrics 43, 1987). psi is (lost + gained + 2) / (n + 4), so that no change among few
    images is not taken for certainty.
    """
    normal = NormalDist()
    psi = min(1.0, (lost + gained + 2) / (n + 4))
    alpha, beta = normal.inv_cdf(confidence), normal.inv_cdf(power)

    def missing(delta: float) -> float:
        spread = alpha * math.sqrt(psi) + beta * math.sqrt(max(psi - delta * delta, 0.0))
        return delta * math.sqrt(n) - spread

    # Beyond psi a drop cannot be: all that change are lost then.
    return float(brentq(missing, 0.0, psi)) if missing(psi) > 0 else psi


def needed_n(
    drop: PairedDrop, tolerance: float, level: float = 0.05, confidence: float = 0.95
) -> int | None:
    """Return how many different images would decide, if the shares lost and gained stayed.

    It asks what the verdict asks: the upper limit at ``confidence``, if the drop is below the
    tolerance, else the p-value of a loss, each with its score and its bootstrap half. The
    bootstrap's is computed, with one and a half standard deviations of what drawing adds, against
    the decision. Counts are whole, so some numbers of images decide a little sooner than larger
    ones: the first is returned (among 200 of the last fifth). The shares will not stay exactly:
    with that many images the chance to decide is about one half, so take more. None if no
    practical number does (the drop equals the tolerance).

    Parameters
    ----------
    level : float
        Up to which p-value the drop is a loss; ``holm_levels`` where it is one of several.
    """
    if drop.drop == tolerance:
        return None
    drawn = drop.replicates.size

    def decides(count: int) -> bool:
        lost = round(drop.lost / drop.n * count)
        gained = min(round(drop.gained / drop.n * count), count - lost)
        below = _chance_at_most(lost / count, gained / count, count, tolerance)
        luck = 1.5 * math.sqrt(below * (1 - below) / drawn)
        counts = (lost, gained, count)
        if drop.drop < tolerance:
            upper = score_limit(*counts, confidence, upper=True)
            return below - luck >= confidence and upper <= tolerance
        score = 1 - NormalDist().cdf(score_z(*counts, tolerance))
        return max((1 + drawn * (below + luck)) / (1 + drawn), score) <= level

    now = math.floor(drop.independent[2])
    high = now + 1
    while not decides(high):
        high *= 2
        if high > NEEDED_N_MAX:
            return None
    low = max(now, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    sooner = np.unique(np.linspace(max(now + 1, 0.8 * high), high, 200).astype(np.int64))
    return next(int(count) for count in sooner if decides(int(count)))


def _chance_at_most(lost: float, gained: float, count: int, tolerance: float) -> float:
    """Return the chance that a bootstrap drop of ``count`` images is at most ``tolerance``.

    The drop is a sum of independent steps 1, -1 and 0, so its distribution is the transform of the
    count-th power of theirs. What lies outside of the window has a chance below 1e-20.
    """
    most = math.floor(tolerance * count) + 1
    while most / count > tolerance:
        most -= 1
    mean = count * (lost - gained)
    reach = 64 + math.ceil(12 * math.sqrt(count * (lost + gained)))
    first = math.floor(mean) - reach
    angles = 2 * np.pi * np.arange(2 * reach) / (2 * reach)
    step = 1 - lost - gained + lost * np.exp(1j * angles) + gained * np.exp(-1j * angles)
    chances = np.fft.fft(step**count * np.exp(-1j * angles * first)).real / angles.size
    return float(np.clip(chances[: max(0, most - first + 1)].sum(), 0.0, 1.0))
