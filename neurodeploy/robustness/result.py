"""What an evaluation hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurodeploy.findings import Finding
from neurodeploy.robustness.config import RobustnessConfig, ThreatModel
from neurodeploy.robustness.evidence import Evidence
from neurodeploy.robustness.verdict import OverallVerdict

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
    """

    verdict: OverallVerdict
    verdict_text: str
    clean_accuracy: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    sanity: tuple[Mapping[str, Any], ...]
    config: RobustnessConfig
    threat_model: ThreatModel
    evidence: Evidence

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
        found += [
            Finding(
                "warning",
                "robustness",
                f"{line['line']}: {line['detail']}",
                "use more steps, restarts or other surrogate widths",
            )
            for line in self.sanity
            if not line["ok"]
        ]
        return tuple(found)
