"""Whether everything that the literal interpreter computes lies within given bounds."""

from __future__ import annotations

import numpy as np
from oracles.literal_fixed import LiteralRun

from neurodeploy.network import FixedPointNetwork


def violations(
    net: FixedPointNetwork, bounds, run: LiteralRun, sample, rng: np.random.Generator
) -> list[str]:
    """Return what in ``run`` leaves ``bounds`` (RunBounds); run b belongs to sample ``sample[b]``.

    Checked: every spike, u, v and v_pre; the counts of wraps and clamps; and weighted sums of
    spikes over time, with weights drawn of both signs.
    """
    found = []
    for p in net.populations:
        known = bounds.populations[p.name]
        values = {
            "spikes": known.trains.steps, "u": known.u, "v": known.v, "v_pre": known.v_pre,
        }  # fmt: skip
        for quantity, interval in values.items():
            true = run.records.get(f"{p.name}/{quantity}")
            if true is None:  # a dlif has no u
                continue
            out = (interval.lo[:, sample] > true) | (interval.hi[:, sample] < true)
            if out.any():
                found.append(f"{p.name}/{quantity}: {int(out.sum())} values outside")
        for count, flags in (("wraps", known.wraps), ("clamps", known.clamps)):
            most = flags.sum(axis=(0, 2))[sample]
            if (run.counts[f"{p.name}/{count}"] > most).any():
                found.append(f"{p.name}/{count}: more than bounded")
        spikes = run.records[f"{p.name}/spikes"].astype(np.float64)
        weights = rng.normal(size=(4, len(spikes)))
        weights[0] = 1
        low, high = known.trains.sums(weights)
        true = np.tensordot(weights, spikes, 1)
        if (low[:, sample] > true + 1e-9).any() or (high[:, sample] < true - 1e-9).any():
            found.append(f"{p.name}: weighted sums of spikes outside")
    return found


def points_within(rng: np.random.Generator, lo, hi, each: int):
    """Draw ``each`` points per sample of a box: inside, on its faces, at its corners.

    Returns the points [.., B * each, n] (int64) and the sample of each.
    """
    lo, hi = (np.repeat(np.asarray(x, np.int64), each, axis=-2) for x in (lo, hi))
    inside = rng.integers(lo, hi + 1)
    drawn = rng.random(lo.shape)
    # From all at random to all at an end.
    share = rng.random((*lo.shape[:-1], 1)) / 2
    points = np.where(drawn < share, lo, np.where(drawn > 1 - share, hi, inside))
    count = lo.shape[-2]
    return points, np.arange(count) // each
