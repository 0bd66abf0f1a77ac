"""Evidence that was changed by hand: refused, or named as different."""

from __future__ import annotations

import json

import numpy as np
import pytest
from robustness.standins import random_linear

from neurodeploy.errors import FileFormatError
from neurodeploy.robustness import (
    RobustnessConfig,
    evaluate_classifiers,
    load_evidence,
    replay,
    save_evidence,
)

KEY = "fgsm/60"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    net = random_linear(4, 8, 6, 255, largest=3)
    codes = np.random.default_rng(0).integers(0, 256, (40, 8)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = RobustnessConfig(("gaussian", "fgsm"), (20, 60), noise_draws=2, bootstrap=1000, seed=3)
    result = evaluate_classifiers({"float": net, "fixed": net}, codes, labels, config)
    path = tmp_path_factory.mktemp("evidence") / "evidence.npz"
    save_evidence(path, result.evidence)
    return net, path


def tampered(path, out, change):
    """Rewrite the file after ``change(arrays, rows)``; ``rows`` is the list in its header."""
    with np.load(path) as file:
        arrays = {name: file[name].copy() for name in file.files}
    meta = json.loads(str(arrays["meta"][()]))
    change(arrays, {row["key"]: row for row in meta["rows"]}, meta)
    arrays["meta"] = np.array(json.dumps(meta))
    np.savez(out, **arrays)
    return out


def radius(value):
    return lambda arrays, rows, meta: rows[KEY].update(radius_codes=value)


def put(name, value):
    def change(arrays, rows, meta):
        arrays[f"{KEY}/{name}"][:1] = value

    return change


def shorten(name):
    def change(arrays, rows, meta):
        arrays[f"{KEY}/{name}"] = arrays[f"{KEY}/{name}"][:-1]

    return change


def twice(arrays, rows, meta):
    meta["rows"].append(dict(rows[KEY]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (radius(64), "its radius is 64"),
        (radius(float("nan")), "no positive number"),
        (radius(-60), "no positive number"),
        (lambda a, rows, m: rows[KEY].update(norm="l7"), "neither linf, l2 nor none"),
        (put("sample", -1), "sample -1"),
        (put("sample", 9999), "leaves 0..39"),
        (put("member", 999), "member"),
        (shorten("points"), "points"),
        (shorten("fixed_robust"), "needs bool (40,)"),
        (twice, "twice"),
        (lambda a, rows, m: a.update(labels=a["labels"][:-1]), "belong together"),
    ],
)
def test_what_does_not_hang_together_is_refused(case, tmp_path, change, message):
    _, path = case
    out = tampered(path, tmp_path / "e.npz", change)
    with pytest.raises(FileFormatError, match="cannot be read as evidence") as error:
        load_evidence(out)
    assert message in str(error.value)


def test_deleted_points_are_missed(case, tmp_path):
    net, path = case

    def delete(arrays, rows, meta):
        for name in ("sample", "member", "points"):
            arrays[f"{KEY}/{name}"] = arrays[f"{KEY}/{name}"][:0]
        clean = net.predict(arrays["codes"].astype(np.int32)) == arrays["labels"]
        for side in ("float", "fixed"):
            arrays[f"{KEY}/{side}_robust"] = clean

    found = replay(tampered(path, tmp_path / "e.npz", delete), net, net)
    assert not found.ok
    assert any("no point for" in text for text in found.differences)


def test_a_wider_code_range_is_seen(case, tmp_path):
    net, path = case
    out = tampered(path, tmp_path / "e.npz", lambda a, r, meta: meta.update(max_code=511))
    assert any("codes go to 255" in text for text in replay(out, net).differences)


def test_the_untouched_file_is_fine(case):
    net, path = case
    assert replay(path, net, net).ok
