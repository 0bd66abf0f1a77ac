"""Energy per inference at three nested boundaries, from activity and a hardware profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from neurodeploy.cost.activity import Activity
from neurodeploy.cost.intervals import Interval, Spread, add_all, envelope
from neurodeploy.cost.latency import Latency, estimate_latency
from neurodeploy.cost.mapping import LayerMapping, map_layers
from neurodeploy.cost.products import PRODUCT
from neurodeploy.cost.terms import Term, core_terms, system_terms
from neurodeploy.hardware_profiles import Profile

#: Nested boundaries, each with the shells of terms it contains.
BOUNDARIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "core": ("core",),
        "core+management": ("core", "management"),
        "total": ("core", "management", "static"),
    }
)
COMBINATION = (
    "low, typ and high take all counts and coefficients at their low, typical and high values, "
    "per energy set; the interval is the envelope over the sets"
)


@dataclass(frozen=True, slots=True)
class MissingTerm:
    """A term that was counted but has no published coefficient, so no estimate contains it.

    ``blocks`` says that the boundary has no number without it.
    """

    energy_set: str
    name: str
    boundary: str
    count: float
    reason: str
    blocks: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the term as JSON types."""
        return {
            "set": self.energy_set,
            "term": self.name,
            "boundary": self.boundary,
            "count": self.count,
            "reason": self.reason,
            "blocks": self.blocks,
        }


