"""Evidence files: whole, honest about changes, replayed without attack code."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from robustness.standins import Linear, random_linear

from neurodeploy.errors import FileFormatError, InputError, OverlapError, ResourceError
from neurodeploy.files import sample_hashes
from neurodeploy.robustness import (
    RobustnessConfig,
    check_overlap,
    evaluate_classifiers,
    load_evidence,
    replay,
    save_evidence,
)
from neurodeploy.robustness.evidence import evidence_key

CONFIG = RobustnessConfig(
    ("gaussian", "fgsm", "pgd5"), (20, 60), noise_draws=2, bootstrap=1000, seed=3
)


@pytest.fixture(scope="module", params=[255, 4095], ids=["uint8", "uint16"])
def evaluated(request):
    rng = np.random.default_rng(0)
    first = random_linear(4, 8, 6, request.param, largest=3)
    second = Linear(
        first.weight + (rng.random(first.weight.shape) < 0.1), first.bias, first.max_code
    )
    codes = rng.integers(0, request.param + 1, (50, 8)).astype(np.int32)
    labels = np.maximum(first.predict(codes), 0)
    config = dataclasses.replace(CONFIG, radii_codes=(request.param // 12, request.param // 5))
    result = evaluate_classifiers({"float": first, "fixed": second}, codes, labels, config)
    return first, second, result


def test_radii_that_differ_have_keys_that_differ():
    radii = [26, 26.5, 0.1, 83.1384387, 83.1384388, np.nextafter(26.0, 27), 1e6, 1e6 + 1, 1e-5]
    keys = [evidence_key("pgd5", radius) for radius in radii]
    assert keys[:4] == ["pgd5/26", "pgd5/26.5", "pgd5/0.1", "pgd5/83.1384387"]
    assert len(set(keys)) == len(radii)
    for radius, key in zip(radii, keys, strict=True):
        assert float(key.rpartition("/")[2]) == radius
        assert evidence_key("pgd5", np.float64(radius)) == key
    assert evidence_key("pgd5", 26.0) == "pgd5/26"


def test_close_radii_are_two_rows_and_older_keys_are_read(evaluated, tmp_path):
    first, second, result = evaluated
    evidence, path = result.evidence, tmp_path / "evidence.npz"
    radii = (30.12345671, 30.12345672)
    config = dataclasses.replace(CONFIG, perturbations=("fgsm",), radii_codes=radii, norm="l2")
    classifiers = {"float": first, "fixed": second}
    close = evaluate_classifiers(classifiers, evidence.codes, evidence.labels, config).evidence
    save_evidence(path, close)
    assert [row.radius_codes for row in load_evidence(path).rows[:2]] == list(radii)
    assert replay(path, first, second).ok
    older = dataclasses.replace(close.rows[0], key="fgsm/30.1235")
    save_evidence(path, dataclasses.replace(close, rows=(older,)))
    assert load_evidence(path).rows[0].radius_codes == radii[0]
    for wrong in ("fgsm/30.1236", "fgsm/x", "fgsm/30.12345672"):
        row = dataclasses.replace(older, key=wrong)
        save_evidence(path, dataclasses.replace(close, rows=(row,)))
        with pytest.raises(FileFormatError, match="its radius is 30.12345671"):
            load_evidence(path)


def test_a_replay_calls_samples_as_the_user_s_data_does(evaluated, tmp_path):
    first, second, result = evaluated
    codes, labels, path = result.evidence.codes, result.evidence.labels, tmp_path / "evidence.npz"
    classifiers = {"float": first, "fixed": second}
    config = dataclasses.replace(CONFIG, perturbations=("fgsm",), radii_codes=(20,))
    index = 7 + 3 * np.arange(labels.size)
    evidence = evaluate_classifiers(classifiers, codes, labels, config, index=index).evidence
    np.testing.assert_array_equal(evidence.index, index)
    turned = evidence.rows[0].robust["fixed"].copy()
    turned[11] = ~turned[11]
    row = dataclasses.replace(evidence.rows[0], robust={**evidence.rows[0].robust, "fixed": turned})
    save_evidence(path, dataclasses.replace(evidence, rows=(row,)))
    assert "1 of 50 samples differ (first: 40)" in replay(path, first, second).differences[0]
    with pytest.raises(InputError, match="index"):
        evaluate_classifiers(classifiers, codes, labels, config, index=index[1:])


def test_replay_reproduces_every_number(evaluated, tmp_path):
    first, second, result = evaluated
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    found = replay(path, first, second)
    assert found.ok, found.differences
    assert any(row["lost"] > 0 for row in result.rows)
    for row in result.rows:
        again = found.rows[f"{row['perturbation']}/{row['radius_codes']}"]
        assert {k: again[k] for k in ("float", "fixed", "lost", "gained")} == {
            k: row[k] for k in ("float", "fixed", "lost", "gained")
        }
    assert any(key.startswith("check/pgd5/") for key in found.rows)
    for only in ({"float_net": first}, {"fixed_net": second}):
        assert replay(path, **only) == found


def test_file_holds_exactly_the_points(evaluated, tmp_path):
    _, _, result = evaluated
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    read = load_evidence(path)
    assert (read.codes == result.evidence.codes).all()
    assert (read.labels == result.evidence.labels).all()
    assert (read.index == np.arange(50)).all()
    assert len(read.rows) == len(result.evidence.rows) == 8
    assert [r.key for r in read.rows[-2:]] == [
        f"check/{a}/{(read.max_code + 1) // 2}" for a in ("fgsm", "pgd5")
    ]
    for a, b in zip(read.rows, result.evidence.rows, strict=True):
        for name in ("key", "members", "radius_codes", "norm"):
            assert getattr(a, name) == getattr(b, name)
        for one, other in ((a.rows, b.rows), (a.null_rows, b.null_rows)):
            assert (one.sample == other.sample).all()
            assert (one.member == other.member).all()
            assert (one.points == other.points).all()
        for side in ("float", "fixed"):
            assert (a.robust[side] == b.robust[side]).all()
    with np.load(path) as file:
        width = np.uint8 if read.max_code == 255 else np.uint16
        assert file[f"pgd5/{read.rows[-3].radius_codes}/points"].dtype == width


def test_a_changed_network_is_noticed(evaluated, tmp_path):
    first, second, result = evaluated
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    changed = dataclasses.replace(second, bias=second.bias + np.array([400, 0, 0, 0, 0, 0]))
    found = replay(path, first, changed)
    assert not found.ok
    assert all(": fixed: " in text for text in found.differences)
    assert "samples differ (first: " in found.differences[0]
    swapped = replay(path, second, first)
    assert any(": float: " in text for text in swapped.differences)
    assert any(": null line: " in text for text in swapped.differences)


def test_an_illegal_point_is_noticed(evaluated, tmp_path):
    first, second, result = evaluated
    row = next(r for r in result.evidence.rows if r.key.startswith("fgsm/"))
    points, at = row.rows.points.copy(), int(np.flatnonzero(row.rows.sample == 3)[0])
    clean = int(result.evidence.codes[3, 2])
    points[at, 2] = clean + row.radius_codes + 1 if clean < 100 else clean - row.radius_codes - 1
    rows = tuple(
        dataclasses.replace(r, rows=dataclasses.replace(r.rows, points=points)) if r is row else r
        for r in result.evidence.rows
    )
    path = tmp_path / "evidence.npz"
    save_evidence(path, dataclasses.replace(result.evidence, rows=rows))
    found = replay(path, first, second)
    assert any(f"the linf radius is {row.radius_codes}" in text for text in found.differences)
    low = dataclasses.replace(result.evidence, max_code=200)
    save_evidence(path, low)
    assert any("leave the range 0..200" in text for text in replay(path, first).differences)


def test_l2_points_are_replayed_and_checked_exactly(tmp_path):
    net = random_linear(4, 8, 4, 255, largest=3)
    other = dataclasses.replace(net, bias=net.bias + np.array([60, 0, 0, 0]))
    codes = np.random.default_rng(0).integers(0, 256, (40, 8)).astype(np.int32)
    labels = np.maximum(net.predict(codes), 0)
    config = RobustnessConfig(("pgd5",), (20.5, 60.0), norm="l2", bootstrap=1000)
    result = evaluate_classifiers({"float": net, "fixed": other}, codes, labels, config)
    assert any(0 < row["float"] < 1 for row in result.rows)
    assert {row["norm"] for row in result.rows} == {"l2"}
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    assert replay(path, net, other).ok
    first, *rest = result.evidence.rows
    assert first.key == "pgd5/20.5"
    offset = first.rows.points - codes[first.rows.sample]
    square = (offset.astype(np.int64) ** 2).sum(axis=1)
    assert 400 < square.max() <= 420, "20.5 squared is 420.25"
    radius = float(np.sqrt(square.max() - 1))
    tight = dataclasses.replace(first, key=f"pgd5/{radius:g}", radius_codes=radius)
    save_evidence(path, dataclasses.replace(result.evidence, rows=(tight, *rest)))
    texts = [t for t in replay(path, net, other).differences if f"{tight.key}: points" in t]
    assert ["the l2 radius is" in text for text in texts] == [True]


def test_replay_needs_no_attack_code_and_no_torch(evaluated, tmp_path):
    first, _, result = evaluated
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    np.savez(tmp_path / "net.npz", weight=first.weight, bias=first.bias)
    script = f"""
