"""The page's sections of proofs: every number, each under the name of what it is about."""

import copy
import re

import numpy as np
import pytest
from robustness import test_sanity as pools
from robustness.test_given_verdicts import planted, right

from neurodeploy.report.curves_page import write_curves
from neurodeploy.report.number_text import GAP, percent, points
from neurodeploy.report.proofs import deviation_sentence, gain_rows, smoothing_facts

ROBUSTNESS = {
    "model": "m", "n": 321, "seed": 8, "verdict_text": "survives", "sanity": [],
    "robustness": [],
}  # fmt: skip
DEVIATION = {
    "n": 321, "equal": 301, "different": 16, "undecided": 4,
    "different_samples": [*range(100, 116)], "undecided_samples": [7, 29, 31, 37],
}  # fmt: skip
SMOOTHING = {
    "sigma_codes": 23.5, "n0": 110, "n": 4321, "seed": 8, "confidence": 0.998,
    "largest_radius_codes": 67.25, "accuracy": 0.875, "n_samples": 48, "abstained": 3,
    "deployed_accuracy": 0.9375, "passes_per_decision": 4431,
    "energy_per_pass_nj": {"low": 100.0, "typ": 200.0, "high": 300.0},
    "energy_per_decision_nj": {"low": 443100.0, "typ": 886200.0, "high": 1329300.0},
    "certified": [
        {"radius_codes": 0.0, "accuracy": 0.875, "ci95": [0.753, 0.941]},
        {"radius_codes": 11.75, "accuracy": 0.625, "ci95": [0.484, 0.748]},
    ],
}  # fmt: skip
STABILITY = {
    "warning": "No bound <through> spikes.",
    "layers": [
        {
            "population": "lif1", "sources": ["input", "lif1"], "exact": True, "steps": 6,
            "weight": {"lower": 2.0, "upper": 2.0}, "time": {"lower": 3.5, "upper": 3.5},
            "gain": {"lower": 7.0, "upper": 7.0},
        },
        {
            "population": "out", "sources": ["lif1"], "exact": False, "steps": 6,
            "weight": {"lower": 4.0, "upper": 4.0}, "time": {"lower": 0.0, "upper": 2.75},
            "gain": {"lower": 0.0, "upper": 11.0},
        },
    ],
}  # fmt: skip
CURVES = {
    "attack": "suite", "n": 321, "faults": [],
    "certified": [{"radius_codes": 1, "interval": 0.5, "interval_ci95": [0.4, 0.6],
                   "refined": 0.75, "refined_ci95": [0.7, 0.8]}],
    "agreement": [{"radius_codes": 0.0, "populations": {"lif1": 0.5}}],
    "energy": [{"energy_nj": {"low": 1.0, "typ": 2.0, "high": 3.0}, "synaptic_operations": 5.0}],
    "deviation": DEVIATION, "stability": STABILITY, "smoothing": SMOOTHING,
}  # fmt: skip


