"""`deploy` for a user's own model: files, schema, exit codes, and what happens when Lava is not there."""

import dataclasses
import json
import re

import numpy as np
import pytest
from small_models import write_data, write_model

import neurodeploy as nd
from neurodeploy.errors import LavaError, MissingComponentError, ShapeError
from neurodeploy.export import lava
from neurodeploy.network import Samples, load_network, load_samples, network_hash
from neurodeploy.pipeline import fidelity, settings
from neurodeploy.robustness import load_evidence, replay


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deploy")
    model = write_model(folder / "net.nir")
    return {
        "model": model,
        "test": load_samples(write_data(folder / "test.npz", 1, model=model)),
        "train": load_samples(write_data(folder / "train.npz", 2, model=model)),
    }


@dataclasses.dataclass
class AgreeingLava:
    """Stands in for Lava where a test is about what the pipeline does with its answer."""

    compared: int = 100
    mismatches: int = 0
    first: lava.Mismatch | None = None


def answer(monkeypatch, result):
    def verify(*arguments, **options):
        if isinstance(result, Exception):
            raise result
        return result

    status = lava.runtime.RuntimeStatus(mode="official", root=None, detail="stand-in")
    monkeypatch.setattr(lava, "verify_against", verify, raising=False)
    monkeypatch.setattr(lava.runtime, "status", lambda **options: status)


@pytest.fixture
def one_strength(monkeypatch):
    """Judge by one attack at one radius, where a test is about something else than robustness."""
    quick = settings.quick_robustness

    def quicker(config):
        return dataclasses.replace(quick(config), perturbations=("fgsm",), radii_codes=(13,))

    monkeypatch.setattr(settings, "quick_robustness", quicker)


def deploy(files, out):
    graph = nd.read(files["model"])
    return nd.deploy(graph, files["test"], calibration=files["train"], out=out, quick=True)


