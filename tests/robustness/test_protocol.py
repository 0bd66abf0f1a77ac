"""The protocol on tiny classifiers whose robustness is known by enumeration."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from robustness.standins import Blind, Constant, Linear, Spy, random_linear, truly_robust

from neurodeploy.attacks import PGD, Square
from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.robustness import RobustnessConfig, evaluate_classifiers
from neurodeploy.robustness.config import ThreatModel
from neurodeploy.robustness.pool import CleanSamples, build_pool
from neurodeploy.robustness.result import SUMMARY_KEYS
from neurodeploy.robustness.sanity import SanityLine
from neurodeploy.robustness.statistics import paired_drop
from neurodeploy.robustness.suite import MemberPlan, Suite, full_suite, named_suite
from neurodeploy.robustness.surrogates import Surrogate
from neurodeploy.robustness.verdict import Strength, judge

SMALL = RobustnessConfig(
    perturbations=("fgsm",),
    radii_codes=(1, 2, 3),
    bootstrap=1000,
    seed=7,
)


def two_networks(seed=1, n=120, n_input=4, max_code=15):
    """Two-class linear networks that differ by a small change of the weights, and samples."""
    first = random_linear(seed, n_input, 2, max_code, largest=4)
    rng = np.random.default_rng(seed + 50)
    second = Linear(first.weight + rng.integers(-1, 2, first.weight.shape), first.bias, max_code)
    codes = rng.integers(0, max_code + 1, (n, n_input)).astype(np.int32)
    labels = first.predict(codes)
    return first, second, codes, np.where(labels < 0, 0, labels)


def test_numbers_equal_enumeration():
    """On two linear classes FGSM is exact, so every share is known."""
    first, second, codes, labels = two_networks()
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, SMALL)
    lost_somewhere = gained_somewhere = 0
    for row in result.rows:
        radius = row["radius_codes"]
        robust_float = truly_robust(first, codes, labels, radius)
        robust_fixed = truly_robust(second, codes, labels, radius)
        lost = (robust_float & ~robust_fixed).mean()
        gained = (robust_fixed & ~robust_float).mean()
        assert row["float"] == robust_float.mean()
        assert row["fixed"] == robust_fixed.mean()
        assert row["lost"] == lost
        assert row["gained"] == gained
        assert row["drop"] == pytest.approx(lost - gained)
        assert row["retention"] == (robust_float & robust_fixed).sum() / robust_float.sum()
        assert row["drop_ci95"][0] <= row["drop_lower95"] <= row["drop"]
        assert row["drop"] <= row["drop_upper95"] <= row["drop_ci95"][1]
        assert row["null"]["lost"] == row["null"]["gained"] == 0, "an exact attack has no luck"
        assert row["n"] == 120
        lost_somewhere += lost > 0
        gained_somewhere += gained > 0
    assert lost_somewhere
    assert result.clean_accuracy["float"] == (first.predict(codes) == labels).mean()
    assert result.clean_accuracy["fixed"] == (second.predict(codes) == labels).mean()


def test_members_are_equal_and_show_transfer():
    first, second, codes, labels = two_networks()
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, SMALL)
    row = result.rows[1]
    names = [m["name"] for m in row["members"]]
    seen = [f"fgsm triangle {width}" for width in ("0.25", "0.5", "1")]
    seen.append("pgd40-margin+dlr superspike 0.125 (stronger)")
    assert names == [f"{side}: {name}" for side in ("float", "fixed") for name in seen]
    evidence = result.evidence.rows[1]
    assert evidence.key == "fgsm/2"
    assert list(evidence.members) == names
    for index, member in enumerate(row["members"]):
        own = evidence.rows.member == index
        assert member["samples"] == own.sum()
        for side, net in (("float", first), ("fixed", second)):
            points, sample = evidence.rows.points[own], evidence.rows.sample[own]
            right = net.predict(points) == labels[sample]
            assert member[side] == (right.mean() if right.size else None)
    for side, net, other in (("float", first, "fixed"), ("fixed", second, "float")):
        theirs = [i for i, m in enumerate(row["members"]) if m["attacked"] == other]
        rows = evidence.rows
        mine = np.isin(rows.member, theirs)
        wrong = net.predict(rows.points[mine]) != labels[rows.sample[mine]]
        broken = np.isin(np.arange(120), rows.sample[mine][wrong])
        assert row["transfer"][side] == ((net.predict(codes) == labels) & ~broken).mean()
        assert row["transfer"][side] >= row[side]


def test_only_survivors_go_on_and_no_point_leaves_its_ball():
    first, second, codes, labels = two_networks()
    config = dataclasses.replace(SMALL, perturbations=("suite",), radii_codes=(2,))
    nets = {"float": first, "fixed": second}
    result = evaluate_classifiers(nets, codes, labels, config)
    evidence = result.evidence.rows[0]
    rows = evidence.rows
    assert (np.abs(rows.points - codes[rows.sample]) <= 2).all()
    stages = [p.stage for p in full_suite().plans]
    count = len(stages)
    for start, side in ((0, "float"), (count, "fixed")):
        assert [m.split(":")[0] for m in evidence.members[start : start + count]] == [side] * count
        alive = nets[side].predict(codes) == labels
        for stage in range(stages[-1] + 1):
            before = alive.copy()
            for index in (i for i, s in enumerate(stages) if s == stage):
                own = rows.member == start + index
                assert sorted(rows.sample[own]) == np.flatnonzero(before).tolist()
                wrong = nets[side].predict(rows.points[own]) != labels[rows.sample[own]]
                alive[rows.sample[own][wrong]] = False
        assert 0 < alive.sum() < (nets[side].predict(codes) == labels).sum()


def test_the_full_suite_sees_through_three_shapes_in_three_widths():
    plans = [p for p in full_suite().plans if p.attack.uses_gradient]
    seen = {(p.surrogate.shape, p.surrogate.width) for p in plans}
    for shape in ("triangle", "superspike", "rectangle"):
        assert len({width for s, width in seen if s == shape}) >= 3
    assert [p.stronger for p in full_suite().plans].count(True) == 1
    assert full_suite().plans[-1].stronger


def test_unequal_suites_cannot_be_compared():
    """A pool is made of one list of members; one put together otherwise is refused."""
    first, second, codes, labels = two_networks(n=20)
    nets = {"float": first, "fixed": second}
    clean = CleanSamples(codes, labels, {s: n.predict(codes) for s, n in nets.items()})
    made = build_pool(named_suite("pgd5"), 2, nets, clean, SMALL, lambda _: None)
    fixed = made.numbers("fixed")
    without_last = tuple(m for i, m in enumerate(made.members) if i != fixed[-1])
    ran = made.members[fixed[0]].ran
    longer = dataclasses.replace(ran.plan, attack=PGD(steps=50))
    for wrong in (
        without_last,
        made.members[: len(fixed)],
        replaced(made.members, fixed[0], dataclasses.replace(ran, seed=ran.seed + 1)),
        replaced(made.members, fixed[0], dataclasses.replace(ran, plan=longer)),
    ):
        with pytest.raises(InputError, match="must meet the same suite with the same seeds"):
            dataclasses.replace(made, members=wrong)
    dataclasses.replace(made, members=made.members)


def replaced(members, index, ran):
    changed = dataclasses.replace(members[index], ran=ran)
    return (*members[:index], changed, *members[index + 1 :])


def test_a_point_found_on_one_network_counts_against_the_other():
    """The float network hides its gradient; only the pool breaks it."""
    first, _, codes, labels = two_networks()
    hidden = Blind(first.weight, first.bias, first.max_code)
    config = dataclasses.replace(SMALL, perturbations=("fgsm",))
    result = evaluate_classifiers({"float": hidden, "fixed": first}, codes, labels, config)
    for row in result.rows:
        own = [m["float"] for m in row["members"] if m["attacked"] == "float"]
        assert set(own[:3]) == {1.0}, "its own adversaries never hurt it"
        robust = truly_robust(first, codes, labels, row["radius_codes"]).mean()
        assert row["float"] == row["fixed"] == robust < 1
        assert row["lost"] == row["gained"] == 0
        assert row["attack_too_weak"]


def test_identical_networks_lose_nothing_whatever_the_attack():
    net = random_linear(4, 8, 4, 255, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (60, 8)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = RobustnessConfig(("gaussian", "fgsm", "pgd5"), (10, 40), bootstrap=1000)
    result = evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config)
    assert all(row["lost"] == row["gained"] == 0 for row in result.rows)
    assert any(0 < row["float"] < 1 for row in result.rows)


def test_noise_gives_both_networks_the_same_points():
    first, second, codes, labels = two_networks(n=50)
    spies = {"float": Spy(first), "fixed": Spy(second)}
    config = RobustnessConfig(("gaussian",), (3,), noise_draws=5, bootstrap=1000)
    result = evaluate_classifiers(spies, codes, labels, config)
    rows = result.evidence.rows[0].rows
    assert (rows.sample == np.tile(np.arange(50), 5)).all()
    assert (rows.member == np.repeat(np.arange(5), 50)).all()
    points = rows.points.reshape(5, 50, 4)
    assert len({p.tobytes() for p in points}) == 5
    for spy in spies.values():
        assert any(np.array_equal(asked, points.reshape(-1, 4)) for _, asked in spy.asked)
    expected = (first.predict(points.reshape(-1, 4)).reshape(5, 50) == labels).all(axis=0)
    expected &= first.predict(codes) == labels
    assert result.rows[0]["float"] == expected.mean()


def test_null_line_is_zero_for_equal_seeds_and_not_for_others():
    net = random_linear(4, 8, 6, 255, largest=3)
    other = random_linear(4, 8, 6, 255, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (200, 8)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = RobustnessConfig(("gaussian", "pgd2"), (20,), seed=5, bootstrap=1000)
    luck = {}
    for null_seed in (5, 6, None):
        asked = dataclasses.replace(config, null_seed=null_seed)
        result = evaluate_classifiers({"float": net, "fixed": other}, codes, labels, asked)
        nulls = {row["perturbation"]: row["null"] for row in result.rows}
        luck[null_seed] = {k: v["lost"] + v["gained"] for k, v in nulls.items()}
        luck_lines = [s for row in result.rows for s in row["sanity"] if "second run" in s["line"]]
        assert {line["perturbation"] for line in luck_lines} == {"pgd2"}, "none that cannot fail"
    assert luck[5] == {"gaussian": 0, "pgd2": 0}
    for null_seed in (6, None):
        assert luck[null_seed]["gaussian"] > 0
        assert luck[null_seed]["pgd2"] > 0


def test_ties_count_as_wrong_and_are_counted():
    net = Linear(np.array([[1], [0]]), np.array([0, 10]), max_code=20)
    codes = np.array([[10], [11], [13], [3]], np.int32)
    labels = np.array([0, 0, 0, 1])
    config = dataclasses.replace(SMALL, perturbations=("fgsm",), radii_codes=(1,))
    result = evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config)
    assert result.clean_accuracy["float"] == 0.75
    assert result.clean_accuracy["ties"] == {"float": 1, "fixed": 1}
    assert result.rows[0]["float"] == 0.5  # 11 -> 10 is a tie
    assert result.rows[0]["ties"] == {"float": 2, "fixed": 2}


def test_same_seed_same_result_other_seed_other_points():
    net = random_linear(4, 8, 6, 255, largest=3)
    other = random_linear(5, 8, 6, 255, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (40, 8)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = RobustnessConfig(("gaussian", "pgd3"), (20, 40), bootstrap=1000)
    pair = {"float": net, "fixed": other}
    first = evaluate_classifiers(pair, codes, labels, config)
    second = evaluate_classifiers(pair, codes, labels, config)
    third = evaluate_classifiers(pair, codes, labels, dataclasses.replace(config, seed=1))
    assert first.as_dict() == second.as_dict()
    for a, b, c in zip(first.evidence.rows, second.evidence.rows, third.evidence.rows, strict=True):
        assert (a.rows.points == b.rows.points).all()
        assert a.rows.points.shape != c.rows.points.shape or (a.rows.points != c.rows.points).any()


def test_rows_are_json_and_hold_the_summary():
    first, second, codes, labels = two_networks(n=30)
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, SMALL)
    document = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert document["robustness"][0]["verdict"] in {
        "survives",
        "lost",
        "undecided",
        "uninformative",
    }
    assert list(result.summary_rows()[0]) == list(SUMMARY_KEYS)
    assert document["threat_model"]["clip"] == [0, 15]
    assert document["threat_model"] == ThreatModel((1, 2, 3), 15).as_dict()
    assert [(r["perturbation"], r["radius_codes"]) for r in document["robustness"]] == [
        ("fgsm", r) for r in (1, 2, 3)
    ]
    assert all(set(line) == {"line", "ok", "detail"} for line in document["sanity"])


def test_a_network_that_broke_is_lost_and_not_excused_by_its_missing_gradient():
    net = random_linear(4, 20, 6, 255, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (200, 20)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = dataclasses.replace(SMALL, radii_codes=(3, 6))
    broken = Constant(0, 6)
    result = evaluate_classifiers({"float": net, "fixed": broken}, codes, labels, config)
    assert {row["verdict"] for row in result.rows} == {"lost"}
    assert all(row["attack_too_weak"] for row in result.rows)
    assert result.verdict == "lost"
    finding = result.findings()[0]
    assert finding.severity == "error"
    assert "Robustness is lost" in finding.what


def test_an_attack_that_sees_nothing_is_too_weak():
    first, _, codes, labels = two_networks(n_input=60, max_code=255)
    hidden = Blind(first.weight, first.bias, first.max_code)
    once = dataclasses.replace(SMALL, radii_codes=(2,))
    result = evaluate_classifiers({"float": hidden, "fixed": hidden}, codes, labels, once)
    failed = {line["line"] for line in result.sanity if not line["ok"]}
    assert "gradients are not zero" in failed
    assert result.verdict == "undecided"
    assert "too weak" in result.verdict_text
    assert all(row["attack_too_weak"] for row in result.rows)
    assert all(row["needed_n"] is None for row in result.rows), "more images would not help"


def test_the_large_radius_speaks_about_every_radius_of_its_attack(monkeypatch):
    first, second, codes, labels = two_networks(n=30)
    asked = []

    def fail(pool, grey, tolerance_points):
        asked.append((pool.perturbation, pool.radius_codes, pool.null_rows.sample.size))
        return (SanityLine("too large", False, "-", "fixed", pool.perturbation, 8),)

    monkeypatch.setattr("neurodeploy.robustness.protocol.large_radius_lines", fail)
    config = dataclasses.replace(
        SMALL, perturbations=("fgsm", "pgd5", "gaussian"), radii_codes=(1, 2)
    )
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, config)
    assert asked == [("fgsm", 8, 0), ("pgd5", 8, 0)]
    for row in result.rows:
        assert row["attack_too_weak"] == (row["perturbation"] != "gaussian")


def test_an_attack_that_a_stronger_one_beats_is_too_weak(monkeypatch):
    """One step of a twentieth of the radius is no attack; the stronger one takes full steps."""
    first, second, codes, labels = two_networks(n_input=8, max_code=255)
    weak = MemberPlan(PGD(steps=1, step_share=0.05), Surrogate(), 0)
    full = MemberPlan(PGD(steps=20), Surrogate(), 1, stronger=True)
    suite = Suite("weak", (weak, full))
    monkeypatch.setattr("neurodeploy.robustness.protocol.named_suite", lambda *_: suite)
    config = RobustnessConfig(("weak",), (10, 40), bootstrap=1000)
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, config)
    failed = {line["line"] for line in result.sanity if not line["ok"]}
    assert "a stronger attack finds little more" in failed
    assert all(row["attack_too_weak"] for row in result.rows)


def test_what_only_queries_find_is_a_sign_of_masking(monkeypatch):
    first, _, codes, labels = two_networks(n_input=6, max_code=255)
    hidden = Blind(first.weight, first.bias, first.max_code)
    plans = (
        MemberPlan(PGD(steps=20), Surrogate(), 0),
        MemberPlan(Square(100), Surrogate(), 1),
    )
    monkeypatch.setattr(
        "neurodeploy.robustness.protocol.named_suite", lambda *_: Suite("both", plans)
    )
    config = RobustnessConfig(("both",), (40,), bootstrap=1000)
    for net, ok in ((hidden, False), (first, True)):
        result = evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config)
        lines = {line["line"]: line["ok"] for line in result.sanity}
        assert lines["queries find little more than gradients"] == ok


def test_a_sound_attack_passes_every_sanity_line():
    first, second, codes, labels = two_networks()
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, SMALL)
    assert [line["line"] for line in result.sanity if not line["ok"]] == []
    assert {line["line"] for line in result.sanity} == {
        "a second run finds little more",
        "gradients are not zero",
        "a second width finds little more",
        "the white box is not weaker than transfer",
        "a larger radius is not weaker",
        "a large radius breaks the network",
        "a stronger attack finds little more",
    }


def test_progress_counts_up_and_an_interrupt_goes_through():
    first, second, codes, labels = two_networks(n=10)
    pair = {"float": first, "fixed": second}
    seen = []
    evaluate_classifiers(
        pair, codes, labels, SMALL, progress=lambda stage, done, total: seen.append((done, total))
    )
    total = seen[0][1]
    # Four members at three radii on two networks and the null line; and at the large radius,
    # without a null line.
    assert total == 3 * 3 * 4 + 2 * 4
    assert seen == [(i, total) for i in range(total)]

    def stop(stage, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_classifiers(pair, codes, labels, SMALL, progress=stop)


def test_results_do_not_depend_on_the_numbers_asked_beside():
    first, second, codes, labels = two_networks(n=40)
    pair = {"float": first, "fixed": second}
    both = dataclasses.replace(SMALL, perturbations=("gaussian", "pgd5"))
    alone = dataclasses.replace(SMALL, perturbations=("pgd5",), radii_codes=(2,))
    many = evaluate_classifiers(pair, codes, labels, both)
    one = evaluate_classifiers(pair, codes, labels, alone)
    same = next(row for row in many.evidence.rows if row.key == "pgd5/2")
    assert (one.evidence.rows[0].rows.points == same.rows.points).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"perturbations": ()}, "must be given"),
        ({"perturbations": ("fgsm", "fgsm")}, "only once"),
        ({"radii_codes": (3, 2)}, "rising"),
        ({"radii_codes": (0, 2)}, "from 1 on"),
        ({"radii_codes": (1.5,)}, "whole numbers"),
        ({"norm": "l1"}, "neither"),
        ({"noise_draws": 0}, "at least 1"),
        ({"bootstrap": 10}, "at least 1000"),
        ({"radii_codes": tuple(range(1, 52))}, "102 strengths"),
        ({"bootstrap": 1000, "radii_codes": (1, 2, 3, 4, 5, 6)}, "needs at least 1200"),
        ({"tolerance_points": 0}, "tolerance_points"),
    ],
)
def test_bad_configurations(change, words):
    with pytest.raises(InputError, match=words):
        RobustnessConfig(**change)


def test_the_fewest_replicates_still_show_a_loss_at_every_strength():
    """The smallest p-value that they can give is below what Holm asks of the first of them."""
    for strengths in (10, 101):
        fewest = max(1000, 100 * strengths)
        RobustnessConfig(("suite",), tuple(range(1, strengths + 1)), bootstrap=fewest)
        drop = paired_drop(np.ones(360, bool), np.zeros(360, bool), fewest, 0)
        assert set(judge([Strength(0.5, drop)] * strengths, 0.02)) == {"lost"}


def test_bad_calls():
    first, second, codes, labels = two_networks(n=10)
    pair = {"float": first, "fixed": second}
    with pytest.raises(InputError, match="does not exist"):
        evaluate_classifiers(pair, codes, labels, dataclasses.replace(SMALL, perturbations=("x",)))
    with pytest.raises(InputError, match="larger than the whole range"):
        evaluate_classifiers(pair, codes, labels, dataclasses.replace(SMALL, radii_codes=(16,)))
    with pytest.raises(InputError, match="no samples"):
        evaluate_classifiers(pair, codes[:0], labels[:0], SMALL)
    with pytest.raises(ShapeError, match="do not fit"):
        evaluate_classifiers(pair, codes, labels[:5], SMALL)
    for wrong, error, words in (
        (labels + 5, RangeError, "has no output; the networks have 2 classes"),
        (labels + np.nan, RangeError, "NaN"),
        (labels - 2, RangeError, "negative"),
    ):
        with pytest.raises(error, match=words):
            evaluate_classifiers(pair, codes, wrong, SMALL)
    with pytest.raises(InputError, match=r"no sample of 1 of 2 classes \(1\).*--allow-empty"):
        evaluate_classifiers(pair, codes, labels * 0, SMALL)
    once = dataclasses.replace(SMALL, perturbations=("gaussian",), allow_empty_classes=True)
    found = evaluate_classifiers(pair, codes, labels * 0, once).findings()
    assert ["no sample of 1 of 2 classes (1)" in f.what for f in found].count(True) == 1
    with pytest.raises(RangeError, match="NaN"):
        evaluate_classifiers(pair, codes * np.nan, labels, SMALL)
    three = {"float": first, "fixed": random_linear(1, 4, 3, 15)}
    with pytest.raises(InputError, match="2 and 3 classes"):
        evaluate_classifiers(three, codes, labels, SMALL)
    wide = dataclasses.replace(second, max_code=255)
    with pytest.raises(InputError, match="one input grid"):
        evaluate_classifiers({"float": first, "fixed": wide}, codes, labels, SMALL)