@dataclass(frozen=True, slots=True, eq=False)
class CostEstimate:
    """What one inference is estimated to cost. An estimate: nothing here was measured.

    Parameters
    ----------
    activity, mapping, profile
        What was counted, where it was placed, and what it was priced with.
    terms : mapping of energy set to tuple of Term
    energy_nj : mapping of "core", "core+management", "total" to Interval or None
        Envelope over the energy sets; ``typ`` of the profile's default set. None where a term
        that the boundary cannot do without has no published coefficient.
    energy_nj_by_set : mapping of energy set to the same
        All-low, all-typical and all-high within one set.
    core_nj_over_inputs : Spread or None
        Core energy over the input samples, at typical counts and coefficients of the default set.
    latency : Latency
    missing : tuple of MissingTerm
        What no number here contains.
    notes : tuple of str
        Approximations made.
    """

    activity: Activity
    mapping: LayerMapping
    profile: Profile
    terms: Mapping[str, tuple[Term, ...]]
    energy_nj: Mapping[str, Interval | None]
    energy_nj_by_set: Mapping[str, Mapping[str, Interval | None]]
    core_nj_over_inputs: Spread | None
    latency: Latency
    missing: tuple[MissingTerm, ...]
    notes: tuple[str, ...]

    @property
    def partial(self) -> bool:
        """Whether a counted term is left out for want of a published coefficient."""
        return bool(self.missing)

    @property
    def wording(self) -> str:
        """How to speak of the core energy: what it is, its nearest anchor, what that leaves open.

        "Estimate", never "measured".
        """
        p = self.profile
        if not p.priced:
            return (
                f"no energy and no time is estimated: profile {p.id} ({p.name}) states none, as it "
                "holds the limits of a target alone; the counts are the network's. Quantise for a "
                "chip to estimate what it would cost there."
            )
        text = f"core dynamic energy estimate, {p.status} coefficients (profile {p.id})"
        if p.validation:
            case = p.validation[0]
            text += f"; {case.summary}. {case.regime}{self._format_gap()}"
        else:
            text += "; no validation case."
        return text + (
            " Static and management power dominated every measurement of a small network that "
            "was found."
        )

    def _format_gap(self) -> str:
        """Say which synapse formats of this network no anchor has tested."""
        tested = self.profile.validation[0].summary
        used = sorted({s.synapse_format for s in self.activity.synapses})
        missing = [name for name in used if f"{name}-format" not in tested]
        if not missing:
            return ""
        return (
            f" This estimate uses {' and '.join(missing)}-format constants, which the anchor does "
            "not test."
        )

    def summary(self) -> dict[str, Any]:
        """Return the few numbers for a summary: core energy and mean counts per inference."""
        core = self.energy_nj["core"]
        totals = self.activity
        return {
            "boundary": "core",
            "energy_nj": core.as_dict() if core else dict.fromkeys(("low", "typ", "high")),
            "synaptic_operations": totals.synaptic_operations.mean().typ,
            "neuron_updates": totals.neuron_updates.mean().typ,
            "spikes": totals.spikes.mean().typ,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types; unknown numbers are None."""
        p = self.profile
        spread = self.core_nj_over_inputs
        step, inference = self.latency.step_us, self.latency.inference_us
        return {
            "kind": "estimate",
            "profile": {"id": p.id, "name": p.name, "status": p.status, "text_hash": p.text_hash},
            "combination": COMBINATION,
            "default_energy_set": p.default_energy_set,
            "default_timing_set": p.default_timing_set,
            "partial": self.partial,
            "energy_nj": _boundaries_dict(self.energy_nj),
            "energy_nj_by_set": {
                name: _boundaries_dict(by) for name, by in self.energy_nj_by_set.items()
            },
            "core_nj_over_inputs": spread.as_dict() if spread else None,
            "latency_us": inference.as_dict() if inference else None,
            "step_us": step.as_dict() if step else None,
            "terms": [
                {"set": name, **term.as_dict()}
                for name, terms in self.terms.items()
                for term in terms
            ],
            "missing": [term.as_dict() for term in self.missing],
            "missing_times": list(self.latency.missing),
            "wording": self.wording,
            "notes": list(self.notes),
            "mapping": self.mapping.as_dict(),
            "activity": self.activity.as_dict(),
            "sources": _sources_dict(self),
        }


def estimate(activity: Activity, profile: Profile) -> CostEstimate:
    """Return what one inference of ``activity`` costs on the chip of ``profile``.

    Energies in nJ, times in us, per inference (mean over samples). Every energy set of the profile
    is evaluated by itself; coefficients of two sets are never mixed.
    """
    mapping = map_layers(activity, profile.limits, int(profile.numerics.weight_bits))
    latency = estimate_latency(activity, mapping, profile)
    terms = {}
    for name, energy_set in profile.energy_sets.items():
        listed = core_terms(activity, mapping, profile, energy_set)
        if latency.inference_us is not None:
            listed += system_terms(activity, mapping, profile, latency.inference_us)
        terms[name] = listed
    shells = ("core",) if latency.inference_us is None else BOUNDARIES["total"]
    by_set = {name: _energies(listed, shells) for name, listed in terms.items()}
    return CostEstimate(
        activity,
        mapping,
        profile,
        MappingProxyType(terms),
        MappingProxyType(_over_sets(by_set, profile.default_energy_set)),
        MappingProxyType(by_set),
        _over_inputs(terms[profile.default_energy_set]),
        latency,
        _missing(terms),
        _notes(activity, profile, mapping),
    )


def _energies(terms: tuple[Term, ...], shells: tuple[str, ...]) -> Mapping[str, Interval | None]:
    """Return the energy at each boundary within one set; ``shells`` are those with terms."""
    energies: dict[str, Interval | None] = {}
    for boundary, inside in BOUNDARIES.items():
        chosen = [t for t in terms if t.boundary in inside]
        blocked = any(t.required and not t.priced for t in chosen)
        known = [e for t in chosen if (e := t.energy_nj()) is not None]
        complete = not blocked and set(inside) <= set(shells)
        energies[boundary] = add_all(known) if complete else None
    return MappingProxyType(energies)


def _over_sets(
    by_set: Mapping[str, Mapping[str, Interval | None]], default: str
) -> dict[str, Interval | None]:
    """Return the envelope over the sets; one set without a number leaves the envelope open."""
    combined: dict[str, Interval | None] = {}
    for boundary in BOUNDARIES:
        known = {name: e for name, by in by_set.items() if (e := by[boundary]) is not None}
        complete = len(known) == len(by_set)
        combined[boundary] = envelope(known.values(), known[default].typ) if complete else None
    return combined


def _over_inputs(terms: tuple[Term, ...]) -> Spread | None:
    """Return the spread of the typical core energy over the samples."""
    core = [t for t in terms if t.boundary == "core"]
    if any(t.required and not t.priced for t in core):
        return None
    per_sample = np.zeros(core[0].count.typ.shape)
    for term in core:
        coefficient = term.coefficient_interval()
        if coefficient is not None:
            per_sample = per_sample + term.count.typ * coefficient.typ
    return Spread.of(per_sample)


def _missing(terms: Mapping[str, tuple[Term, ...]]) -> tuple[MissingTerm, ...]:
    return tuple(
        MissingTerm(name, t.name, t.boundary, t.count.mean().typ, t.coefficient.note, t.required)
        for name, listed in terms.items()
        for t in listed
        if not t.priced
    )


def _notes(activity: Activity, profile: Profile, mapping: LayerMapping) -> tuple[str, ...]:
    """Return the approximations behind this estimate, one sentence each."""
    notes = [f"Mapping: {mapping.description}; a compiler may need more."]
    if activity.timing == "aligned":
        notes.append(
            "Spikes and operations of the drain are not counted (timing aligned); neuron updates "
            f"include it ({activity.hardware_steps} steps for {activity.steps})."
        )
    if not activity.active_updates.exact:
        notes.append("Updates with input are bounded, not counted: spikes were not recorded.")
    if not activity.input_events.exact:
        notes.append("Input events are bounded by fan-out: the input codes were not given.")
    dlif = [layer.name for layer in activity.layers if layer.kind == "dlif"]
    if dlif:
        notes.append(
            f"DLIF neurons ({', '.join(dlif)}) are priced as stock LIF; a chip runs them as "
            "microcode or remapped, which costs more by an amount nobody has published."
        )
    products = [layer.name for layer in activity.layers if layer.kind == PRODUCT]
    if products:
        notes.append(
            f"Products with a gain ({', '.join(products)}) are priced as stock LIF, and are taken "
            "to send in every step; graded messages are priced as spikes."
        )
    notes += [f"Not modelled: {item}." for item in profile.not_modelled]
    return tuple(notes)


def _boundaries_dict(energies: Mapping[str, Interval | None]) -> dict[str, Any]:
    return {name: e.as_dict() if e else None for name, e in energies.items()}


def _sources_dict(cost: CostEstimate) -> dict[str, dict[str, Any]]:
    """Return the sources that the terms refer to."""
    used = {t.coefficient.source for listed in cost.terms.values() for t in listed}
    return {
        key: {"title": s.title, "year": s.year, "locator": s.locator, "note": s.note}
        for key, s in cost.profile.sources.items()
        if key in used
    }
