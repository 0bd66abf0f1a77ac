"""From numbers to a verdict: per strength, and for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from neurodeploy.robustness.config import CONFIDENCE, INFORMATIVE, Side
from neurodeploy.robustness.statistics import PairedDrop, holm

Verdict = Literal["survives", "lost", "undecided", "uninformative"]
OverallVerdict = Literal["survives", "lost", "undecided"]


@dataclass(frozen=True, slots=True, eq=False)
class Strength:
    """What the verdict on one strength needs.

    ``weak`` names the networks on which a sanity line says that the attack was too weak.
    """

    float_accuracy: float
    drop: PairedDrop
    weak: frozenset[Side] = frozenset()


def judge(strengths: Sequence[Strength], tolerance: float) -> tuple[Verdict, ...]:
    """Return the verdict on each strength; ``tolerance`` is a fraction.

    - *lost*: the drop is above the tolerance (Holm over all strengths given, family level 5 %).
      Not where the attack on the float network was too weak: its robust accuracy would then be
      overstated, and the drop with it. An attack too weak on the fixed network alone understates
      the drop, so it does not protect from this verdict. A loss counts at every strength.
    - *uninformative*: float robust accuracy outside 20-90 %. So near the ends that two networks
      agree there says little, so it does not count as survival.
    - *undecided*: an attack was too weak (where the float network is still above 20 %).
    - *survives*: the one-sided 95 % upper limit of the drop is at most the tolerance.
    - *undecided*: everything else.
    """
    lost = holm([s.drop.p_lost(tolerance) for s in strengths], 1 - CONFIDENCE)
    return tuple(_judge(s, is_lost, tolerance) for s, is_lost in zip(strengths, lost, strict=True))


def _judge(strength: Strength, lost: bool, tolerance: float) -> Verdict:
    lowest, highest = INFORMATIVE
    if lost and "float" not in strength.weak:
        return "lost"
    if strength.float_accuracy < lowest:
        return "uninformative"
    if strength.weak:
        return "undecided"
    if strength.float_accuracy > highest:
        return "uninformative"
    return "survives" if strength.drop.upper(CONFIDENCE) <= tolerance else "undecided"


def worse(first: Verdict, second: Verdict) -> Verdict:
    """Return the worse of two verdicts on one strength: the one that is farther from survival."""
    order: tuple[Verdict, ...] = ("lost", "undecided", "uninformative", "survives")
    return min(first, second, key=order.index)


def overall(
    rows: Sequence[Mapping[str, Any]], tolerance_points: float
) -> tuple[OverallVerdict, str]:
    """Return the model's verdict and why, in one or two sentences with numbers.

    *lost* if any strength is lost; *survives* if an attack's strength (``norm`` not None) is
    informative, and every informative one survives; else *undecided*: noise alone is no adversary.
    """
    by: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault(row["verdict"], []).append(row)
    informative = len(rows) - len(by.get("uninformative", ()))
    tolerance = f"{tolerance_points:g} points"
    if by.get("lost"):
        worst = max(by["lost"], key=lambda row: float(_leading(row)["drop_lower95"]))
        return "lost", (
            f"Robustness is lost: at {len(by['lost'])} of {len(rows)} strengths the drop is above "
            f"{tolerance}. Worst: {_numbers(worst)}."
        )
    if informative == 0:
        return "undecided", (
            "Undecided: no strength is informative. The float network's robust accuracy is "
            f"outside {100 * INFORMATIVE[0]:.0f}-{100 * INFORMATIVE[1]:.0f} % at all {len(rows)}; "
            "choose other radii."
        )
    if all(row["norm"] is None for row in rows if row["verdict"] != "uninformative"):
        return "undecided", (
            f"Undecided: none of the {len(rows)} strengths that can tell anything is an attack's, "
            "and noise alone shows no robustness to an adversary; choose other radii, or add an "
            "attack."
        )
    if not by.get("undecided"):
        worst = max(by["survives"], key=lambda row: float(_leading(row)["drop_upper95"]))
        return "survives", (
            f"Robustness survives: at all {informative} informative of {len(rows)} strengths the "
            f"drop is at most {tolerance} (one-sided 95 %). Largest: {_numbers(worst)}."
            + (f" But {churn}." if (churn := churn_text(rows, tolerance_points)) else "")
        )
    return "undecided", _undecided_text(by["undecided"], informative, tolerance)


def churn_text(rows: Sequence[Mapping[str, Any]], tolerance_points: float) -> str:
    """Return what a small drop hides: strengths that survive, yet lose more than the tolerance.

    Empty where there is none. There as many images were gained: the networks differ on many images,
    although neither is more robust.
    """
    found = [
        row for row in rows if row["verdict"] == "survives" and 100 * row["lost"] > tolerance_points
    ]
    if not found:
        return ""
    worst = max(found, key=lambda row: float(row["lost"] + row["gained"]))
    changed = 100 * (worst["lost"] + worst["gained"])
    return (
        f"at {len(found)} of the strengths that survive more than {tolerance_points:g} points of "
        f"images are lost, and gained elsewhere: {changed:.1f} points of images changed sides "
        f"({worst['perturbation']} at {worst['radius_codes']:g} codes: lost "
        f"{100 * worst['lost']:.1f}, gained {100 * worst['gained']:.1f})"
    )


def _undecided_text(
    undecided: Sequence[Mapping[str, Any]], informative: int, tolerance: str
) -> str:
    text = f"Undecided at {len(undecided)} of {informative} informative strengths"
    weak = [row for row in undecided if row["attack_too_weak"]]
    sentences = [f"{text}; no strength is lost."]
    if weak:
        lines = sorted({s["line"] for row in weak for s in row["sanity"] if not s["ok"]})
        sentences.append(
            f"At {len(weak)} the attack was too weak to tell (fails: {'; '.join(lines)})."
        )
    open_rows = [row for row in undecided if not row["attack_too_weak"]]
    if open_rows:
        worst = max(open_rows, key=lambda row: float(_leading(row)["drop_upper95"]))
        sentences.append(
            f"At {len(open_rows)} the interval holds {tolerance}, widest: {_numbers(worst)}."
        )
        needed = [row["needed_n"] for row in open_rows if row["needed_n"]]
        if needed:
            sentences.append(
                f"About {max(needed)} different images would give an even chance to decide "
                f"{len(needed)} of them."
            )
        if len(needed) < len(open_rows):
            sentences.append(
                f"At {len(open_rows) - len(needed)} the drop is so close to the tolerance that "
                "no practical number of images would."
            )
    return " ".join(sentences)


def _leading(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the numbers with the larger drop: with the points from elsewhere, or without them."""
    alone: Mapping[str, Any] | None = row.get("without_given")
    return alone if alone and alone["drop"] > row["drop"] else row


def _numbers(row: Mapping[str, Any]) -> str:
    leading = _leading(row)
    low, high = (100 * leading["drop_lower95"], 100 * leading["drop_upper95"])
    which = "" if leading is row else "without the points from elsewhere "
    return (
        f"{row['perturbation']} at {row['radius_codes']} codes, {which}float "
        f"{100 * leading['float']:.1f} %, fixed {100 * leading['fixed']:.1f} % (lost "
        f"{100 * leading['lost']:.1f}, gained {100 * leading['gained']:.1f}; drop "
        f"{100 * leading['drop']:.1f}, one-sided limits {low:.1f} and {high:.1f} points; "
        f"n = {row['n']})"
    )
