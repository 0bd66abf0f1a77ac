"""Repeated samples: a sample with all its copies is one cluster, worth about one sample.

Copies of one sample may still differ in their outcome, because random starts hang on the position;
so they are kept, and drawn together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.files import sample_hashes

Clusters = NDArray[np.int64]


def sample_clusters(codes: NDArray[np.int32], labels: NDArray[np.int64]) -> Clusters | None:
    """Return which samples are the same, int64 [n]: same codes and same label; None if none is.

    Parameters
    ----------
    codes : int32 [n, n_input]
    labels : int64 [n]
    """
    numbers: dict[tuple[str, int], int] = {}
    keys = zip(sample_hashes(codes), labels.tolist(), strict=True)
    clusters = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    return None if len(numbers) == labels.size else clusters


def independent_share(clusters: Clusters | None, of: NDArray[np.bool_] | None = None) -> float:
    """Return which share of the samples is worth an independent one, 0..1; 1 without repeats.

    As if copies always had the same outcome, which is the worst case: n samples in clusters of
    n_c are worth n**2 / sum n_c**2 (Kish, Survey Sampling, 1965).

    Parameters
    ----------
    of : bool [n] or None
        Only these samples; None: all.
    """
    if clusters is None:
        return 1.0
    sizes = np.bincount(clusters if of is None else clusters[of])
    n = int(sizes.sum())
    return n / int((sizes * sizes).sum()) if n else 1.0


def cluster_replicates(
    change: NDArray[np.int64], clusters: Clusters, replicates: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return bootstrap means of ``change`` [n] over whole clusters, [replicates].

    As many clusters are drawn as there are; a replicate is the sum of their changes by the number
    of their samples. Clusters of one size and one sum are drawn by their count.
    """
    sizes, sums = _sizes_and_sums(change, clusters)
    kinds, counts = np.unique(np.stack([sizes, sums]), axis=1, return_counts=True)
    drawn = rng.multinomial(sizes.size, counts / sizes.size, size=replicates)
    return np.asarray((drawn @ kinds[1]) / (drawn @ kinds[0]))


def effective_share(change: NDArray[np.int64], clusters: Clusters) -> float:
    """Return which share of the outcomes is worth an independent one, for the mean of ``change``.

    The smaller of ``independent_share`` and of the ratio of variances, independent by clustered:
    the first holds where nothing changed, the second where large clusters change most.
    """
    sizes, sums = _sizes_and_sums(change, clusters)
    rest = sums - sizes * change.mean()
    clustered = float((rest * rest).sum()) / change.size
    ratio = float(change.var()) / clustered if clustered > 0 else 1.0
    return min(independent_share(clusters), ratio)


def _sizes_and_sums(
    change: NDArray[np.int64], clusters: Clusters
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many samples each cluster has and the sum of their changes."""
    _, number, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    sums = np.zeros(sizes.size, dtype=np.int64)
    np.add.at(sums, number, change)
    return sizes.astype(np.int64), sums
