"""robustness: its files, its sweep file, and what it refuses."""

import csv
import json
import re
from html import unescape

import numpy as np
import pytest
from small_models import write_data, write_model

from neurodeploy.cli import main
from neurodeploy.network import load_samples
from neurodeploy.pipeline import certificates, judge
from neurodeploy.pipeline.model import load_model
from neurodeploy.report.number_text import percent
from neurodeploy.robustness import load_evidence
from neurodeploy.robustness.certificates import (
    SmoothingConfig,
    certify_deviation,
    smooth,
    stability_gains,
)

SWEEP = """
[robustness]
perturbations = ["gaussian", "fgsm"]
radii_codes = [9, 20.0]
noise_draws = 2
bootstrap = 2000
seed = 5

[curves]
certified_radii_codes = [1, 3]
fault_seeds = 2
faults = ["weight bit flips", "stuck at 1"]

[smoothing]
sigma_codes = 12
n = 200
radii_codes = [4, 7.5, 24]
samples = 30
"""

#: The same with little of what takes time, for tests about other parts of it.
SMALL = (
    SWEEP.replace('"gaussian", ', "").replace("[9, 20.0]", "[9]").replace("[1, 3]", "[1]")
    .replace("fault_seeds = 2", "fault_seeds = 1").replace(', "stuck at 1"', "")
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("robustness")
    model = write_model(folder / "m.nir", seed=8)
    data = write_data(folder / "data.npz", 1, n=50, model=model)
    net, sweep = folder / "net.h5", folder / "sweep.toml"
    assert main(["quantize", str(model), "--profile", "loihi2", "--out", str(net)]) == 0
    sweep.write_text(SWEEP)
    return folder, net, data, sweep


def test_every_file_says_the_same(files, capsys):
    folder, net, data, sweep = files
    out = folder / "out"
    capsys.readouterr()
    code = main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
                 "--out", str(out), "--json"])  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert code == {"survives": 0, "lost": 1, "undecided": 4}[document["verdict"]]
    assert {p.name for p in out.iterdir()} == {
        "robustness.json", "table.csv", "evidence.npz", "curves.json", "robustness.html",
    }  # fmt: skip
    assert document == json.loads((out / "robustness.json").read_text())
    assert document["seed"] == 5
    keys = [(row["perturbation"], row["radius_codes"]) for row in document["robustness"]]
    assert keys == [("gaussian", 9), ("gaussian", 20), ("fgsm", 9), ("fgsm", 20)]
    with (out / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    for row, line in zip(document["robustness"], table, strict=True):
        assert line["perturbation"] == row["perturbation"]
        assert float(line["integers"]) == row["fixed"]
        assert float(line["drop"]) == row["drop"]
    evidence = load_evidence(out / "evidence.npz")
    by_key = {row.key: row for row in evidence.rows}
    for row in document["robustness"]:
        robust = by_key[f"{row['perturbation']}/{row['radius_codes']:g}"].robust["fixed"]
        assert robust.mean() == row["fixed"]


def test_curves_hold_what_was_asked_for(files):
    folder = files[0]
    curves = json.loads((folder / "out" / "curves.json").read_text())
    assert [entry["radius_codes"] for entry in curves["certified"]] == [1, 3]
    for entry in curves["certified"]:
        assert 0 <= entry["interval"] <= entry["refined"] <= 1
    assert [entry["radius_codes"] for entry in curves["agreement"]] == [0, 9, 20]
    assert all(0.5 < entry["populations"]["lif1"] <= 1 for entry in curves["agreement"])
    assert all(entry["synaptic_operations"] > 0 for entry in curves["energy"])
    assert [fault["name"] for fault in curves["faults"]] == ["weight bit flips", "stuck at 1"]
    robustness = json.loads((folder / "out" / "robustness.json").read_text())
    for fault in curves["faults"]:
        assert fault["strengths"][0] == 0
        for side in ("float", "fixed"):
            assert fault[side]["accuracy"][0] == pytest.approx(robustness["clean_accuracy"][side])
    html = (folder / "out" / "robustness.html").read_text()
    assert "share proven" in html
    assert "weight bit flips" in html


def test_proofs_are_those_of_the_library(files):
    folder, net, data, _ = files
    curves = json.loads((folder / "out" / "curves.json").read_text())
    model, samples = load_model(net), load_samples(data)
    fixed = model.require_fixed()
    codes = samples.codes(fixed.encoder, fixed.n_input)
    proven = certify_deviation(model.require_network(), fixed, codes).as_dict()
    found = curves["deviation"]
    assert [found[k] for k in ("n", "equal", "different", "undecided")] == [
        proven[k] for k in ("n", "equal", "different", "open")
    ]
    assert found["n"] == 50
    assert curves["stability"] == stability_gains(fixed).as_dict()
    config = SmoothingConfig(12.0, n=200, seed=5)
    smoothed = smooth(fixed, codes[:30], samples.labels[:30], config)
    found = curves["smoothing"]
    assert found["radius_codes"] == smoothed.radius_codes.tolist()
    assert found["accuracy"] == smoothed.right.mean()
    assert [(e["radius_codes"], e["accuracy"]) for e in found["certified"]] == [
        (r, smoothed.certified_accuracy(r)) for r in (0, 4, 7.5, 24)
    ]


@pytest.fixture
def small(files, tmp_path):
    """Return the network, the data, and a sweep file with little in it."""
    _, net, data, _ = files
    sweep = tmp_path / "small.toml"
    sweep.write_text(SMALL)
    return net, data, sweep


def test_proofs_are_printed_under_their_own_names(small, tmp_path, capsys):
    net, data, sweep = small
    capsys.readouterr()
    main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
          "--out", str(tmp_path / "printed")])  # fmt: skip
    streams = capsys.readouterr()
    curves = json.loads((tmp_path / "printed" / "curves.json").read_text())
    said, found = streams.out, curves["deviation"]
    assert f"Of 50 decisions of the deployed integers, {found['equal']} are proven equal" in said
    assert curves["stability"]["warning"] in said
    smoothed = said[said.index("smoothed classifier, another one than the deployed network") :]
    assert "sigma 12 codes" in smoothed
    assert f"abstains on {curves['smoothing']['abstained']}" in smoothed
    assert "300 passes" in smoothed
    for stage in ("deviation", "smoothing"):
        assert f"{stage} ..." in streams.err


