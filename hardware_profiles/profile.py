"""What a hardware profile says about one chip, as frozen types.

A field's metadata tells the loader which units or words are legal there, so the schema is written
down once, here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurodeploy.hardware_profiles.values import Source, SourcedChoice, SourcedValue

PROFILE_SCHEMA = 1
#: How far a profile as a whole can be trusted.
STATUSES: tuple[str, ...] = ("calibrated", "published", "inherited", "limits-only")
KINDS: tuple[str, ...] = ("digital-async", "digital-sync", "mixed-signal", "reference")


#: Field metadata of numbers: legal units. Priced numbers must be positive; a zero among them is
#: legal only as a modelling choice, because unknown is not zero.
_BITS = {"units": ("bits",), "priced": False}
_COUNT = {"units": ("count",), "priced": False}
#: Numbers of keys that older profiles lack, which then mean what both Loihi chips hold.
_SINCE_LATER = {"later": True}
_MEMORY = {"units": ("bits", "bytes"), "priced": False}
_ENERGY = {"units": ("pJ", "nJ"), "priced": True}
_TIME = {"units": ("ns", "us"), "priced": True}
_POWER = {"units": ("mW",), "priced": True}
#: Field metadata of choices: legal words.
_YES_NO = {"words": ("yes", "no")}
_YES_NO_UNKNOWN = {"words": ("yes", "no", "unknown")}
_PER_NEURON = {"words": ("yes", "no", "limited", "unknown")}
_OVERFLOW = {"words": ("wrap", "saturate")}
_RESET = {"words": ("value", "subtract")}
_ATTRIBUTION = {"words": ("whole-chip", "used-cores")}
_SIGN_MODES = {"words": ("mixed", "excitatory", "inhibitory")}


@dataclass(frozen=True, slots=True)
class Numerics:
    """Integer formats and rules of the chip's neurons and synapses.

    ``bias_mantissa_bits`` and ``state_bits`` include the sign. A mixed-sign weight spends one of
    its ``weight_bits`` on the sign, so its step is two. ``decay_u_min`` is the smallest register
    of the current's decay; the current keeps ``(4095 - decay_u) / 4096`` per step.
    """

    weight_bits: SourcedValue = field(metadata=_BITS)
    weight_exponent_min: SourcedValue = field(metadata=_BITS)
    weight_exponent_max: SourcedValue = field(metadata=_BITS)
    conv_weight_bits: SourcedValue = field(metadata={**_BITS, **_SINCE_LATER})
    weight_sign_modes: SourcedChoice = field(
        metadata={"words": ("mixed", "excitatory", "inhibitory")}
    )
    decay_bits: SourcedValue = field(metadata=_BITS)
    decay_u_min: SourcedValue = field(metadata={**_COUNT, **_SINCE_LATER})
    state_bits: SourcedValue = field(metadata=_BITS)
    u_overflow: SourcedChoice = field(metadata=_OVERFLOW)
    v_overflow: SourcedChoice = field(metadata=_OVERFLOW)
    v_threshold_mantissa_bits: SourcedValue = field(metadata=_BITS)
    v_threshold_shift: SourcedValue = field(metadata=_BITS)
    v_threshold_per_neuron: SourcedChoice = field(metadata=_PER_NEURON)
    decay_per_neuron: SourcedChoice = field(metadata=_PER_NEURON)
    bias_mantissa_bits: SourcedValue = field(metadata=_BITS)
    bias_exponent_bits: SourcedValue = field(metadata=_BITS)
    graded_payload_bits: SourcedValue = field(metadata=_BITS)
    reset_modes: SourcedChoice = field(metadata=_RESET)
    delay_bits: SourcedValue = field(metadata=_BITS)
    max_delay: SourcedValue = field(metadata=_COUNT)
    refractory_steps_max: SourcedValue = field(metadata={**_COUNT, **_SINCE_LATER})
    microcode: SourcedChoice = field(metadata=_YES_NO)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one core and one chip can hold."""

    cores_per_chip: SourcedValue = field(metadata=_COUNT)
    cores_per_tile: SourcedValue = field(metadata=_COUNT)
    mesh_columns: SourcedValue = field(metadata=_COUNT)
    mesh_rows: SourcedValue = field(metadata=_COUNT)
    embedded_cpus: SourcedValue = field(metadata=_COUNT)
    neurons_per_core: SourcedValue = field(metadata=_COUNT)
    neurons_per_chip: SourcedValue = field(metadata=_COUNT)
    synapses_per_chip: SourcedValue = field(metadata=_COUNT)
    synapse_memory_per_core: SourcedValue = field(metadata=_MEMORY)
    total_memory_per_core: SourcedValue = field(metadata=_MEMORY)
    memory_word_bits: SourcedValue = field(metadata=_BITS)
    in_axons_per_core: SourcedValue = field(metadata=_COUNT)
    out_axons_per_core: SourcedValue = field(metadata=_COUNT)
    synapse_words_per_axon: SourcedValue = field(metadata=_COUNT)
    synapse_formats_per_core: SourcedValue = field(metadata=_COUNT)
    threshold_settings_per_core: SourcedValue = field(metadata=_COUNT)
    neuron_settings_per_core: SourcedValue = field(metadata=_COUNT)


