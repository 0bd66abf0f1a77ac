"""The demo as a new user runs it, short: three networks, exactness, files, a second run."""

import json

import numpy as np
import pytest

from neurodeploy.cli import main
from neurodeploy.export import lava
from neurodeploy.files import sample_hashes
from neurodeploy.network import ConstantEncoder, load_network, load_samples

MODELS = {"lif", "lif-at", "dlif-mppd"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo")
    code = main(["demo", "--quick", "--out", str(path), "--seed", "3"])
    # Without Lava the way goes on and the exit code says so.
    assert code == (0 if lava.runtime.find() else 3)
    return path


def summary(path):
    return json.loads((path / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_three_networks_are_exact_and_useful(folder):
    models = summary(folder)["models"]
    assert set(models) == MODELS
    for model in models.values():
        assert model["fidelity"]["norse_vs_float_mismatches"] == 0
        assert model["clean_accuracy"]["float"] > 0.85
        assert abs(model["clean_accuracy"]["float"] - model["clean_accuracy"]["fixed"]) < 0.06
        if lava.runtime.find():
            assert model["fidelity"]["lava"]["samples"] == 16
            assert model["fidelity"]["lava"]["compared"] > 40_000
            assert model["fidelity"]["lava"]["mismatches"] == 0


@pytest.mark.slow
def test_every_file_is_there_and_loads(folder):
    assert (folder / "report.html").stat().st_size > 100_000
    for name in MODELS:
        net = load_network(folder / f"{name}.h5")
        kinds = [p.kind for p in net.populations]
        expected = "dlif" if name == "dlif-mppd" else "lif"
        assert kinds == [expected, expected, "readout"]
        assert net.steps == 8


@pytest.mark.slow
def test_tuning_data_and_test_data_are_disjoint(folder):
    encoder = ConstantEncoder()
    test = load_samples(folder / "data" / "test.npz")
    seen = set(sample_hashes(encoder.encode(test.images)))
    for name in MODELS:
        assert not seen & set(load_network(folder / f"{name}.h5").calibration)
    sizes = [
        len(load_samples(folder / "data" / f"{n}.npz")) for n in ("train", "validation", "test")
    ]
    assert sizes == [1077, 360, 360]
    assert np.unique(test.labels).tolist() == list(range(10))


@pytest.mark.slow
def test_a_second_run_resumes_and_gives_the_same_numbers(folder):
    before = summary(folder)
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("checkpoint.pt")}
    assert len(stamps) == 3
    main(["demo", "--quick", "--out", str(folder), "--seed", "3"])
    assert summary(folder) == before
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("checkpoint.pt")} == stamps