def test_proofs_can_be_left_out_and_smoothing_is_only_made_when_asked(files, tmp_path, capsys):
    _, net, data, _ = files
    sweep = tmp_path / "s.toml"
    plain = SMALL[: SMALL.index("[smoothing]")]
    sweep.write_text(plain + "[certificates]\ndeviation = false\nstability = false\n")
    capsys.readouterr()
    main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
          "--out", str(tmp_path / "out")])  # fmt: skip
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert [curves[k] for k in ("deviation", "stability", "smoothing")] == [None] * 3
    html = (tmp_path / "out" / "robustness.html").read_text()
    assert "proven equal" not in html
    assert "moothed" not in html.split("</style>")[1].split("<script")[0]
    assert "smoothed" not in capsys.readouterr().out


def test_smoothing_that_is_left_out_is_told(small, capsys, tmp_path):
    net, data, sweep = small
    main(["robustness", str(net), "--data", str(data), "--config", str(sweep), "--no-curves",
          "--out", str(tmp_path / "out")])  # fmt: skip
    assert "smoothing: left out" in capsys.readouterr().err


def test_an_interrupt_while_smoothing_exits_130_and_leaves_no_page(small, tmp_path, monkeypatch):
    net, data, sweep = small

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(certificates, "smooth", interrupted)
    out = tmp_path / "out"
    assert main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
                 "--out", str(out)]) == 130  # fmt: skip
    assert not {"curves.json", "robustness.html"} & {p.name for p in out.iterdir()}


