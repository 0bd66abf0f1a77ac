"""Ratio of two estimates, with a bound that needs no coefficient at all.

If every energy coefficient is non-negative, the ratio of two core energies lies between the
smallest and the largest ratio of their counts. So count ratios come first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neurodeploy.cost.activity import Activity
from neurodeploy.cost.estimate import CostEstimate
from neurodeploy.cost.intervals import Count, Interval
from neurodeploy.cost.mapping import LayerMapping
from neurodeploy.cost.terms import SYNAPSE_FORMATS, Term, input_messages
from neurodeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class CountRatio:
    """One count relative to its baseline; ``ratio`` is None for 0 against 0.

    ``low`` and ``high`` bound the ratio; they differ where a count is known only in bounds.
    """

    name: str
    count: Interval
    baseline: Interval
    low: float
    ratio: float | None
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Return the ratio as JSON types; None also stands for "without bound"."""
        return {
            "name": self.name,
            "count": self.count.as_dict(),
            "baseline": self.baseline.as_dict(),
            "low": _finite(self.low),
            "ratio": None if self.ratio is None else _finite(self.ratio),
            "high": _finite(self.high),
        }


@dataclass(frozen=True, slots=True)
class CostComparison:
    """An estimate relative to a baseline.

    Parameters
    ----------
    counts : tuple of CountRatio
        Every count that a core coefficient can multiply.
    bound : (float, float)
        Core energy ratio for any non-negative coefficients whatever; ``inf`` if a count that is
        zero in the baseline is not zero here.
    energy_ratio : mapping of energy set to {low, typ, high}
        Core energy ratio at the set's low, typ and high coefficients (typical counts): always
        inside ``bound``. The three need not be in order. None without a number.
    notes : tuple of str
        What makes the two runs less comparable.
    """

    counts: tuple[CountRatio, ...]
    bound: tuple[float, float]
    energy_ratio: Mapping[str, Mapping[str, float] | None]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON types; an upper bound of None means "without bound"."""
        return {
            "counts": [c.as_dict() for c in self.counts],
            "bound": {"low": _finite(self.bound[0]), "high": _finite(self.bound[1])},
            "energy_ratio": {k: dict(v) if v else None for k, v in self.energy_ratio.items()},
            "notes": list(self.notes),
        }


def compare(cost: CostEstimate, baseline: CostEstimate) -> CostComparison:
    """Return ``cost`` relative to ``baseline``: attacked to clean, fixed to float.

    The bound covers the core boundary: time, and with it the outer boundaries, follows the slowest
    core and not a sum of counts.

    Raises
    ------
    InputError
        If the two were priced with different profiles: no bound holds across chips.
    """
    if cost.profile.text_hash != baseline.profile.text_hash:
        raise InputError(
            f"compare: the estimates use different profiles ({cost.profile.id}, "
            f"{baseline.profile.id}); estimate both with one profile"
        )
    pairs = _pair(_counts(cost), _counts(baseline))
    ratios = tuple(_count_ratio(name, a.mean(), b.mean()) for name, (a, b) in pairs.items())
    present = [r for r in ratios if r.ratio is not None or r.high > 0]
    bound = (
        min((r.low for r in present), default=1.0),
        max((r.high for r in present), default=1.0),
    )
    energy_ratio = {
        name: _energy_ratio(cost.terms[name], baseline.terms[name]) for name in cost.terms
    }
    return CostComparison(
        ratios, bound, MappingProxyType(energy_ratio), _notes(cost.activity, baseline.activity)
    )


def _counts(cost: CostEstimate) -> dict[str, Count]:
    """Return the counts that core coefficients multiply. Hops are a multiple of messages."""
    activity: Activity = cost.activity
    mapping: LayerMapping = cost.mapping
    messages = activity.messages(mapping.cores)
    used = {s.synapse_format for s in activity.synapses}
    counts = {}
    for synapse_format in (f for f in SYNAPSE_FORMATS if f in used):
        rule = str(cost.profile.counting.zero_weights_skipped(synapse_format))
        name = f"synaptic_operations ({synapse_format})"
        if rule != "no":
            counts[name] = activity.operations(synapse_format)
        if rule != "yes":
            every = activity.operations(synapse_format, with_zeros=True)
            counts[f"{name}, zero weights counted"] = every
    return {
        **counts,
        "neuron_updates": activity.neuron_updates,
        "active_updates": activity.active_updates,
        "spikes": activity.spikes,
        "messages": messages,
        "messages_received": messages + input_messages(activity, mapping),
        "hardware_steps": Count.exactly(float(activity.hardware_steps)),
    }


def _pair(
    counts: Mapping[str, Count], baseline: Mapping[str, Count]
) -> dict[str, tuple[Count, Count]]:
    """Pair counts by name; one that a run does not have is zero."""
    zero = Count.exactly(0.0)
    names = dict.fromkeys([*counts, *baseline])
    return {name: (counts.get(name, zero), baseline.get(name, zero)) for name in names}


def _count_ratio(name: str, count: Interval, baseline: Interval) -> CountRatio:
    ratio = _ratio(count.typ, baseline.typ)
    low, high = _ratio(count.low, baseline.high), _ratio(count.high, baseline.low)
    if low is None or high is None:
        # Zero against zero at one end: any ratio is possible unless both are zero throughout.
        nothing = count.high == 0 and baseline.high == 0
        return CountRatio(name, count, baseline, 0.0, ratio, 0.0 if nothing else math.inf)
    return CountRatio(name, count, baseline, low, ratio, high)


def _ratio(count: float, baseline: float) -> float | None:
    if baseline == 0:
        return None if count == 0 else math.inf
    return count / baseline


def _energy_ratio(
    terms: tuple[Term, ...], baseline: tuple[Term, ...]
) -> Mapping[str, float] | None:
    """Return the core energy ratio at low, typ and high coefficients, at typical counts."""
    ratios = {}
    for bound in ("low", "typ", "high"):
        energy, reference = _core_energy(terms, bound), _core_energy(baseline, bound)
        if energy is None or not reference:
            return None
        ratios[bound] = energy / reference
    return ratios


def _core_energy(terms: tuple[Term, ...], bound: str) -> float | None:
    energy = 0.0
    for term in (t for t in terms if t.boundary == "core"):
        coefficient = term.coefficient_interval()
        if coefficient is not None:
            energy += term.count.mean().typ * float(getattr(coefficient, bound))
        elif term.required and not term.priced:
            return None
    return energy


def _notes(activity: Activity, baseline: Activity) -> tuple[str, ...]:
    notes = []
    for name in ("timing", "hardware_steps"):
        here, there = getattr(activity, name), getattr(baseline, name)
        if here != there:
            notes.append(f"The runs differ in {name} ({here}, {there}); every ratio contains it.")
    if not (activity.active_updates.exact and baseline.active_updates.exact):
        notes.append(
            "Updates with input are known only in bounds, which widens the bound; record spikes "
            "and give the codes to count them."
        )
    return tuple(notes)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