@dataclass(frozen=True, slots=True)
class Counting:
    """Whether the chip spends an operation on a weight of value zero, per synapse format."""

    zero_weights_skipped_dense: SourcedChoice = field(metadata=_YES_NO_UNKNOWN)
    zero_weights_skipped_sparse: SourcedChoice = field(metadata=_YES_NO_UNKNOWN)
    zero_weights_skipped_conv: SourcedChoice = field(metadata=_YES_NO_UNKNOWN)

    def zero_weights_skipped(self, synapse_format: str) -> SourcedChoice:
        """Return the rule of ``synapse_format`` ("dense", "sparse" or "conv")."""
        choice: SourcedChoice = getattr(self, f"zero_weights_skipped_{synapse_format}")
        return choice


@dataclass(frozen=True, slots=True)
class EnergySet:
    """Energy per event, all of one style. Numbers of two sets are never mixed.

    ``neuron`` is paid by every mapped neuron at every hardware step; ``neuron_active`` on top of
    it by a neuron that receives input in that step; ``message`` once per spike and destination
    core; ``tile`` and the hops per message on its way; ``barrier`` once per hardware step.
    """

    synapse_dense: SourcedValue = field(metadata=_ENERGY)
    synapse_sparse: SourcedValue = field(metadata=_ENERGY)
    synapse_conv: SourcedValue = field(metadata=_ENERGY)
    neuron: SourcedValue = field(metadata=_ENERGY)
    neuron_active: SourcedValue = field(metadata=_ENERGY)
    spike: SourcedValue = field(metadata=_ENERGY)
    message: SourcedValue = field(metadata=_ENERGY)
    message_in: SourcedValue = field(metadata=_ENERGY)
    tile: SourcedValue = field(metadata=_ENERGY)
    hop_x: SourcedValue = field(metadata=_ENERGY)
    hop_y: SourcedValue = field(metadata=_ENERGY)
    link: SourcedValue = field(metadata=_ENERGY)
    barrier: SourcedValue = field(metadata=_ENERGY)

    def synapse(self, synapse_format: str) -> SourcedValue:
        """Return the energy per synaptic operation of ``synapse_format``."""
        value: SourcedValue = getattr(self, f"synapse_{synapse_format}")
        return value


@dataclass(frozen=True, slots=True)
class TimingSet:
    """Time per event within one core; ``barrier`` and ``management`` once per hardware step."""

    synapse_dense: SourcedValue = field(metadata=_TIME)
    synapse_sparse: SourcedValue = field(metadata=_TIME)
    synapse_conv: SourcedValue = field(metadata=_TIME)
    neuron: SourcedValue = field(metadata=_TIME)
    neuron_active: SourcedValue = field(metadata=_TIME)
    spike: SourcedValue = field(metadata=_TIME)
    message: SourcedValue = field(metadata=_TIME)
    message_in: SourcedValue = field(metadata=_TIME)
    barrier: SourcedValue = field(metadata=_TIME)
    management: SourcedValue = field(metadata=_TIME)

    def synapse(self, synapse_format: str) -> SourcedValue:
        """Return the time per synaptic operation of ``synapse_format``."""
        value: SourcedValue = getattr(self, f"synapse_{synapse_format}")
        return value