def test_an_older_page_does_not_stay_beside_new_numbers(files, capsys):
    folder, net, data, sweep = files
    capsys.readouterr()
    main(["robustness", str(net), "--data", str(data), "--config", str(sweep), "--no-curves",
          "--seed", "0", "--out", str(folder / "out"), "--json"])  # fmt: skip
    assert json.loads(capsys.readouterr().out)["seed"] == 0
    assert {p.name for p in (folder / "out").iterdir()} == {
        "robustness.json", "table.csv", "evidence.npz",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[robustness]\nradi = [3]",
            "radi is unknown; did you mean robustness.radii_codes? known: "
            "robustness.perturbations, ",
        ),
        ("[robustness]\nradii_codes = [9, 3]", "rising"),
        ("[robustness]\nperturbations = 3", "a list of words"),
        ("[robustness]\nseed = 3\nnull_seed = 3", "compare a run with itself"),
        ("[curves]\nfaults = ['rust']", "do not exist"),
        ("[curves]\ncertified_radii_codes = [0]", "from 1 on"),
        ("curves = 3", "is a table"),
        (
            "[certificate]\ndeviation = true",
            "certificate is unknown; did you mean certificates? known: robustness, curves, ",
        ),
        ("[certificates]\ndeviations = true", "known: certificates.deviation"),
        ("[certificates]\nstability = 1", "needs bool"),
        ("[smoothing]\nn = 500", "sigma_codes is missing"),
        ("[smoothing]", "sigma_codes is missing"),
        ("[smoothing]\nSigma-Code = 26", "did you mean smoothing.sigma_codes? known: smoothing."),
        ("[robustness]\nzzz = 26", "robustness.zzz is unknown; known: robustness.perturbations, "),
        ("[smoothing]\nsigma_codes = -1", "must be positive"),
        ("[smoothing]\nsigma_codes = 'wide'", "needs float"),
        ("[smoothing]\nsigma_codes = inf", "finite"),
        ("[smoothing]\nsigma_codes = 9\nn = 9", "certify nothing"),
        ("[smoothing]\nsigma_codes = 9\nalpha = 0.5", "between 0 and 1/2"),
        ("[smoothing]\nsigma_codes = 9\nradii_codes = [8, 4]", "positive and rising"),
        ("[smoothing]\nsigma_codes = 9\nradii_codes = [nan]", "positive and rising"),
        ("[smoothing]\nsigma_codes = 9\nsamples = 0", "at least 1"),
        ("[robustness]\nseed = -3\n[smoothing]\nsigma_codes = 9", "seed -3"),
        ("[robustness\n", "cannot be read as TOML"),
    ],
)
def test_a_wrong_sweep_file_is_one_line(files, capsys, tmp_path, text, message):
    _, net, data, _ = files
    sweep = tmp_path / "s.toml"
    sweep.write_text(text)
    capsys.readouterr()
    out = tmp_path / "out"
    assert main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
                 "--out", str(out)]) == 2  # fmt: skip
    error = capsys.readouterr().err
    assert error.startswith("error:")
    assert error.count("error:") == 1
    assert str(sweep) in error or "seed" in error
    assert message in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(y=d["y"] + 4), "labels"),
        (lambda d: d.update(images=np.where(d["images"] > 0.9, np.nan, d["images"])), "NaN"),
        (lambda d: d.update(images=d["images"][:0], y=d["y"][:0]), "at least one image"),
        (lambda d: d.update(images=d["images"][:, :5]), "16"),
    ],
)
def test_data_that_cannot_be_judged_is_one_line(files, capsys, tmp_path, change, message):
    _, net, data, _ = files
    with np.load(data) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(tmp_path / "d.npz", **arrays)
    capsys.readouterr()
    assert main(["robustness", str(net), "--data", str(tmp_path / "d.npz"),
                 "--out", str(tmp_path / "out")]) == 2  # fmt: skip
    error = capsys.readouterr().err
    assert error.startswith("error:")
    assert message in error


def test_repeated_samples_are_told(files, capsys, tmp_path):
    _, net, data, sweep = files
    with np.load(data) as file:
        arrays = {name: np.concatenate([file[name], file[name][:7]]) for name in ("images", "y")}
    np.savez(tmp_path / "d.npz", **arrays)
    capsys.readouterr()
    main(["robustness", str(net), "--data", str(tmp_path / "d.npz"), "--config", str(sweep),
          "--no-curves", "--out", str(tmp_path / "out")])  # fmt: skip
    assert "7 of 57 samples repeat another one" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line(files, capsys, tmp_path):
    _, net, data, sweep = files
    blocked = tmp_path / "file"
    blocked.write_text("")
    capsys.readouterr()
    assert main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
                 "--out", str(blocked / "out")]) == 2  # fmt: skip
    assert capsys.readouterr().err.count("error:") == 1


def test_points_of_another_evaluation_count(files, capsys):
    """The evidence of one run joins the next; a file without points is one error."""
    folder, net, data, _ = files
    fast = folder / "fast.toml"
    base = ["robustness", str(net), "--data", str(data), "--config", str(fast), "--no-curves"]
    text = '[robustness]\nperturbations = ["{}"]\nradii_codes = [20]\nbootstrap = 1000\n'
    fast.write_text(text.format("pgd20"))
    main([*base, "--out", str(folder / "strong")])
    fast.write_text(text.format("fgsm"))
    evidence = folder / "strong" / "evidence.npz"
    main([*base, "--out", str(folder / "joined"), "--points", str(evidence)])
    strong, joined = (load_evidence(folder / o / "evidence.npz") for o in ("strong", "joined"))
    row = next(r for r in joined.rows if r.key == "fgsm/20")
    assert "given: evidence.npz" in row.members
    for side in ("float", "fixed"):
        assert not (row.robust[side] & ~strong.rows[0].robust[side]).any()
    capsys.readouterr()
    assert main([*base, "--out", str(folder / "none"), "--points", str(data)]) == 2
    assert "no points in it" in capsys.readouterr().err
    assert not (folder / "none").exists()


