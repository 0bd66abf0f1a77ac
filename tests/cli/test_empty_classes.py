"""Classes without a test sample: one clear error, or a warning where it is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_models import write_data, write_model

from neurodeploy.cli import main
from neurodeploy.network import Samples, load_samples
from neurodeploy.robustness import load_evidence

MESSAGE = "no sample of 1 of 4 classes (3)"
FAST = '[robustness]\nperturbations = ["gaussian"]\nradii_codes = [9]\nbootstrap = 1000\n'


@pytest.fixture
def files(tmp_path):
    model = write_model(tmp_path / "m.nir", seed=8)
    with np.load(write_data(tmp_path / "d.npz", 1, n=40, model=model)) as file:
        images, labels = file["images"], file["y"] % 3
    np.savez(tmp_path / "d.npz", images=images, y=labels)
    (tmp_path / "fast.toml").write_text(FAST)
    return tmp_path


def robustness(folder, *more):
    return main(["robustness", str(folder / "m.nir"), "--profile", "loihi2", "--data",
                 str(folder / "d.npz"), "--out", str(folder / "out"), "--no-curves",
                 "--config", str(folder / "fast.toml"), *more])  # fmt: skip


def test_an_empty_class_is_one_error_before_anything_is_written(files, capsys):
    assert robustness(files) == 2
    error = capsys.readouterr().err
    assert MESSAGE in error
    assert "--allow-empty-classes" in error
    assert error.count("error:") == 1
    deploy = ["deploy", str(files / "m.nir"), "--profile", "loihi2", "--data",
              str(files / "d.npz"), "--out", str(files / "out")]  # fmt: skip
    assert main(deploy) == 2
    assert MESSAGE in capsys.readouterr().err
    assert not (files / "out").exists()


@pytest.mark.parametrize("by_file", [False, True])
def test_the_flag_or_the_file_makes_it_a_warning(files, by_file):
    if by_file:
        (files / "fast.toml").write_text(FAST + "allow_empty_classes = true\n")
    assert robustness(files, *([] if by_file else ["--allow-empty-classes"])) in (0, 1, 4)
    document = json.loads((files / "out" / "robustness.json").read_text())
    found = [f for f in document["findings"] if f["what"] == MESSAGE]
    assert [f["severity"] for f in found] == ["warning"]
    assert document["config"]["allow_empty_classes"] is True


def test_evidence_and_proofs_of_a_quick_look_call_samples_as_the_file_does(files):
    with np.load(files / "d.npz") as data:
        images = np.concatenate([data["images"], 1 - data["images"], data["images"] / 2])
        labels = np.sort(np.resize(data["y"], 120))
    np.savez(files / "d.npz", images=images, y=labels)
    assert robustness(files, "--allow-empty-classes", "--quick") in (0, 1, 4)
    evidence = load_evidence(files / "out" / "evidence.npz")
    index = load_samples(files / "d.npz").from_every_class(100).index
    assert index[-1] == evidence.index[-1] > 99
    np.testing.assert_array_equal(evidence.index, index)
    np.testing.assert_array_equal(evidence.labels, labels[index])


def test_a_quick_look_takes_every_class():
    """Labels sorted by class, as many files are: the first hundred would all be of one."""
    labels = np.repeat(np.arange(5), [300, 200, 30, 3, 1])
    samples = Samples(np.arange(labels.size, dtype=float)[:, None], labels)
    few = samples.from_every_class(100)
    assert np.bincount(few.labels).tolist() == [33, 33, 30, 3, 1]
    assert (np.diff(few.images[:, 0]) > 0).all(), "in their order"
    assert (few.index == few.images[:, 0]).all(), "and called by their place in the file"
    assert few.first(7).index.tolist() == few.index[:7].tolist()
    assert few.index[50] == 317
    assert (labels[few.images[:, 0].astype(int)] == few.labels).all()
    assert sorted(samples.from_every_class(5).labels.tolist()) == [0, 1, 2, 3, 4]
    assert len(samples.from_every_class(1000)) == labels.size
