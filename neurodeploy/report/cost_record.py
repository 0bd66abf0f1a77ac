"""The cost part of a model, typed: nested boundaries and times, clean and attacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurodeploy.report.run_folder import Model, Record

BOUNDARY_NAMES = {
    "core": "core",
    "core+management": "core and management",
    "total": "total with static power",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimated quantity with low, typical and high value; None where none is known."""

    name: str
    low: float | None
    typ: float | None
    high: float | None

    @property
    def known(self) -> bool:
        """Whether there is a typical value."""
        return self.typ is not None


@dataclass(frozen=True, slots=True)
class CostRecord:
    """What is recorded on cost, clean and attacked.

    ``clean`` and ``attacked`` are estimates of the fixed-point network; ``whole`` also holds the
    counts of the float network and the ratios.
    """

    clean: Record
    attacked: Record
    whole: Record

    @property
    def energies(self) -> tuple[Estimate, ...]:
        """Energies of the fixed-point network on clean input, narrowest boundary first."""
        return energies(self.clean)

    def energy(self, boundary: str) -> Estimate | None:
        """Return the known energy on clean input inside ``boundary``."""
        name = BOUNDARY_NAMES[boundary]
        return next((e for e in self.energies if e.name == name and e.known), None)


def cost_record(model: Model) -> CostRecord:
    """Return the model's cost; from summary.json where results.json has none."""
    full = model.results.record("cost")
    clean = full.record("clean").record("fixed") or model.summary.record("cost")
    return CostRecord(clean, full.record("attacked").record("fixed"), full)


def energies(estimate: Record) -> tuple[Estimate, ...]:
    """Return the energy in nJ at each boundary of one estimate, unknown ones included."""
    nested = estimate.record("energy_nj")
    if any(key in nested.data for key in ("low", "typ", "high")):
        boundary = estimate.text("boundary", "core")
        return (_interval(BOUNDARY_NAMES.get(boundary, boundary), nested),)
    return tuple(
        _interval(BOUNDARY_NAMES.get(key, key.replace("_", " ")), nested.record(key))
        for key in nested.data
    )


def times(estimate: Record) -> tuple[Estimate, ...]:
    """Return the times in us of one estimate: a hardware step, and an inference."""
    pairs: Sequence[tuple[str, str]] = (
        ("one hardware step", "step_us"),
        ("one inference", "latency_us"),
    )
    return tuple(_interval(name, estimate.record(key)) for name, key in pairs)


def _interval(name: str, record: Record) -> Estimate:
    return Estimate(name, record.number("low"), record.number("typ"), record.number("high"))
