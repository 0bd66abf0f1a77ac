"""The page as a whole: parses, loads nothing, shows every number, escapes everything."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from report.plausible_run import MODELS, write_run

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.report import write_report
from neurodeploy.report.number_text import percent, points

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}


class Page(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}> at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @cached_property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(run, tmp_path_factory) -> str:
    return report(tmp_path_factory.mktemp("out"), run)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def one_model(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("one"), models={"one": "lost"})


@pytest.fixture
def folder(one_model, tmp_path) -> Path:
    """A folder of one run with one model, free to be damaged."""
    return Path(shutil.copytree(one_model, tmp_path / "run"))


def report(out: Path, *folders: Path) -> str:
    write_report(folders, out / "report.html")
    return (out / "report.html").read_text(encoding="utf-8")


def change(folder: Path, name: str, edit) -> None:
    document = json.loads((folder / name).read_text())
    edit(document)
    (folder / name).write_text(json.dumps(document))


def test_the_page_is_well_formed(page):
    assert page.open == []
    assert {"h1", "h2", "h3", "table", "caption", "svg", "details", "nav"} <= {
        tag for tag, _ in page.tags
    }


def test_ids_are_unique_and_every_inner_link_leads_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    inner = [a["href"][1:] for a in page.of("a") if a["href"].startswith("#")]
    assert len(inner) == 7
    assert set(inner) <= set(ids)


def test_the_page_loads_nothing(html, page):
    assert not {"link", "iframe", "object", "embed", "img", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    for _, attrs in page.tags:
        assert "src" not in attrs
        for name in ("href", "xlink:href", "srcset", "action", "poster", "style"):
            value = attrs.get(name) or ""
            assert not re.match(r"\s*(https?:)?//", value)
            assert "url(" not in value
    assert all(a["href"].startswith(("#", "data:text/csv")) for a in page.of("a"))
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_no_mark_up_of_handlers_and_one_script_that_the_policy_knows(html, page):
    assert len(page.of("script")) == 1
    script = html.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_sections_come_in_the_order_of_a_review(html):
    headings = re.findall(r"<h2 [^>]*>(.*?)</h2>", html)
    assert headings == [
        "1. Verdict",
        "2. Accuracy against radius",
        "3. Where the integers differ",
        "4. Fidelity chain",
        "5. Quantisation choices",
        "6. Energy and latency",
        "7. What was assumed",
        "8. Reproduction",
    ]


def test_every_model_and_every_number_of_every_row_is_there(run, page):
    results = json.loads((run / "results.json").read_text())
    for name, model in results["models"].items():
        assert name in page.text
        for row in model["robustness"]:
            for key in ("float", "fixed", "lost", "gained", "retention"):
                # Collapsing white space also turns the non-breaking spaces of numbers into plain ones.
                assert percent(row[key]).replace("\N{NO-BREAK SPACE}", " ") in page.text, (
                    name,
                    key,
                )
            assert points(row["drop"]) in page.text
            low, high = row["drop_ci95"]
            assert f"{points(low)} to {points(high)}" in page.text


def test_the_row_table_says_for_each_row_what_the_file_says(run, html):
    """Rows are looked up one by one in the CSV of the table, in full precision."""
    results = json.loads((run / "results.json").read_text())
    for name, model in results["models"].items():
        lines = csv_of(html, f"{name}: every perturbation and radius")
        assert len(lines) == 1 + len(model["robustness"])
        found = {}
        for line in lines[1:]:
            cells = line.split(",")
            found[cells[0], int(cells[1])] = cells
        spelling = {"gaussian": "Gaussian noise", "fgsm": "FGSM", "pgd20": "PGD-20"}
        for row in model["robustness"]:
            cells = found[spelling[row["perturbation"]], row["radius_codes"]]
            keys = ("float", "fixed", "lost", "gained", "drop", "retention")
            assert [float(c) for c in cells[2:8]] == [row[key] for key in keys]
            assert float(cells[8]) == row["null"]["drop"]
            assert cells[9] == row["verdict"]
            assert cells[10] == ("" if row["needed_n"] is None else str(row["needed_n"]))
            assert int(cells[11]) == row["n"]


def csv_of(html: str, caption: str) -> list[str]:
    after = html.split(f"<caption>{caption}</caption>")[1]
    uri = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', after).group(1)
    return unquote(uri.replace("&#39;", "'")).splitlines()


def test_every_figure_is_named_and_has_its_data(page, html):
    drawings = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(drawings) > 30
    assert all(svg["aria-label"] for svg in drawings)
    figures = re.findall(r"<figure>.*?</figure>", html, flags=re.S)
    assert len(figures) == len(drawings)
    for figure in figures:
        assert "<details>" in figure
        assert "data:text/csv" in figure
        assert re.search(r"<tbody>\s*<tr>", figure), figure[:300]


def test_a_raster_draws_exactly_the_spikes_of_the_file(run, html):
    arrays = np.load(run / "figures.npz")
    a = arrays["lif/lif1/float_spikes"][:, 1] != 0
    b = arrays["lif/lif1/fixed_spikes"][:, 1] != 0
    drawn = re.search(r'<svg [^>]*aria-label="lif, sample 41: spikes of lif1".*?</svg>', html, re.S)
    bars = {
        css: path.count("M")
        for path, css in re.findall(r'<path d="([^"]*)" class="(\w+) spikes">', drawn.group(0))
    }
    assert bars["both"] == int((a & b).sum())
    assert bars["float"] == int((a & ~b).sum())
    assert bars["fixed"] == int((b & ~a).sum())
    lines = csv_of(html, "lif, sample 41: spikes of lif1")
    assert len(lines) == 1 + int((a | b).sum())


def test_membranes_are_in_the_data_in_full_precision(run, html):
    arrays = np.load(run / "figures.npz")
    lines = csv_of(html, "lif, sample 41: membrane of lif2 neuron 1")
    values = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:]])
    assert np.array_equal(values[:, 1], arrays["lif/lif2/float_v"][:, 1, 0])
    assert np.array_equal(values[:, 2], arrays["lif/lif2/fixed_v"][:, 1, 0])


def test_samples_with_another_decision_come_first(page):
    shown = page.text.index("Sample 41: label 1, float decides 1, fixed decides 7.")
    assert shown < page.text.index("fixed decides nothing (a tie)")
    assert "Sample 3:" not in page.text


def test_the_fidelity_chain_says_what_was_compared(html, page):
    lines = list(csv.reader(csv_of(html, "Fidelity chain")))[1:]
    assert len(lines) == 9
    for name in MODELS:
        norse, rounding, lava = (line for line in lines if line[0] == name)
        assert norse[-4:-1] == ["360", "552960", "0"]
        assert rounding[-4:-1] == ["360", "552960", "3"]
        assert lava[-4:-1] == ["16", "77824", "0"]
    assert "at first flips |v - threshold| is at most 4.2e\N{MINUS SIGN}7 thresholds" in page.text
    assert "spikes of lif1 wrong in a tool that ignores dlif_gain" in page.text


def test_lava_is_confirmed_with_its_numbers(page):
    assert page.text.count("confirmed the integers: 0 of 77,824 values") == 6
    assert "Lava was absent" not in page.text


def test_without_lava_a_banner_stands_above_every_verdict(tmp_path):
    html = report(tmp_path, write_run(tmp_path / "run", lava=False))
    text = Page(html).text
    assert text.index("Lava was absent. Nothing here is confirmed by Lava") < text.index(
        "Robustness"
    )
    assert text.count("not confirmed by Lava") >= 4
    assert "confirmed the integers" not in text


def test_a_mismatch_with_lava_is_said_in_the_verdict(tmp_path, folder):
    for name in ("results.json", "summary.json"):
        change(
            folder,
            name,
            lambda d: d["models"]["one"]["fidelity"]["lava"].update(
                mismatches=7, first="lif2 v t=3"
            ),
        )
    text = Page(report(tmp_path, folder)).text
    assert "disagrees: 7 of 77,824 values differ on 16 samples. First at lif2 v t=3." in text
    assert "confirmed the integers" not in text


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "a'b&c<!--",
        "{{ 7*7 }}",
    ],
)
def test_a_hostile_model_name_stays_text(tmp_path, name):
    html = report(tmp_path, write_run(tmp_path / "run", models={name: "lost"}))
    page = Page(html)
    assert page.open == []
    assert len(page.of("script")) == 1
    assert not page.of("img")
    assert name in page.text
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)


def test_hostile_text_anywhere_else_stays_text(tmp_path, folder):
    bad = "<b onclick=x>&\"'</title></style>"

    def poison(value):
        if isinstance(value, dict):
            return {k: poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v) for v in value]
        return bad if isinstance(value, str) else value

    document = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(poison(document)))
    html = report(tmp_path, folder)
    page = Page(html)
    assert page.open == []
    assert not page.of("b")
    assert html.count("</style>") == 1
    assert html.count("</title>") == 1 + html.count("</title></path>") + html.count(
        "</title></rect>"
    )


def test_equal_input_gives_equal_bytes(run, html, tmp_path):
    assert report(tmp_path, run) == html
    again = write_run(tmp_path / run.name)
    assert (
        Page(report(tmp_path, again)).text.split("8. Reproduction")[0]
        == Page(html).text.split("8. Reproduction")[0]
    )


def test_the_page_is_small(html):
    assert len(html.encode()) < 1_500_000


def test_nothing_of_this_machine_is_in_the_page(run, html):
    assert str(run.parent) not in html


def test_without_figures_the_page_says_so(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "figures.npz").unlink()
    text = Page(report(tmp_path, folder)).text
    assert "figures.npz is missing from this folder" in text
    assert text.count("Rasters and membranes are missing") == len(MODELS)


def test_without_results_the_summary_alone_still_gives_a_page(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "results.json").unlink()
    (folder / "figures.npz").unlink()
    page = Page(report(tmp_path, folder))
    assert "results.json is missing from this folder" in page.text
    for name in MODELS:
        assert name in page.text
    assert "every perturbation and radius" in page.text
    assert "Lava confirmed the integers" in page.text


def test_missing_optional_parts_are_named_not_fatal(tmp_path, folder):
    (folder / "summary.json").write_text('{"schema": 1, "models": {"one": {}}}')
    (folder / "results.json").write_text('{"schema": 1, "models": {"one": {}}}')
    (folder / "figures.npz").unlink()
    text = Page(report(tmp_path, folder)).text
    for said in (
        "measured no robustness",
        "recorded no agreement per layer",
        "recorded no fidelity checks",
        "recorded no choices per synapse",
        "estimated no cost",
        "printed no sanity lines",
        "No findings are recorded",
        "recorded no execution contract",
        "command of this run is not recorded",
    ):
        assert said in text


def test_keys_of_a_newer_writer_are_kept_not_fatal(tmp_path, folder):

    def extend(document):
        document["brand_new"] = {"depth": 3}
        model = document["models"]["one"]
        model["another"] = [1, 2]
        model["quantisation"][0]["cosine"] = 0.25
        model["fidelity"]["onnx_mismatches"] = 0

    change(folder, "results.json", extend)
    text = Page(report(tmp_path, folder)).text
    assert "brand_new.depth" in text
    assert "cosine" in text
    assert "onnx mismatches" in text


def test_files_that_contradict_each_other_are_shown_as_such(tmp_path):
    folder = write_run(tmp_path / "run")
    change(folder, "summary.json", lambda d: d["models"]["lif"]["clean_accuracy"].update(fixed=0.5))
    change(folder, "summary.json", lambda d: d["models"]["lif-at"]["robustness"][2].update(n=17))
    text = Page(report(tmp_path, folder)).text
    assert "disagree on lif: clean accuracy (fixed)" in text
    assert "disagree on lif-at: gaussian at 38 codes" in text
    assert "disagree on dlif" not in text


def test_two_runs_side_by_side(tmp_path):
    first = write_run(tmp_path / "before", seed=1)
    second = write_run(tmp_path / "after", models={"lif": "survives"}, seed=2, lava=False)
    html = report(tmp_path, first, second)
    page = Page(html)
    assert page.open == []
    rows = csv_of(html, "All models")
    assert rows[0].startswith("run,model,verdict")
    assert [row.split(",")[:3] for row in rows[1:]] == [
        *(["before", name, verdict] for name, verdict in MODELS.items()),
        ["after", "lif", "survives"],
    ]
    assert "Run after: Lava was absent" in page.text
    assert "Run before: Lava was absent" not in page.text
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"run1-accuracy", "run2-accuracy"} <= set(ids)


def test_runs_whose_folders_have_one_name_are_told_apart(tmp_path):
    for parent in ("a", "b"):
        write_run(tmp_path / parent / "out", models={"lif": "survives"})
    rows = csv_of(report(tmp_path, tmp_path / "a" / "out", tmp_path / "b" / "out"), "All models")
    assert [row.split(",")[0] for row in rows[1:]] == ["out #1", "out #2"]


@pytest.mark.parametrize("name", ["summary.json", "results.json"])
@pytest.mark.parametrize("schema", [2, 0, None, "1", True])
def test_another_schema_is_an_error_with_numbers_and_remedy(tmp_path, name, schema, folder):
    change(folder, name, lambda d: d.update(schema=schema))
    with pytest.raises(FileFormatError, match=rf"{name}: schema .*reads schema 1; use the"):
        report(tmp_path, folder)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", b"{"),
        ("summary.json", b"[]"),
        ("summary.json", b"\xff\xfe"),
        ("results.json", b"nonsense"),
        ("figures.npz", b"not a zip file"),
        ("figures.npz", b""),
        ("figures.npz", b"PK\x03\x04 cut short"),
    ],
)
def test_damaged_files_are_errors_that_name_the_file(tmp_path, name, content, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=name):
        report(tmp_path, folder)


def test_pickled_arrays_are_refused(tmp_path, folder):
    np.savez(folder / "figures.npz", **{"one/labels": np.array([{}], dtype=object)})
    with pytest.raises(FileFormatError, match=r"figures\.npz"):
        report(tmp_path, folder)


def test_a_single_array_is_not_an_archive(tmp_path, folder):
    with (folder / "figures.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(FileFormatError, match="single array"):
        report(tmp_path, folder)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m["robustness"][0].update(lost="many"), r"robustness\[0\]: lost is 'many'"),
        (lambda m: m["robustness"][3].update(drop_ci95=[1]), r"robustness\[3\]: drop_ci95"),
        (lambda m: m["robustness"][1].pop("radius_codes"), r"robustness\[1\]: radius_codes"),
        (lambda m: m.update(robustness={"a": 1}), "robustness is .*not a list"),
        (lambda m: m.update(sanity=["x"]), "sanity is 'x', not a list of objects"),
        (lambda m: m["clean_accuracy"].update(float=True), "float is True, not a number"),
        (lambda m: m.update(verdict=3), "verdict is 3, not a string"),
        (lambda m: m.update(fidelity=[]), "fidelity is .*not an object"),
    ],
)
def test_values_of_the_wrong_type_name_file_and_key(tmp_path, edit, named, folder):
    change(folder, "results.json", lambda d: edit(d["models"]["one"]))
    with pytest.raises(FileFormatError, match=r"results\.json.*" + named):
        report(tmp_path, folder)


def test_arrays_of_the_wrong_shape_name_model_and_population(tmp_path, folder):
    arrays = dict(np.load(folder / "figures.npz"))
    arrays["one/lif2/fixed_spikes"] = arrays["one/lif2/fixed_spikes"][:-1]
    np.savez(folder / "figures.npz", **arrays)
    with pytest.raises(FileFormatError, match="one/lif2: spikes of float .* and fixed"):
        report(tmp_path, folder)


def test_no_folder_absent_folder_and_empty_folder_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no folder given"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(InputError, match="is not a folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "report.html")
    with pytest.raises(InputError, match=r"holds no summary\.json"):
        write_report([tmp_path], tmp_path / "report.html")


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, folder):
    (tmp_path / "report.html").write_text("the page of yesterday")
    change(folder, "results.json", lambda d: d["models"]["one"]["robustness"][9].update(n="x"))
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FileFormatError):
        report(tmp_path, folder)
    assert (tmp_path / "report.html").read_text() == "the page of yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_nan_and_infinity_count_as_not_recorded(tmp_path, folder):
    text = (folder / "results.json").read_text()
    document = json.loads(text)
    row = document["models"]["one"]["robustness"][7]
    row.update(retention=float("nan"), drop_ci95=[float("-inf"), 0.1], float_ci95=None)
    (folder / "results.json").write_text(json.dumps(document))
    html = report(tmp_path, folder)
    assert "nan" not in html.split("<main>")[1].lower().replace("gaussian", "")
    assert Page(html).open == []
