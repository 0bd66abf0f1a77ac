"""explain: words, document and page about one sample, clean or attacked."""

import json
import re

import numpy as np
import pytest
from small_models import write_data, write_model

import neurodeploy as nd
from neurodeploy.cli import main
from neurodeploy.network import decide, load_samples


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    model = write_model(folder / "m.nir", seed=3)
    data = write_data(folder / "data.npz", 1, n=60, model=model)
    out = folder / "net.h5"
    assert main(["quantize", str(model), "--profile", "loihi2", "--weight-bits", "3",
                 "--out", str(out)]) == 0  # fmt: skip
    return folder, out, data


def document(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_decision_that_turns_is_explained(files, capsys):
    folder, net, data = files
    images = load_samples(data).images
    decided = [decide(nd.run(source, images=images).scores())
               for source in (nd.read(folder / "m.nir"), nd.load(net))]  # fmt: skip
    differ = decided[0] != decided[1]
    assert not differ.all()
    capsys.readouterr()
    turned = 0
    for sample in (*np.flatnonzero(differ).tolist(), int(differ.argmin())):
        found = document(capsys, "explain", net, "--input", data, "--sample", sample)
        assert found["sample"] == sample
        assert [found["decision_float"], found["decision_fixed"]] == [d[sample] for d in decided]
        assert found["flipped"] == differ[sample]
        if not found["flipped"]:
            continue
        turned += 1
        culprit = found["culprit"]
        total = sum(culprit["contributions"].values())
        assert total == pytest.approx(culprit["margin_fixed"] - culprit["margin_float"])
        page = folder / f"{sample}.html"
        assert main(["explain", str(net), "--input", str(data), "--sample", str(sample),
                     "--out", str(page)]) == 0  # fmt: skip
        words = capsys.readouterr().out
        assert f"class {found['decision_fixed']}" in words or "a tie" in words
        html = page.read_text()
        assert re.search(rf"{culprit['population']}, neuron {culprit['neuron']}", html)
        assert "<svg" in html
        assert "http" not in html.replace("http-equiv", "")
    assert turned == differ.sum() > 0


def test_an_attacked_sample_is_explained_at_the_attacks_point(files, capsys):
    _, net, data = files
    capsys.readouterr()
    clean = document(capsys, "explain", net, "--input", data, "--sample", 4)
    attacked = document(
        capsys, "explain", net, "--input", data, "--sample", 4, "--attack", "pgd20",
        "--radius", 60,
    )  # fmt: skip
    assert attacked["decision_fixed"] != clean["decision_fixed"]
    assert (attacked["attack"], attacked["radius_codes"]) == ("pgd20", 60)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--sample", "60"], "has 60 samples, 0..59"),
        (["--attack", "pgd20"], "go together"),
        (["--attack", "nothing", "--radius", "3"], "does not exist"),
        (["--attack", "pgd20", "--radius", "999"], "1..255"),
        (["--out", "x.svg"], "end it in .html"),
    ],
)
def test_wrong_requests_are_one_line(files, capsys, extra, message):
    _, net, data = files
    capsys.readouterr()
    assert main(["explain", str(net), "--input", str(data), *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error:")
    assert message in error
    assert error.count("\n") == 1


def test_a_sequence_is_explained_step_by_step(files, capsys):
    folder, net, _ = files
    x = np.random.default_rng(0).random((9, 3, 16))
    np.savez(folder / "x.npz", x=x)
    found = document(capsys, "explain", net, "--input", folder / "x.npz", "--sample", 2)
    assert found["label"] is None
    if "culprit" in found:
        assert len(found["culprit"]["trace"]["membrane_float"]) == 9
    assert main(["explain", str(net), "--input", str(folder / "x.npz"), "--attack", "pgd20",
                 "--radius", "3"]) == 2  # fmt: skip


def test_a_float_model_and_a_decision_that_stays_are_told(files, capsys):
    folder, net, data = files
    capsys.readouterr()
    assert main(["explain", str(folder / "m.nir"), "--input", str(data)]) == 2
    assert "quantise it first" in capsys.readouterr().err
    for sample in range(60):
        assert main(["explain", str(net), "--input", str(data), "--sample", str(sample)]) == 0
        words = capsys.readouterr().out
        if words.startswith("Both networks"):
            assert "the decision did not turn" in words
            return
    raise AssertionError("every decision turned")


def test_a_tie_is_called_one(files, capsys):
    """Nothing enters, so no class leads, whatever is set right."""
    folder, net, data = files
    stored = dict(np.load(data))
    dark = folder / "dark.npz"
    np.savez(dark, **{**stored, "images": np.zeros_like(stored["images"])})
    capsys.readouterr()
    found = document(capsys, "explain", net, "--input", dark, "--sample", 0)
    assert [stage["decision"] for stage in found["stages"]] == [-1] * len(found["stages"])
    assert main(["explain", str(net), "--input", str(dark), "--sample", "0"]) == 0
    words = capsys.readouterr().out
    assert "nothing (a tie)" in words
    for stage in found["stages"]:
        assert re.search(rf"^  {stage['population']} .* tie$", words, re.MULTILINE)
    assert "-1" not in words
