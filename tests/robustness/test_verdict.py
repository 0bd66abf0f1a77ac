"""Every branch of the verdict."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from neurodeploy.robustness.config import RobustnessConfig, ThreatModel
from neurodeploy.robustness.result import RobustnessResult
from neurodeploy.robustness.statistics import PairedDrop, holm_levels, needed_n
from neurodeploy.robustness.verdict import Strength, churn_text, judge, overall, worse

FLOAT, FIXED, BOTH = frozenset({"float"}), frozenset({"fixed"}), frozenset({"float", "fixed"})


def strength(accuracy, lost, gained, weak=frozenset(), n=360):
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.array([lost, gained, n - lost - gained]) / n, 10_000)
    return Strength(accuracy, PairedDrop(lost, gained, n, (counts[:, 0] - counts[:, 1]) / n), weak)


@pytest.mark.parametrize(
    ("accuracy", "lost", "gained", "weak", "verdict"),
    [
        (0.5, 2, 2, frozenset(), "survives"),
        (0.5, 0, 0, frozenset(), "survives"),
        (0.5, 0, 60, frozenset(), "survives"),  # a gain is no loss
        (0.5, 9, 2, frozenset(), "undecided"),  # 1.9 points, wide interval
        (0.5, 14, 2, frozenset(), "undecided"),  # 3.3 points, still not beyond doubt
        (0.5, 40, 2, frozenset(), "lost"),
        (0.2, 2, 2, frozenset(), "survives"),  # the window's borders belong to it
        (0.9, 2, 2, frozenset(), "survives"),
        (0.199, 2, 2, frozenset(), "uninformative"),
        (0.901, 2, 2, frozenset(), "uninformative"),
        (0.95, 90, 0, frozenset(), "lost"),  # a loss counts at every strength
        (0.19, 60, 0, frozenset(), "lost"),
        (0.5, 2, 2, FLOAT, "undecided"),
        (0.5, 2, 2, FIXED, "undecided"),
        (0.5, 90, 0, FLOAT, "undecided"),  # float may be overstated, and with it the drop
        (0.5, 90, 0, BOTH, "undecided"),
        (0.5, 90, 0, FIXED, "lost"),  # a better attack on fixed would only find more
        (0.95, 2, 2, FLOAT, "undecided"),  # a better attack might make it informative
        (0.1, 2, 2, FLOAT, "uninformative"),  # a better attack could not
        (0.1, 60, 0, FLOAT, "uninformative"),
    ],
)
def test_verdict_on_one_strength(accuracy, lost, gained, weak, verdict):
    assert judge([strength(accuracy, lost, gained, weak)], 0.02) == (verdict,)


def test_too_few_images_decide_nothing():
    assert judge([strength(0.5, 0, 0, n=20)], 0.02) == ("undecided",)
    assert judge([strength(0.5, 0, 0, n=20)], 0.15) == ("survives",)


def test_holm_over_strengths():
    """A p-value of 1-4 % loses alone, and not among nine others that are fine."""
    edge = strength(0.5, 17, 2)
    assert 0.01 < edge.drop.p_lost(0.02) < 0.04
    fine = [strength(0.5, 1, 1)] * 9
    assert judge([edge], 0.02) == ("lost",)
    assert judge([edge, *fine], 0.02) == ("undecided", *["survives"] * 9)
    assert judge([edge, *[strength(0.5, 80, 0)] * 9], 0.02) == ("lost",) * 10


def test_the_worse_of_two_verdicts():
    order = ("lost", "undecided", "uninformative", "survives")
    for i, first in enumerate(order):
        for j, second in enumerate(order):
            assert worse(first, second) == order[min(i, j)]


@pytest.mark.parametrize("neighbours", [0, 3, 9])
def test_needed_n_is_decided_beside_its_neighbours(neighbours):
    """At the number it names this very rule decides; at nine tenths of it it does not."""
    beside = [strength(0.5, 1, 1)] * (neighbours - 1) + [strength(0.5, 80, 0)] * (neighbours > 0)
    for lost, gained in ((15, 3), (16, 4), (12, 6), (4, 1)):
        base = strength(0.5, lost, gained)
        of = [base, *beside]
        assert judge(of, 0.02)[0] == "undecided"
        level = holm_levels([s.drop.p_lost(0.02) for s in of])[0]
        assert level == pytest.approx(0.05 / max(1, neighbours))
        needed = needed_n(base.drop, 0.02, level)
        for n, decided in ((needed, True), (round(0.9 * needed), False)):
            again = strength(0.5, round(lost * n / 360), round(gained * n / 360), n=n)
            assert (judge([again, *beside], 0.02)[0] != "undecided") == decided, (n, needed)


def test_the_text_leads_with_the_larger_drop():
    hidden = {**row("lost"), "without_given": {**row("lost"), "drop": 0.05, "lost": 0.06,
              "drop_lower95": 0.03}}  # fmt: skip
    text = overall([hidden], 2.0)[1]
    assert "without the points from elsewhere float 50.0 %" in text
    assert "drop 5.0, one-sided limits 3.0 and" in text
    hidden["without_given"]["drop"] = 0.01
    assert "elsewhere" not in overall([hidden], 2.0)[1]


def row(verdict, weak=False, needed_n=None, radius=26, norm="linf"):
    return {
        "perturbation": "pgd20",
        "norm": norm,
        "radius_codes": radius,
        "float": 0.5,
        "fixed": 0.48,
        "lost": 0.03,
        "gained": 0.01,
        "drop": 0.02,
        "drop_lower95": 0.001,
        "drop_upper95": 0.04,
        "n": 360,
        "verdict": verdict,
        "attack_too_weak": weak,
        "needed_n": needed_n,
        "sanity": [{"line": "PGD is not weaker than FGSM", "ok": not weak}],
    }


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (("survives", "survives"), "survives"),
        (("survives", "uninformative"), "survives"),
        (("survives", "undecided"), "undecided"),
        (("uninformative", "uninformative"), "undecided"),
        (("survives", "lost"), "lost"),
        (("undecided", "lost", "uninformative"), "lost"),
        (("uninformative", "undecided"), "undecided"),
    ],
)
def test_overall(verdicts, expected):
    verdict, text = overall([row(v) for v in verdicts], 2.0)
    assert verdict == expected
    assert text.startswith(
        {"survives": "Robustness survives", "lost": "Robustness is lost"}.get(expected, "Undecided")
    )


def test_overall_says_why_in_numbers():
    _, text = overall([row("uninformative")] * 3, 2.0)
    assert "no strength is informative" in text
    assert "outside 20-90 % at all 3" in text
    _, text = overall([row("survives"), row("undecided", needed_n=977)], 2.0)
    assert "About 977 different images would give an even chance to decide 1 of them." in text
    assert "Undecided at 1 of 2 informative strengths" in text
    _, text = overall([row("undecided", needed_n=977), row("undecided")], 2.0)
    assert "At 1 the drop is so close to the tolerance" in text
    _, text = overall([row("survives"), row("undecided", weak=True)], 2.0)
    assert "attack was too weak" in text
    assert "PGD is not weaker than FGSM" in text
    _, text = overall([row("survives"), row("lost", radius=51)], 2.0)
    assert "at 1 of 2 strengths the drop is above 2 points" in text
    assert "pgd20 at 51 codes, float 50.0 %, fixed 48.0 % (lost 3.0, gained 1.0" in text


def test_noise_alone_never_survives():
    gone = [row("uninformative", norm="linf"), row("survives", norm=None)]
    verdict, text = overall(gone, 2.0)
    assert verdict == "undecided"
    assert "noise alone" in text
    assert overall([*gone, row("survives", norm="linf")], 2.0)[0] == "survives"


def test_survival_tells_of_images_that_changed_sides():
    """Lost above the tolerance, although the drop is not: said in the text, with numbers."""
    still = {**row("survives"), "lost": 0.02, "gained": 0.0}
    busy = {**row("survives", radius=13), "lost": 0.075, "gained": 0.07}
    assert churn_text([still, row("lost"), row("undecided")], 2.0) == ""
    assert "changed sides" not in overall([still], 2.0)[1]
    text = churn_text([still, row("survives"), busy], 2.0)
    assert text.startswith("at 2 of the strengths that survive more than 2 points of images are")
    assert "14.5 points of images changed sides (pgd20 at 13 codes: lost 7.5, gained 7.0)" in text
    verdict, whole = overall([still, busy], 2.0)
    assert verdict == "survives"
    assert "But at 1 of the strengths" in whole
    assert churn_text([busy], 8.0) == ""


def test_the_finding_says_it_even_where_the_model_is_undecided():
    rows = [{**row("survives"), "informative": False}, {**row("undecided"), "informative": False}]
    result = RobustnessResult(
        "undecided", "-", {}, tuple(rows), (), RobustnessConfig(), ThreatModel((26,), 255), None
    )
    (found,) = [f for f in result.findings() if "changed sides" in f.what]
    assert found.severity == "warning"
    wide = dataclasses.replace(result, config=RobustnessConfig(tolerance_points=5.0))
    assert len(wide.findings()) == len(result.findings()) - 1