@dataclass(frozen=True, slots=True)
class Power:
    """What is paid outside the cores' events: leakage, embedded processors, input and output.

    ``static_attribution`` says which share of a chip's static and management power one network
    is charged: ``whole-chip`` or ``used-cores``.
    """

    static_per_chip: SourcedValue = field(metadata=_POWER)
    management_per_chip: SourcedValue = field(metadata=_POWER)
    static_attribution: SourcedChoice = field(metadata=_ATTRIBUTION)
    reset_per_neuron: SourcedValue = field(metadata=_ENERGY)
    input_event: SourcedValue = field(metadata=_ENERGY)
    output_read: SourcedValue = field(metadata=_ENERGY)


@dataclass(frozen=True, slots=True)
class ValidationCase:
    """A published measurement that the profile's numbers were held against."""

    key: str
    title: str
    boundary: str
    summary: str
    regime: str
    measured: SourcedValue
    predicted: SourcedValue


@dataclass(frozen=True, slots=True)
class Profile:
    """One chip: formats, limits, energies and times, each number with its source.

    ``text`` is the TOML text it was read from, unchanged; it is what a network file stores.
    A profile of status ``limits-only`` may leave out energies, times and power: it then has one
    set ``none`` of each, in which every number is unknown.
    ``default_energy_set`` and ``default_timing_set`` name the sets that typical values come from.
    """

    id: str
    name: str
    vendor: str
    generation: str
    kind: str
    status: str
    default_energy_set: str
    default_timing_set: str
    not_modelled: tuple[str, ...]
    sources: Mapping[str, Source]
    numerics: Numerics
    limits: Limits
    counting: Counting
    energy_sets: Mapping[str, EnergySet]
    timing_sets: Mapping[str, TimingSet]
    power: Power
    validation: tuple[ValidationCase, ...]
    text: str = field(repr=False)

    @property
    def priced(self) -> bool:
        """Whether it states any energy or time, so that a cost can be estimated."""
        sets: list[EnergySet | TimingSet] = [*self.energy_sets.values(), *self.timing_sets.values()]
        return any(getattr(each, f.name).known for each in sets for f in dataclasses.fields(each))

    @property
    def text_hash(self) -> str:
        """SHA-256 of ``text``, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def leaves(self) -> Iterator[SourcedValue | SourcedChoice]:
        """Yield every number and choice of the profile, in the order of the schema."""
        sections: list[Any] = [self.numerics, self.limits, self.counting]
        sections += [*self.energy_sets.values(), *self.timing_sets.values(), self.power]
        sections += self.validation
        for section in sections:
            for name in (f.name for f in dataclasses.fields(section)):
                leaf = getattr(section, name)
                if isinstance(leaf, SourcedValue | SourcedChoice):
                    yield leaf


def value_rows(profile: Profile) -> list[dict[str, Any]]:
    """Return every number and choice of ``profile`` as a row of JSON types, for tables.

    Keys: key, value (words of a choice, else None), low, typ, high (None if unknown or a choice),
    unit, grade, basis, source, locator, note.
    """
    rows = []
    for leaf in profile.leaves():
        number = leaf if isinstance(leaf, SourcedValue) else None
        rows.append(
            {
                "key": leaf.path,
                "value": None if number else str(leaf),
                "low": number.low if number else None,
                "typ": number.typ if number else None,
                "high": number.high if number else None,
                "unit": number.unit if number else "",
                "grade": leaf.grade,
                "basis": number.basis if number else "",
                "source": leaf.source,
                "locator": leaf.locator,
                "note": leaf.note,
            }
        )
    return rows
