"""The terms of an energy estimate: a count of the activity times a coefficient of the profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from neurodeploy.cost.activity import Activity, SynapseFormat
from neurodeploy.cost.intervals import Count, Interval
from neurodeploy.cost.mapping import LayerMapping
from neurodeploy.hardware_profiles import EnergySet, Profile, SourcedValue

Boundary = Literal["core", "management", "static"]
SYNAPSE_FORMATS: tuple[SynapseFormat, ...] = ("dense", "sparse", "conv")


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One kind of event and what it costs.

    Parameters
    ----------
    name, description : str
        The coefficient's name in the profile, and what is counted.
    boundary : {"core", "management", "static"}
        The shell the term belongs to. ``core`` is the events of the cores; ``management`` what
        the embedded processors and input and output add; ``static`` leakage.
    count : Count
        Per inference and sample; for powers, the time of an inference in us.
    coefficient : SourcedValue
        pJ per event, or mW.
    required : bool
        Whether the boundary has no number at all while the coefficient is unknown. A term that
        is not required is left out and listed as missing.
    """

    name: str
    description: str
    boundary: Boundary
    count: Count
    coefficient: SourcedValue
    required: bool

    @property
    def priced(self) -> bool:
        """Whether the coefficient is known, or nothing was counted that would need it."""
        return self.coefficient.known or not self.count.high.any()

    def coefficient_interval(self) -> Interval | None:
        """Return the coefficient in nJ per event, or in mW; None if it is unknown."""
        unit = "mW" if self.coefficient.unit == "mW" else "nJ"
        bounds = self.coefficient.interval(unit)
        # mW times us is nJ.
        return None if bounds is None else Interval(*bounds)

    def energy_nj(self) -> Interval | None:
        """Mean energy per inference in nJ, or None if the coefficient is unknown and needed."""
        coefficient = self.coefficient_interval()
        if coefficient is None:
            return Interval(0.0, 0.0, 0.0) if self.priced else None
        return self.count.mean() * coefficient

    def as_dict(self) -> dict[str, Any]:
        """Return the term as JSON types; unknown numbers are None."""
        c = self.coefficient
        energy = self.energy_nj()
        return {
            "term": self.name,
            "description": self.description,
            "boundary": self.boundary,
            "count": self.count.mean().as_dict(),
            "coefficient": {"low": c.low, "typ": c.typ, "high": c.high},
            "unit": c.unit,
            "source": c.source,
            "locator": c.locator,
            "grade": c.grade,
            "basis": c.basis,
            "correlation_group": c.correlation_group,
            "energy_nj": energy.as_dict() if energy else None,
        }


def core_terms(
    activity: Activity, mapping: LayerMapping, profile: Profile, energy_set: EnergySet
) -> tuple[Term, ...]:
    """Return the terms of the cores and of the messages between them."""

    def term(name: str, what: str, count: Count, *, required: bool = False) -> Term:
        return Term(name, what, "core", count, getattr(energy_set, name), required)

    messages = activity.messages(mapping.cores)
    received = messages + input_messages(activity, mapping)
    hops_x, hops_y = _hops(messages, profile)
    # Which messages leave a chip is not known before placement; at most all.
    crossing = messages.times(0.0, 0.0, 1.0 if mapping.chips > 1 else 0.0)
    steps = Count.exactly(activity.input_events.typ * 0 + activity.hardware_steps)
    updates, active = activity.neuron_updates, activity.active_updates
    return (
        *_synapse_terms(activity, profile, energy_set),
        term("neuron", "neuron updates (every neuron, every step)", updates, required=True),
        term("neuron_active", "of these, updates with input", active, required=True),
        term("spike", "spikes fired", activity.spikes, required=True),
        term("message", "messages, per destination core", messages, required=True),
        term("message_in", "messages received", received, required=True),
        term("tile", "messages through a tile's router", messages),
        term("hop_x", "hops east-west (none to all columns per message)", hops_x),
        term("hop_y", "hops north-south (none to all rows per message)", hops_y),
        term("link", "messages between chips", crossing),
        term("barrier", "barriers, one per hardware step", steps),
    )


def _synapse_terms(activity: Activity, profile: Profile, energy_set: EnergySet) -> tuple[Term, ...]:
    """Return one term per synapse format in use; the chip's zero rule decides what counts."""
    used = {s.synapse_format for s in activity.synapses}
    terms = []
    for synapse_format in (f for f in SYNAPSE_FORMATS if f in used):
        without = activity.operations(synapse_format)
        every = activity.operations(synapse_format, with_zeros=True)
        skipped = str(profile.counting.zero_weights_skipped(synapse_format))
        what = f"synaptic operations, {synapse_format} format"
        if skipped == "yes":
            count, what = without, f"{what}, zero weights skipped"
        elif skipped == "no":
            count, what = every, f"{what}, zero weights counted"
        else:
            count = Count(without.low, without.typ, every.high)
            what = f"{what}, zero weights skipped (high: counted)"
        name = f"synapse_{synapse_format}"
        terms.append(Term(name, what, "core", count, energy_set.synapse(synapse_format), True))
    return tuple(terms)


def input_messages(activity: Activity, mapping: LayerMapping) -> Count:
    """Messages that bring the stimulus and the always-on line to the cores of their targets."""
    populations = {layer.name for layer in activity.layers}
    count = activity.input_events.scaled(0.0)
    for synapse in activity.synapses:
        if synapse.source not in populations:
            count = count + synapse.events.scaled(mapping.cores[synapse.target])
    return count


def _hops(messages: Count, profile: Profile) -> tuple[Count, Count]:
    """Hops in each direction: none, typically one east-west, at most across the whole mesh."""
    most = []
    for size in (profile.limits.mesh_columns, profile.limits.mesh_rows):
        known = size.interval("count")
        most.append(max(known[2] - 1, 0.0) if known else 0.0)
    typical = min(1.0, most[0])
    return messages.times(0.0, typical, most[0]), messages.times(0.0, 0.0, most[1])


def system_terms(
    activity: Activity, mapping: LayerMapping, profile: Profile, latency_us: Interval
) -> tuple[Term, ...]:
    """Return the terms outside the cores: management, input and output, reset, leakage."""
    power = profile.power
    ones = activity.input_events.typ * 0 + 1
    share = _chip_share(mapping, profile)
    time = Count(*(ones * t * share for t in (latency_us.low, latency_us.typ, latency_us.high)))
    neurons = Count.exactly(ones * activity.n_neurons)
    reads = Count.exactly(ones * activity.n_output)

    def term(name: str, what: str, count: Count, *, required: bool = False) -> Term:
        return Term(name, what, "management", count, getattr(power, name), required)

    where = f"{power.static_attribution}, us times chips"
    static = power.static_per_chip
    return (
        term("management_per_chip", f"time of an inference ({where})", time, required=True),
        term("reset_per_neuron", "neurons reset, once per inference", neurons),
        term("input_event", "input events brought onto the chip", activity.input_events),
        term("output_read", "values read out", reads),
        Term("static_per_chip", f"time of an inference ({where})", "static", time, static, True),
    )


def _chip_share(mapping: LayerMapping, profile: Profile) -> float:
    """Chips that one inference is charged for: whole ones, or the share of their cores in use."""
    per_chip = profile.limits.cores_per_chip.interval("count")
    if str(profile.power.static_attribution) == "used-cores" and per_chip:
        return mapping.n_cores / per_chip[1]
    return float(mapping.chips)
