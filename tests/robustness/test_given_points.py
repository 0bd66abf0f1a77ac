"""Adversarial points from elsewhere join the pool, inside the ball only, and are told apart."""

import json

import numpy as np
import pytest
from robustness.standins import Blind, random_linear, truly_robust

from neurodeploy.attacks import Ball
from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.robustness import (
    GivenPoints,
    RobustnessConfig,
    evaluate_classifiers,
    load_points,
    replay,
    save_evidence,
)
from neurodeploy.robustness.given_points import names_apart

RADIUS, MAX_CODE = 2, 15


@pytest.fixture(scope="module")
def linear():
    """A network that no gradient is seen of, its samples, and every point of every ball."""
    net = random_linear(3, 3, 3, MAX_CODE)
    blind = Blind(net.weight, net.bias, MAX_CODE)
    codes = np.random.default_rng(0).integers(0, MAX_CODE + 1, (300, 3)).astype(np.int32)
    labels = net.predict(codes)
    kept = labels >= 0
    return blind, codes[kept], labels[kept]


def worst(net, codes, labels):
    """Return the corner of each ball with the least margin against the strongest other class."""
    corners = np.array(np.meshgrid(*[[-RADIUS, RADIUS]] * 3)).reshape(3, -1).T
    around = np.clip(codes[:, None] + corners, 0, MAX_CODE)
    found = np.empty_like(codes)
    for i, points in enumerate(around):
        wrong = net.predict(points) != labels[i]
        found[i] = points[int(wrong.argmax())]
    return found


def evaluated(net, codes, labels, given):
    config = RobustnessConfig(("fgsm",), (1, RADIUS), bootstrap=1000, allow_empty_classes=True)
    return evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config, given=given)


def test_given_points_count_where_the_ball_holds_them(linear):
    net, codes, labels = linear
    points = GivenPoints("others", codes, worst(net, codes, labels))
    alone, joined = (evaluated(net, codes, labels, given) for given in ((), (points,)))
    small, large = joined.evidence.rows[:2]
    true = truly_robust(net, codes, labels, RADIUS)
    # The least margin of a linear network lies in a corner: what they break is all there is.
    assert (large.robust["float"] == true).all()
    assert alone.rows[1]["float"] > joined.rows[1]["float"] + 0.05
    # Of the smaller ball they hold only what the range cut short.
    inside = np.abs(points.points - codes).max(axis=1) <= 1
    number = small.members.index("given: others")
    assert set(small.rows.sample[small.rows.member == number]) == set(np.flatnonzero(inside))
    lines = {(e["line"], e["radius_codes"]): e for row in joined.rows for e in row["sanity"]}
    told = lines["points from elsewhere find little more", RADIUS]
    assert not told["ok"]
    assert joined.rows[1]["attack_too_weak"]
    assert not [e for row in alone.rows for e in row["sanity"] if "elsewhere" in e["line"]]


def test_they_stand_in_no_null_line_and_in_no_transfer(linear):
    net, codes, labels = linear
    points = GivenPoints("others", codes, worst(net, codes, labels))
    config = RobustnessConfig(("pgd5",), (RADIUS,), bootstrap=1000, allow_empty_classes=True)
    alone, joined = (
        evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config, given=given)
        for given in ((), (points,))
    )
    for key in ("null", "transfer"):
        assert alone.rows[0][key] == joined.rows[0][key]
    assert (alone.evidence.rows[0].null_robust == joined.evidence.rows[0].null_robust).all()


def test_evidence_of_another_evaluation_joins_by_its_clean_codes(linear, tmp_path):
    net, codes, labels = linear
    points = GivenPoints("others", codes, worst(net, codes, labels))
    first = evaluated(net, codes, labels, (points,))
    save_evidence(tmp_path / "first.npz", first.evidence)
    loaded = load_points(tmp_path / "first.npz")
    order = np.random.default_rng(1).permutation(len(codes))[:100]
    again = evaluated(net, codes[order], labels[order], (loaded,))
    (small, large), (old_small, old_large) = again.evidence.rows[:2], first.evidence.rows[:2]
    assert (large.robust["fixed"] == old_large.robust["fixed"][order]).all()
    # Points that were found at the larger radius may lie in the smaller ball, too.
    assert not (small.robust["fixed"] & ~old_small.robust["fixed"][order]).any()
    save_evidence(tmp_path / "again.npz", again.evidence)
    assert replay(tmp_path / "again.npz", net, net).ok