def test_points_that_cannot_count_are_told(files, capsys, tmp_path):
    """Of another width: an error that leaves what was there. Of other samples: a warning."""
    _, net, data, _ = files
    fast = tmp_path / "fast.toml"
    fast.write_text('[robustness]\nperturbations = ["fgsm"]\nradii_codes = [20]\n')
    out, given = tmp_path / "out", tmp_path / "others.npz"
    out.mkdir()
    (out / "robustness.html").write_text("of an earlier evaluation")
    command = ["robustness", str(net), "--data", str(data), "--config", str(fast), "--no-curves",
               "--out", str(out), "--points", str(given)]  # fmt: skip
    np.savez(given, clean=np.zeros((2, 5), int), points=np.zeros((2, 5), int))
    capsys.readouterr()
    assert main(command) == 2
    assert "points of 5 inputs; the network has 16" in capsys.readouterr().err
    assert {p.name for p in out.iterdir()} == {"robustness.html"}
    np.savez(given, clean=np.full((2, 16), 77), points=np.full((2, 16), 78))
    main(command)
    assert "warning: others.npz: none of 2 points counts" in capsys.readouterr().err
    with np.load(data) as file:
        codes = np.rint(file["images"].reshape(-1, 16)[:3] * 255).astype(int)
    np.savez(given, clean=codes, points=codes)
    main(command)
    assert "points counts" not in capsys.readouterr().err


def test_a_disk_that_fills_leaves_no_older_results_beside_new_evidence(
    files, capsys, tmp_path, monkeypatch
):
    _, net, data, _ = files
    fast = tmp_path / "fast.toml"
    fast.write_text('[robustness]\nperturbations = ["gaussian"]\nradii_codes = [9]\n')
    command = ["robustness", str(net), "--data", str(data), "--config", str(fast), "--no-curves",
               "--out", str(tmp_path / "out")]  # fmt: skip
    main(command)
    assert (tmp_path / "out" / "robustness.json").is_file()

    def full(*_, **__):
        raise OSError(28, "No space left on device", "robustness.json")

    monkeypatch.setattr(judge, "write_json", full)
    capsys.readouterr()
    assert main([*command, "--seed", "3"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"evidence.npz"}


def test_the_page_lists_every_sanity_line_and_what_stands_beside_each_row(files, tmp_path):
    _, net, data, _ = files
    sweep = tmp_path / "s.toml"
    sweep.write_text(SWEEP[: SWEEP.index("[smoothing]")].replace('"fgsm"', '"pgd5"'))
    main(["robustness", str(net), "--data", str(data), "--config", str(sweep),
          "--out", str(tmp_path / "out")])  # fmt: skip
    document = json.loads((tmp_path / "out" / "robustness.json").read_text())
    html = unescape((tmp_path / "out" / "robustness.html").read_text())
    verdict = html[html.index("<main>") : html.index("<nav")]
    shown, folded = verdict.split('<details class="more">')
    holding = [line for line in document["sanity"] if line["ok"]]
    failing = [line for line in document["sanity"] if not line["ok"]]
    assert holding
    assert f"{len(holding)} of {len(document['sanity'])} sanity lines hold" in folded
    for lines, there in ((holding, folded), (failing, shown)):
        for line in lines:
            assert line["line"] in there
            assert line["detail"] in there
    assert ("Every sanity line" in shown) == (not failing)
    beside = html[html.index("<caption>Beside it") :]
    cells = re.findall(r"<tr>.*?</tr>", beside[: beside.index("</table>")], flags=re.DOTALL)[1:]
    assert len(cells) == len(document["robustness"]) == 4
    for text, row in zip(cells, document["robustness"], strict=True):
        null, transfer = row["null"] or {}, row["transfer"] or {}
        numbers = [null.get("lost"), null.get("gained"), transfer.get("float"), row["float"],
                   transfer.get("fixed"), row["fixed"], row["detectable_drop"]]  # fmt: skip
        found = re.findall(r"<td[^>]*>(.*?)</td>", text)
        assert found[1:] == [percent(number) for number in numbers]
    assert any(row["transfer"] for row in document["robustness"])


def test_every_sanity_line_and_what_stands_beside_a_result_are_printed(files, capsys, tmp_path):
    _, net, data, _ = files
    fast = tmp_path / "fast.toml"
    fast.write_text('[robustness]\nperturbations = ["gaussian", "pgd5"]\nradii_codes = [20]\n')
    main(["robustness", str(net), "--data", str(data), "--config", str(fast), "--no-curves",
          "--out", str(tmp_path / "out")])  # fmt: skip
    said = capsys.readouterr().out
    document = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert len(document["sanity"]) >= 5
    for line in document["sanity"]:
        sign = "sanity" if line["ok"] else "attack too weak?"
        assert f"{line['line']}: {line['detail']}" in said
        assert sign in said
    noise, attack = document["robustness"]
    beside = [line.split() for line in said[said.index("beside it") :].splitlines()[2:4]]
    for row, words in zip((noise, attack), beside, strict=True):
        numbers = [row["null"]["lost"], row["null"]["gained"], row["fixed"], row["detectable_drop"]]
        if row["transfer"]:
            numbers.insert(2, row["transfer"]["fixed"])
        assert [w for w in words if "." in w] == [f"{100 * x:.1f}" for x in numbers]
