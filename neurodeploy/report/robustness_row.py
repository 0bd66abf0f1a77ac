"""One row of robustness evidence, typed, and which row of a model counts most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurodeploy.errors import FileFormatError
from neurodeploy.report.number_text import points, points_interval
from neurodeploy.report.run_folder import Model, Record

Interval = tuple[float, float]
_NAMES = {"gaussian": "Gaussian noise", "fgsm": "FGSM"}


@dataclass(frozen=True, slots=True)
class RobustnessRow:
    """Accuracy of both networks under one perturbation at one radius.

    All shares and differences are fractions 0..1; the radius is in input codes. ``drop_upper``
    and ``drop_lower`` are one-sided 95 % limits. Absent numbers are None.
    """

    perturbation: str
    radius_codes: float
    float_accuracy: float | None
    fixed_accuracy: float | None
    lost: float | None
    gained: float | None
    drop_ci95: Interval | None
    n: float | None
    verdict: str
    float_ci95: Interval | None
    fixed_ci95: Interval | None
    lost_ci95: Interval | None
    gained_ci95: Interval | None
    retention: float | None
    retention_ci95: Interval | None
    drop_lower: float | None
    drop_upper: float | None
    null: Record
    needed_n: float | None
    members: tuple[Record, ...]
    ties: Record
    attack_too_weak: bool
    in_range: bool | None
    stated_drop: float | None

    @property
    def drop(self) -> float | None:
        """Lost minus gained."""
        if self.stated_drop is not None or self.lost is None or self.gained is None:
            return self.stated_drop
        return self.lost - self.gained

    @property
    def informative(self) -> bool:
        """Whether float accuracy is in the range in which a strength can show survival."""
        return self.verdict != "uninformative" if self.in_range is None else self.in_range

    @property
    def name(self) -> str:
        """The perturbation as readers know it."""
        return perturbation_name(self.perturbation)

    @property
    def strength(self) -> str:
        """What the strength in codes is: the radius of a ball, or the spread of noise."""
        return "standard deviation" if self.perturbation == "gaussian" else "radius"

    @property
    def upper(self) -> float | None:
        """Best known upper limit of the drop: one-sided, else of the interval, else the drop."""
        if self.drop_upper is not None:
            return self.drop_upper
        return self.drop_ci95[1] if self.drop_ci95 else self.drop

    @property
    def lower(self) -> float | None:
        """Best known lower limit of the drop: one-sided, else of the interval, else the drop."""
        if self.drop_lower is not None:
            return self.drop_lower
        return self.drop_ci95[0] if self.drop_ci95 else self.drop

    @property
    def drop_text(self) -> str:
        """The drop with its interval: ``0.6 points (95 % interval −0.8 to 1.9)``."""
        text = f"{points(self.drop)} points"
        return (
            f"{text} (95 % interval {points_interval(self.drop_ci95)})" if self.drop_ci95 else text
        )


def perturbation_name(key: str) -> str:
    """Return the perturbation's usual spelling: ``pgd20`` is PGD-20."""
    if key.startswith("pgd") and key[3:].isdigit():
        return f"PGD-{key[3:]}"
    return _NAMES.get(key, key)


def robustness_rows(model: Model) -> tuple[RobustnessRow, ...]:
    """Return the model's rows in the order of the file."""
    return tuple(_row(record) for record in model.records("robustness"))


def by_perturbation(rows: Iterable[RobustnessRow]) -> dict[str, tuple[RobustnessRow, ...]]:
    """Return the rows of each perturbation, by rising radius."""
    groups: dict[str, list[RobustnessRow]] = {}
    for row in rows:
        groups.setdefault(row.perturbation, []).append(row)
    return {key: tuple(sorted(g, key=lambda r: r.radius_codes)) for key, g in groups.items()}


def worst_row(rows: Iterable[RobustnessRow]) -> RobustnessRow | None:
    """Return the row that decides most.

    The lost one with the largest lower limit of the drop; else the informative one with the
    largest upper limit; else any with the largest.
    """
    known = [row for row in rows if row.upper is not None]
    lost = [row for row in known if row.verdict == "lost"]
    if lost:
        return max(lost, key=lambda row: row.lower or 0.0)
    informative = [row for row in known if row.informative] or known
    return max(informative, key=lambda row: row.upper or 0.0, default=None)


def _row(record: Record) -> RobustnessRow:
    radius = record.number("radius_codes")
    if radius is None:
        raise FileFormatError(
            f"{record.where}: radius_codes is missing; every row needs its radius"
        )
    return RobustnessRow(
        perturbation=record.text("perturbation", "perturbation"),
        radius_codes=radius,
        float_accuracy=record.number("float"),
        fixed_accuracy=record.number("fixed"),
        lost=record.number("lost"),
        gained=record.number("gained"),
        drop_ci95=record.interval("drop_ci95"),
        n=record.number("n"),
        verdict=record.text("verdict"),
        float_ci95=record.interval("float_ci95"),
        fixed_ci95=record.interval("fixed_ci95"),
        lost_ci95=record.interval("lost_ci95"),
        gained_ci95=record.interval("gained_ci95"),
        retention=record.number("retention"),
        retention_ci95=record.interval("retention_ci95"),
        drop_lower=record.number("drop_lower95"),
        drop_upper=record.number("drop_upper95"),
        null=record.record("null"),
        needed_n=record.number("needed_n"),
        members=record.records("members"),
        ties=record.record("ties"),
        attack_too_weak=bool(record.flag("attack_too_weak")),
        in_range=record.flag("informative"),
        stated_drop=record.number("drop"),
    )
