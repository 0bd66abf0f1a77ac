"""Neurons that differ from what was designed: thresholds and decays with a relative spread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import V_THRESHOLD_MAX, FixedPopulation, Population
from neurodeploy.robustness.faults.fault import N, spread, stream


@dataclass(frozen=True, slots=True)
class ThresholdMismatch:
    """Multiply the distance from reset to threshold by a log-normal factor per neuron.

    The factor is ``exp(strength * z)`` with z standard normal: its median is 1, and for small
    strengths the strength is its relative standard deviation. Equal seeds give equal z at all
    strengths. In fixed point v is 0 after reset, so the distance is the threshold: the product is
    rounded half to even and kept in its register, 0..131071. In float it is ``v_threshold -
    v_reset`` for a reset to a value, else ``v_threshold``. What cannot fire (an infinite
    threshold, or the register's end) still cannot.
    """

    name: str = "threshold mismatch"
    unit: str = "relative sigma"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with other thresholds; see ``NetworkFault.apply``."""
        sigma = spread(self.name, strength)
        found: list[FixedPopulation | Population] = []
        for p in net.populations:
            factor = _factors(self.name, p.name, p.size, sigma, seed)
            if isinstance(p, FixedPopulation):
                threshold = p.v_threshold.astype(np.int64)
                moved = _in_register(threshold, factor, 0, V_THRESHOLD_MAX)
                value = np.where(threshold >= V_THRESHOLD_MAX, threshold, moved)
                found.append(replace(p, v_threshold=value.astype(np.int32)))
            else:
                found.append(replace(p, v_threshold=_moved_threshold(p, factor)))
        return replace(net, populations=tuple(found))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class DecayMismatch:
    """Multiply what a neuron loses per step, of membrane and current, by log-normal factors.

    Factors as in ThresholdMismatch; membrane and current have one each per neuron. The share lost
    stays within 0..1, in fixed point rounded half to even and kept in its register (``decay_v``
    0..4096, ``decay_u`` 0..4095). What keeps everything or nothing is no decay that could differ,
    and stays. The factor on the input stays as well.
    """

    name: str = "decay mismatch"
    unit: str = "relative sigma"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with other decays; see ``NetworkFault.apply``."""
        sigma = spread(self.name, strength)
        found: list[FixedPopulation | Population] = []
        for p in net.populations:
            changed: dict[str, Any] = {}
            for field, limit in (("decay_v", 4096), ("decay_u", 4095)):
                values = getattr(p, field)
                if values is None:
                    continue
                factor = _factors(f"{self.name}/{field}", p.name, p.size, sigma, seed)
                if isinstance(p, FixedPopulation):
                    moved = _in_register(values.astype(np.int64), factor, 0, limit)
                    moved = np.where(values >= limit, values, moved).astype(np.int32)
                else:
                    moved = np.where(values >= 1, values, np.minimum(values * factor, 1))
                changed[field] = moved
            found.append(replace(p, **changed))
        return replace(net, populations=tuple(found))  # type: ignore[arg-type]


def _factors(
    fault: str, population: str, size: int, sigma: float, seed: int
) -> NDArray[np.float64]:
    z = stream(seed, fault, population).standard_normal(size)
    # Beyond that no register and no share tells the difference, and nothing overflows.
    return np.exp(np.clip(sigma * z, -100, 100))


def _in_register(
    values: NDArray[np.int64], factor: NDArray[np.float64], low: int, high: int
) -> NDArray[np.int64]:
    """Return the rounded product; what lay outside the register before may stay outside."""
    moved = np.rint(values * factor)
    return np.clip(moved, np.minimum(values, low), np.maximum(values, high)).astype(np.int64)


def _moved_threshold(p: Population, factor: NDArray[np.float64]) -> NDArray[np.float64]:
    base = p.v_reset if p.kind == "lif" and p.reset == "value" else np.zeros(p.size)
    finite = np.isfinite(p.v_threshold)
    distance = np.where(finite, p.v_threshold - base, 0)
    # Written as a change, so that a factor of 1 changes not even a rounding.
    return np.where(finite, p.v_threshold + distance * (factor - 1), p.v_threshold)
