"""What an evaluation hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurodeploy.findings import Finding
from neurodeploy.robustness.config import RobustnessConfig, ThreatModel
from neurodeploy.robustness.evidence import Evidence
from neurodeploy.robustness.verdict import OverallVerdict, churn_text

#: Keys of a row in ``summary.json``; the others stand in ``results.json``.
SUMMARY_KEYS = (
    "perturbation",
    "radius_codes",
    "float",
    "fixed",
    "lost",
    "gained",
    "drop_ci95",
    "n",
    "verdict",
)


@dataclass(frozen=True, slots=True, eq=False)
class RobustnessResult:
    """Robustness of a float network and of its fixed-point version, compared.

    Parameters
    ----------
    verdict, verdict_text
        For the model; the text says why, with numbers.
    clean_accuracy : mapping
        ``float``, ``fixed``, ``n``, ``float_ci95``, ``fixed_ci95``, ``ties``.
    rows : tuple of mappings
        One per perturbation and radius, JSON types, shares as fractions (see ``rows.py``).
    sanity : tuple of mappings
        One per kind of sanity line: ``line``, ``ok``, ``detail``.
    evidence : Evidence
        Every point behind the numbers.
    noticed : tuple of Finding
        About the data.
    """

    verdict: OverallVerdict
    verdict_text: str
    clean_accuracy: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    sanity: tuple[Mapping[str, Any], ...]
    config: RobustnessConfig
    threat_model: ThreatModel
    evidence: Evidence
    noticed: tuple[Finding, ...] = ()

    def summary_rows(self) -> list[dict[str, Any]]:
        """Return the rows with the keys of ``summary.json`` only."""
        return [{key: row[key] for key in SUMMARY_KEYS} for row in self.rows]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the evidence as JSON types."""
        return {
            "clean_accuracy": dict(self.clean_accuracy),
            "verdict": self.verdict,
            "verdict_text": self.verdict_text,
            "robustness": [dict(row) for row in self.rows],
            "sanity": [dict(line) for line in self.sanity],
            "threat_model": self.threat_model.as_dict(),
            "tolerance_points": self.config.tolerance_points,
            "config": self.config.as_dict(),
        }

    def findings(self) -> tuple[Finding, ...]:
        """Return the verdict, lost strengths and failing sanity lines as findings."""
        severity = {"survives": "info", "undecided": "warning", "lost": "error"}[self.verdict]
        found = [Finding(severity, "robustness", self.verdict_text)]  # type: ignore[arg-type]
        found += [*self.noticed, *self._blunt(), *self._churned()]
        found += [
            Finding(
                "warning",
                "robustness",
                f"{line['line']}: {line['detail']}",
                "the attack was too weak to tell; read the line before the accuracies",
            )
            for line in self.sanity
            if not line["ok"]
        ]
        return tuple(found)

    def _blunt(self) -> list[Finding]:
        """Warn where so few samples could miss a drop as large as the tolerance."""
        tolerance = self.config.tolerance
        rows = [r for r in self.rows if r["informative"] and r["detectable_drop"] > tolerance]
        if not rows:
            return []
        worst = max(rows, key=lambda row: float(row["detectable_drop"]))
        text = (
            f"{worst['n']} samples show a drop of {100 * worst['detectable_drop']:.1f} points with "
            f"a chance of 80 % ({worst['perturbation']} at {worst['radius_codes']:g} codes); the "
            f"tolerance is {self.config.tolerance_points:g}"
        )
        numbers = {"detectable_drop": worst["detectable_drop"], "n": worst["n"]}
        return [Finding("warning", "robustness", text, "evaluate on more samples", numbers)]

    def _churned(self) -> list[Finding]:
        """Warn where a strength survives although many images changed sides."""
        text = churn_text(self.rows, self.config.tolerance_points)
        remedy = "read lost and gained before the drop: the two networks decide differently"
        return [Finding("warning", "robustness", text, remedy)] if text else []
