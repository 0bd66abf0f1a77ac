"""Accuracy over the strength of a fault, for several draws of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import FixedPointNetwork, Network, decide
from neurodeploy.network.arrays import frozen
from neurodeploy.robustness.faults.fault import Fault, faulty_scores
from neurodeploy.robustness.faults.weights import WeightBitFlips
from neurodeploy.robustness.sample_clusters import independent_share, sample_clusters
from neurodeploy.robustness.statistics import wilson


@dataclass(frozen=True, slots=True, eq=False)
class FaultCurve:
    """Which samples stay right at each strength and seed.

    Parameters
    ----------
    name, unit : str
        Of the fault; what its strength means.
    strengths : tuple of float [S]
    seeds : tuple of int [K]
    right : bool [S, K, B]
        A tie at the top is not right.
    independent : float
        Share of the images that is worth an independent one (1: none is a copy of another).
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]
    right: NDArray[np.bool_]
    independent: float = 1.0

    @property
    def per_seed(self) -> NDArray[np.float64]:
        """Accuracy of each strength and seed, [S, K]."""
        return np.asarray(self.right.mean(axis=2))

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Mean accuracy over the seeds, [S]."""
        return np.asarray(self.per_seed.mean(axis=1))

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of the accuracy from seed to seed, [S]; NaN for a single seed."""
        if len(self.seeds) < 2:
            return np.full(len(self.strengths), np.nan)
        return np.asarray(self.per_seed.std(axis=1, ddof=1))

    def interval(self, confidence: float = 0.95) -> tuple[tuple[float, float], ...]:
        """Return for each strength an interval of the mean accuracy over all images.

        Wilson's, with as many trials as images, however many seeds: draws of a fault on one image
        are no new images, and copies of one image are together worth about one. It says how far
        other images could move the mean (and is wider than need be, since seeds average some of
        an image's chance out); how far other draws could, ``spread`` says.
        """
        images, worth = self.right.shape[2], self.independent
        found = []
        for accuracy in self.accuracy:
            count = accuracy * images
            low, _ = wilson(floor(count + 1e-9) * worth, images * worth, confidence)
            _, high = wilson(ceil(count - 1e-9) * worth, images * worth, confidence)
            found.append((low, high))
        return tuple(found)


def fault_curve(
    net: Network | FixedPointNetwork,
    fault: Fault,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    strengths: Sequence[float],
    seeds: Sequence[int],
    *,
    keys: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> FaultCurve:
    """Measure ``net`` under ``fault`` at every strength, with every seed.

    Parameters
    ----------
    net : Network or FixedPointNetwork
    fault : NetworkFault or RunFault
    codes : int32 [B, n_input]
        Held for ``net.steps`` steps.
    labels : int64 [B]
    strengths, seeds : sequences
    keys : int64 [B] or None
        What the samples are called, for faults that differ from sample to sample.
    threads : int or None
        Of the fixed-point simulator.

    Raises
    ------
    InputError
        If there is no strength or seed, or a strength is out of its range.
    ShapeError
        If labels and codes do not belong together.
    RangeError
        If a label is negative: a tie decides for -1 and is never right.
    """
    if not strengths or not seeds:
        raise InputError(f"fault curve: {len(strengths)} strengths, {len(seeds)} seeds; give one")
    if labels.shape != codes.shape[:1] or codes.shape[0] == 0:
        raise ShapeError(f"fault curve: labels {labels.shape} do not fit codes {codes.shape}")
    if labels.min() < 0:
        raise RangeError(f"fault curve: label {labels.min()}; classes count from 0")
    rows = [
        [
            decide(faulty_scores(fault, net, codes, s, seed, keys=keys, threads=threads)) == labels
            for seed in seeds
        ]
        for s in strengths
    ]
    strength_values = tuple(float(s) for s in strengths)
    seed_values = tuple(int(seed) for seed in seeds)
    worth = independent_share(sample_clusters(codes, labels))
    return FaultCurve(
        fault.name, fault.unit, strength_values, seed_values, frozen(np.array(rows)), worth
    )


def bit_curves(
    net: Network | FixedPointNetwork,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    strengths: Sequence[float],
    seeds: Sequence[int],
    *,
    float_bits: int = 8,
    threads: int | None = None,
) -> tuple[FaultCurve, ...]:
    """Measure flips of one bit position of the weights at a time, lowest first.

    As many curves as the widest weight has bits (``float_bits`` for a float network); see
    WeightBitFlips and ``fault_curve``.
    """
    width = float_bits
    if isinstance(net, FixedPointNetwork):
        width = max((s.weight_bits for s in net.synapses), default=0)
    faults = [WeightBitFlips(position, float_bits) for position in range(width)]
    return tuple(
        fault_curve(net, fault, codes, labels, strengths, seeds, threads=threads)
        for fault in faults
    )