def test_files_of_one_name_are_two_members(linear):
    net, codes, labels = linear
    bad = worst(net, codes, labels)
    names = ("evidence.npz", "evidence.npz (2)", "evidence.npz", "other.npz", "evidence.npz")
    parts = [GivenPoints(name, codes[k::5], bad[k::5]) for k, name in enumerate(names)]
    assert names_apart(parts) == (
        "evidence.npz", "evidence.npz (2)", "evidence.npz (3)", "other.npz", "evidence.npz (4)"
    )  # fmt: skip
    found = evaluated(net, codes, labels, parts)
    members = [m for m in found.evidence.rows[1].members if m.startswith("given")]
    assert members == [f"given: {name}" for name in names_apart(parts)]
    assert len({m["name"] for m in found.rows[1]["members"]}) == len(found.rows[1]["members"])


def test_plain_files_of_points(linear, tmp_path):
    _, codes, _ = linear
    np.savez(tmp_path / "points.npz", clean=codes[:3], points=codes[:3] + 0)
    loaded = load_points(tmp_path / "points.npz")
    rows = loaded.inside(Ball("linf", 1, MAX_CODE), codes)
    assert set(rows.sample) >= {0, 1, 2}
    assert (rows.points == codes[rows.sample]).all()


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"clean": np.zeros((2, 3), int)}, FileFormatError),
        ({"clean": np.zeros((2, 3), int), "points": np.zeros((3, 3), int)}, InputError),
        ({"clean": np.zeros((2, 3)), "points": np.zeros((2, 3))}, InputError),
        ({"clean": np.zeros(3, int), "points": np.zeros(3, int)}, InputError),
        ({"meta": np.array("neurodeploy robustness evidence")}, FileFormatError),
    ],
)
def test_files_that_hold_no_points(arrays, error, tmp_path):
    np.savez(tmp_path / "points.npz", **arrays)
    with pytest.raises(error):
        load_points(tmp_path / "points.npz")


def damaged(path):
    rng = np.random.default_rng(0)
    np.savez_compressed(path, **{name: rng.integers(0, 9, (500, 30)) for name in FIELDS})
    raw = bytearray(path.read_bytes())
    raw[200:260] = bytes(b ^ 0x5A for b in raw[200:260])
    path.write_bytes(raw)


def encrypted(path):
    np.savez(path, **{name: np.zeros((2, 3), int) for name in FIELDS})
    raw = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := raw.find(mark, at + 1)) >= 0:
            raw[at + flags] |= 1
    path.write_bytes(raw)


def one_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 3), int))


def evidence_with(**changes):
    def write(path):
        meta = {"kind": "neurodeploy robustness evidence", "schema": 2, "max_code": 15,
                "fingerprints": {}, "rows": [], **changes}  # fmt: skip
        nothing = {"codes": np.zeros((2, 3), int), "labels": np.zeros(2, int)}
        np.savez(path, meta=np.array(json.dumps(meta)), index=np.arange(2), **nothing)

    return write


FIELDS = ("clean", "points")


@pytest.mark.parametrize(
    "write",
    [damaged, encrypted, one_array, evidence_with(), evidence_with(max_code=float("inf"))],
)
def test_files_that_cannot_be_read_are_one_error(write, tmp_path):
    write(tmp_path / "points.npz")
    with pytest.raises(FileFormatError, match=r"points\.npz"):
        load_points(tmp_path / "points.npz")


def test_codes_that_no_32_bits_hold_do_not_wrap():
    with pytest.raises(InputError, match="no input codes"):
        GivenPoints("x", np.zeros((1, 2), int), np.array([[2**32 + 5, 1]]))


def test_points_of_another_width_and_no_file(linear, tmp_path):
    net, codes, labels = linear
    with pytest.raises(InputError, match="4 inputs"):
        evaluated(net, codes, labels, (GivenPoints("x", *[np.zeros((1, 4), int)] * 2),))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "none.npz"):
        with pytest.raises(FileFormatError, match="no points in it"):
            load_points(tmp_path / name)