def sections(curves, tmp_path):
    """Return the text of each section of the page by its anchor, tags taken out."""
    write_curves(ROBUSTNESS, curves, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = {}
    for part in re.findall(r"<section.*?</section>", html, flags=re.DOTALL):
        anchor = re.search(r'id="([a-z]+)"', part).group(1)
        found[anchor] = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", part))
    return found


def test_each_kind_of_proof_has_a_section_of_its_own(tmp_path):
    found = sections(CURVES, tmp_path)
    assert {"proofs", "deviation", "smoothing", "stability"} <= set(found)
    for anchor in ("proofs", "deviation", "stability"):
        assert "l2" not in found[anchor]
        assert "smoothed" not in found[anchor].lower()
    assert "This is not the deployed network." in found["smoothing"]
    assert "no proof of robustness" in found["stability"]
    assert "No bound &lt;through&gt; spikes." in found["stability"]


def test_every_number_stands_on_the_page(tmp_path):
    found = sections(CURVES, tmp_path)
    for text in (
        deviation_sentence(DEVIATION),
        "7, 29, 31, 37.",
        "110, 111 and 4 more",
        "--sample 100 ",
    ):
        assert text in found["deviation"]
    assert "301 are proven equal" in deviation_sentence(DEVIATION)
    assert "16 are proven different, and 4 are undecided" in deviation_sentence(DEVIATION)
    facts = dict(smoothing_facts(SMOOTHING))
    plain = {term: text.replace(GAP, " ") for term, text in facts.items()}
    assert plain["noise"].startswith("Gaussian, sigma 23.5 codes")
    assert plain["draws"] == "110 to choose the class, 4,321 to count it; seed 8"
    assert plain["confidence"].startswith("99.8 % for each sample by itself")
    assert "above 67.25 codes" in plain["confidence"]
    assert plain["right on clean samples"] == (
        "87.5 % of 48; abstains on 3 (the deployed network itself: 93.8 %)"
    )
    assert plain["energy of one decision"] == (
        "4,431 passes of 200 nJ (100 nJ to 300 nJ) each: 886 µJ (443 µJ to 1.33 mJ) (core, "
        "estimate)"
    )
    for text in (*facts.values(), "11.75", f"62.5{GAP}%", f"48.4{GAP}%", f"74.8{GAP}%"):
        assert re.sub(r"\s+", " ", text) in found["smoothing"]


def test_a_bound_is_not_called_exact():
    assert gain_rows(STABILITY) == [
        ("lif1", "input, lif1", "7", "exact"),
        ("out", "lif1", "≤ 11", "upper bound"),
    ]


def test_no_energy_model_is_said(tmp_path):
    bare = {**SMOOTHING, "energy_per_pass_nj": None, "energy_per_decision_nj": None}
    text = dict(smoothing_facts(bare))["energy of one decision"]
    assert text == "4,431 passes; no energy model for this chip"
    assert text in sections({**CURVES, "smoothing": bare}, tmp_path)["smoothing"]


def test_a_refusal_is_shown_with_its_reason(tmp_path):
    found = sections({**CURVES, "deviation": {"refused": "6 steps & 7"}}, tmp_path)
    assert "No such proof for this network: 6 steps &amp; 7" in found["deviation"]


@pytest.mark.parametrize("absent", ["deviation", "stability", "smoothing"])
def test_what_was_not_made_has_no_section(tmp_path, absent):
    curves = copy.deepcopy(CURVES)
    curves[absent] = None
    assert absent not in sections(curves, tmp_path)


def test_folded_gains_are_said_with_the_proof():
    assert "folded" not in deviation_sentence({**DEVIATION, "folded_gains": []})
    said = deviation_sentence({**DEVIATION, "folded_gains": ["lif1", "lif2"]})
    assert "gains of lif1, lif2 folded into their means" in said


def test_numbers_without_the_points_from_elsewhere_stand_beside_the_others(tmp_path):
    """Points that break the float network alone: the page shows what they hide."""
    alone, joined = planted(), planted((right(0.5) & ~right(0.05, 0.465), np.ones(pools.N, bool)))
    for row, shown in ((alone, False), (joined, True)):
        document = {**ROBUSTNESS, "robustness": [row]}
        write_curves(document, CURVES, tmp_path / "r.html")
        html = (tmp_path / "r.html").read_text(encoding="utf-8")
        table = re.search(
            r"<table[^>]*>\s*<caption>The same without the points from elsewhere.*?</table>",
            html, re.DOTALL,
        )  # fmt: skip
        assert (table is not None) == shown
        assert ("They make a verdict worse, never better" in re.sub(r"\s+", " ", html)) == shown
    without = joined["without_given"]
    assert without["drop"] > joined["drop"]
    text = re.sub(r"[^\S\u00a0]+", " ", re.sub(r"<[^>]*>", " ", table.group()))
    for value in (percent(without[k]) for k in ("float", "fixed", "lost", "gained")):
        assert value in text
    for value in (points(without[k]) for k in ("drop", "drop_lower95", "drop_upper95")):
        assert value in text
    assert f"{without['verdict']} {joined['verdict']}" in text