@pytest.fixture(scope="module")
def outcome(files, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        answer(patch, AgreeingLava())
        return deploy(files, tmp_path_factory.mktemp("out"))


def test_every_promised_file_is_there_and_no_other(outcome):
    names = {path.name for path in outcome.folder.iterdir()}
    assert names == {
        "report.html", "summary.json", "results.json", "figures.npz", "configuration.json",
        "model.nir", "model.h5", "model.evidence.npz",
    }  # fmt: skip


def test_the_summary_has_the_promised_schema(outcome):
    summary = json.loads((outcome.folder / "summary.json").read_text())
    assert summary["schema"] == 1
    assert {"seed", "versions", "models"} <= set(summary)
    model = summary["models"]["model"]
    assert set(model["clean_accuracy"]) == {"float", "fixed"}
    for row in model["robustness"]:
        assert set(row) == {
            "perturbation", "radius_codes", "float", "fixed", "lost", "gained", "drop_ci95", "n",
            "verdict",
        }  # fmt: skip
        assert row["verdict"] in ("survives", "lost", "undecided", "uninformative")
        assert row["float"] - row["fixed"] == pytest.approx(row["lost"] - row["gained"])
    assert model["fidelity"]["lava"]["mismatches"] == 0
    cost = model["cost"]
    assert cost["energy_nj"]["low"] <= cost["energy_nj"]["typ"] <= cost["energy_nj"]["high"]
    assert cost["synaptic_operations"] > 0
    assert cost["spikes"] > 0


def test_the_numbers_follow_from_the_files_alone(outcome, files):
    """Accuracy and robustness can be recomputed from NET.h5, the NIR file and the evidence."""
    net = load_network(outcome.folder / "model.h5")
    facts = outcome.deployments[0].facts
    assert facts["files"]["network_hash"] == network_hash(net)
    graph = nd.read(outcome.folder / "model.nir")
    test = files["test"].first(100)
    from neurodeploy.network import decide

    for source, key in ((graph, "float"), (net, "fixed")):
        scores = nd.run(source, images=test.images).scores()
        assert (decide(scores) == test.labels).mean() == facts["clean_accuracy"][key]
    from neurodeploy.lowering import compose, lower

    evidence = outcome.folder / "model.evidence.npz"
    result = replay(evidence, float_net=compose(lower(graph).value).value, fixed_net=net)
    assert result.ok, result.differences
    for row in facts["robustness"]:
        again = result.rows[f"{row['perturbation']}/{row['radius_codes']}"]
        for key in ("float", "fixed", "lost", "gained"):
            assert again[key] == pytest.approx(row[key])


def test_exit_codes_follow_the_verdict(outcome):
    expected = {"survives": 0, "lost": 1, "undecided": 4}[outcome.deployments[0].verdict]
    assert outcome.exit_code == expected


@pytest.mark.usefixtures("one_strength")
def test_a_difference_from_lava_exits_1_and_is_an_error_finding(files, tmp_path, monkeypatch):
    first = lava.Mismatch("lif1", "v", 2, 5, 0, 7, 8)
    answer(monkeypatch, AgreeingLava(mismatches=3, first=first))
    outcome = deploy(files, tmp_path)
    assert outcome.exit_code == 1
    errors = [f for f in outcome.deployments[0].facts["findings"] if f["severity"] == "error"]
    assert any("3 of 100 values differ" in f["what"] for f in errors)


@pytest.mark.usefixtures("one_strength")
def test_without_lava_the_way_goes_on_and_says_so(files, tmp_path, monkeypatch):
    answer(monkeypatch, MissingComponentError("no runtime"))
    outcome = deploy(files, tmp_path)
    assert not outcome.lava_available
    assert outcome.exit_code in (1, 3)
    assert outcome.exit_code == (1 if outcome.deployments[0].verdict == "lost" else 3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["lava"]["available"] is False
    assert summary["models"]["model"]["fidelity"]["lava"] is None
    report = (tmp_path / "report.html").read_text()
    assert report.index("Lava") < report.index("<table")


def test_a_failing_lava_is_an_error_not_a_missing_one(files, tmp_path, monkeypatch):
    answer(monkeypatch, LavaError("worker died; see worker.log"))
    with pytest.raises(LavaError, match=r"worker\.log"):
        deploy(files, tmp_path)
    assert not (tmp_path / "summary.json").exists()


def test_the_same_seed_gives_the_same_numbers(files, tmp_path, monkeypatch, outcome):
    answer(monkeypatch, AgreeingLava())
    again = deploy(files, tmp_path)
    first, second = (json.loads((o.folder / "summary.json").read_text()) for o in (outcome, again))
    assert first == second


def test_labels_outside_the_classes_are_refused(files, tmp_path):
    bad = Samples(files["test"].images, np.full(len(files["test"]), 7))
    with pytest.raises(ShapeError, match=r"labels 7\.\.7 do not fit 4 outputs"):
        nd.deploy(nd.read(files["model"]), bad, out=tmp_path, quick=True)


@pytest.mark.usefixtures("one_strength")
def test_lava_checks_at_least_sixteen_samples(files, monkeypatch, tmp_path):
    seen = []

    def verify(net, codes, reference, **options):
        seen.append(len(codes))
        assert {q.rsplit("/", 1)[1] for q in reference.records} == {"u", "v", "spikes"}
        return AgreeingLava()

    answer(monkeypatch, AgreeingLava())
    monkeypatch.setattr(lava, "verify_against", verify, raising=False)
    deploy(files, tmp_path)
    assert seen == [16]


@pytest.mark.usefixtures("one_strength")
def test_a_sample_of_a_quick_run_is_called_as_in_the_user_s_data(files, tmp_path, monkeypatch):
    """Labels sorted by class: the hundred of a quick run are not the first hundred."""
    answer(monkeypatch, AgreeingLava(mismatches=1, first=lava.Mismatch("lif1", "v", 2, 5, 0, 7, 8)))
    test = load_samples(write_data(tmp_path / "many.npz", 5, n=300, model=files["model"]))
    order = np.argsort(-test.labels, kind="stable")
    test = Samples(test.images[order], test.labels[order], 1000 + np.arange(300))
    graph = nd.read(files["model"])
    made = nd.deploy(graph, test, calibration=files["train"], out=tmp_path / "out", quick=True)
    index = test.from_every_class(100).index
    assert index[0] == 1000
    assert index[-1] > 1099
    evidence = load_evidence(made.folder / "model.evidence.npz")
    np.testing.assert_array_equal(evidence.index, index)
    net = load_network(made.folder / "model.h5")
    np.testing.assert_array_equal(
        evidence.codes, test.codes(net.encoder, net.n_input)[index - 1000]
    )
    facts = made.deployments[0].facts
    assert f"sample {index[5]}, neuron 0" in facts["fidelity"]["lava"]["first"]
    with np.load(made.folder / "figures.npz") as figures:
        shown = figures["model/samples"]
        assert set(shown) <= set(index.tolist())
        np.testing.assert_array_equal(figures["model/images"], test.images[shown - 1000])
        np.testing.assert_array_equal(figures["model/labels"], test.labels[shown - 1000])
    named = {int(number) for number in re.findall(r"Sample (\d+)", made.report.read_text())}
    assert named
    assert named <= set(shown.tolist())
    traces = [nd.run(graph, images=test.images, record=("spikes",)),
              nd.run(net, images=test.images, record=("spikes",))]  # fmt: skip
    a, b = (t.records["lif1/spikes"] for t in traces)
    place = next(row for row in facts["fidelity"]["layers"] if row["population"] == "lif1")
    place = place["first_difference"]
    where = (place["t"] - 1, place["sample"] - 1000, place["neuron"])
    assert (a[where], b[where]) == (place["a"], place["b"])
    assert place["a"] != place["b"]


def test_fidelity_counts_what_differs(files):
    model = nd.read(files["model"])
    net, _ = nd.quantize(model, calibration=files["train"].images)
    from neurodeploy.lowering import lower

    network = lower(model).value
    codes = files["test"].codes(net.encoder, net.n_input)
    layers = fidelity.measure_fidelity(network, net, codes, np.arange(len(codes))).layers()
    by_name = {row["population"]: row for row in layers}
    a = nd.run(model, images=files["test"].images, record=("spikes",)).records["lif1/spikes"]
    b = nd.run(net, images=files["test"].images, record=("spikes",)).records["lif1/spikes"]
    assert by_name["lif1"]["mismatches"] == int((a != b).sum())
    assert by_name["lif1"]["rate_float"] == a.mean()


@pytest.mark.lava
@pytest.mark.usefixtures("one_strength")
def test_a_users_model_goes_the_whole_way_with_real_lava(files, tmp_path):
    if lava.runtime.find() is None:
        pytest.skip("no Lava runtime; run: neurodeploy lava install")
    outcome = deploy(files, tmp_path)
    check = outcome.deployments[0].facts["fidelity"]["lava"]
    assert check["samples"] == 16
    assert check["mismatches"] == 0
    assert check["compared"] == 16 * 6 * (3 * 12 + 3 * 4)


@pytest.mark.usefixtures("one_strength")
def test_an_accuracy_near_chance_is_the_first_finding(files, tmp_path, monkeypatch):
    answer(monkeypatch, AgreeingLava())
    labels = (np.asarray(files["test"].labels) + 1) % 4
    wrong = Samples(files["test"].images, labels)
    outcome = nd.deploy(nd.read(files["model"]), wrong, out=tmp_path, quick=True)
    finding = outcome.deployments[0].facts["findings"][0]
    assert finding["where"] == "test data"
    assert "2.5% of the test samples" in finding["what"]
    assert "25.0%" in finding["what"]


@pytest.mark.usefixtures("one_strength")
def test_clipped_images_are_a_finding(files, tmp_path, monkeypatch):
    answer(monkeypatch, AgreeingLava())
    wide = Samples(files["test"].images * 16, files["test"].labels)
    outcome = nd.deploy(nd.read(files["model"]), wide, out=tmp_path, quick=True)
    texts = [f["what"] for f in outcome.deployments[0].facts["findings"]]
    assert any("are clipped" in text for text in texts)