import sys
for name in ("torch", "neurodeploy.attacks", "neurodeploy.robustness.protocol"):
    sys.modules[name] = None
import numpy as np
from neurodeploy.network import decide
from neurodeploy.robustness import replay
net = np.load({str(tmp_path / "net.npz")!r})
class Net:
    def predict(self, codes):
        return decide(codes.astype(np.int64) @ net["weight"].T + net["bias"])
found = replay({str(path)!r}, Net())
assert found.ok, found.differences
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_damaged_and_foreign_files(evaluated, tmp_path):
    first, _, result = evaluated
    path = tmp_path / "evidence.npz"
    path.write_bytes(b"no zip file")
    with pytest.raises(FileFormatError, match=r"evidence\.npz"):
        replay(path, first)
    np.savez(path, codes=np.zeros(3))
    with pytest.raises(FileFormatError, match="meta"):
        load_evidence(path)
    np.savez(path, meta=np.array('{"kind": "other", "schema": 1}'))
    with pytest.raises(FileFormatError, match="'other'"):
        load_evidence(path)
    with pytest.raises(FileFormatError):
        load_evidence(tmp_path / "absent.npz")
    save_evidence(path, result.evidence)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileFormatError):
        load_evidence(path)
    with pytest.raises(InputError, match="or both"):
        replay(path)


def test_a_folder_that_cannot_be_written(evaluated, tmp_path):
    _, _, result = evaluated
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(InputError, match="cannot be made"):
        save_evidence(blocked / "evidence.npz", result.evidence)


def test_a_full_disk_leaves_nothing_behind(evaluated, tmp_path, monkeypatch):
    _, _, result = evaluated
    path = tmp_path / "evidence.npz"

    def full(file, **arrays):
        file.write(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpy.savez_compressed", full)
    with pytest.raises(ResourceError, match=r"evidence\.npz: cannot be written: No space left"):
        save_evidence(path, result.evidence)
    assert list(tmp_path.iterdir()) == []


def test_overlap_is_an_error_unless_allowed():
    codes = np.arange(40, dtype=np.int32).reshape(10, 4)
    tuned = sample_hashes(codes[[2, 5]].astype(np.float64))
    with pytest.raises(OverlapError, match=r"2 of 10 evaluation samples \(first: 2\).*--allow"):
        check_overlap(tuned, codes)
    (finding,) = check_overlap(tuned, codes, allow=True)
    assert finding.severity == "warning"
    assert finding.numbers == {"shared": 2, "n": 10}
    assert check_overlap(tuned, codes[6:]) == ()
    assert check_overlap((), codes) == ()
