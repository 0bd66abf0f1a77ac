"""The study's table and claims, on cells whose numbers are known."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(STUDIES))
    yield
    sys.path.remove(str(STUDIES))


def write_cell(folder, cell, right, *, weak=False, images=100, sides=None):
    """Write a cell whose images are right as ``right(measure, image)`` says.

    ``sides`` None: as cells were before they said which network's attack was weak.
    """
    from digits_cells import INTERVAL_RADII, RADII, REFINED_RADII

    index = [image for image in range(images) if image % 5 == cell.model.fold]

    def text(measure):
        return "".join("1" if right(measure, image) else "0" for image in index)

    measures = [f"{name}/{radius}" for name in ("gaussian", "suite") for radius in RADII]
    proofs = [f"interval/{radius}" for radius in INTERVAL_RADII]
    proofs += [f"refined/{radius}" for radius in REFINED_RADII] if cell.bits == 8 else []
    document = {
        "schema": 1 if sides is None else 2, "code": "abc", "network": "def", "variant": cell.model.variant.name, "seed": cell.model.seed,
        "fold": cell.model.fold, "bits": cell.bits, "index": index,
        "clean": {"float": text("clean"), "fixed": text("clean")},
        "rows": {
            m: {"verdict": "survives", "attack_too_weak": weak,
                **({} if sides is None else {"weak": sides})}
            for m in measures
        },
        "robust": {m: {"float": text(m), "fixed": text(f"fixed {m}")} for m in measures},
        "certified": {key: text(key) for key in proofs},
    }  # fmt: skip
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_claims_follow_the_cells(tmp_path):
    from digits_cells import all_cells
    from digits_table import Results, claims, report_text

    gains = {"gauss-penalty": 30, "gauss": 10, "at-penalty": 40, "at": 60, "at2": 60,
             "at2-penalty": 40, "plain": 5}  # fmt: skip

    def share(variant, measure):
        if measure.startswith(("interval", "refined")):
            return 50 if "penalty" in variant else 20
        return gains[variant.split("-", 1)[1]]

    for cell in all_cells():
        name = cell.model.variant.name
        write_cell(tmp_path, cell, lambda m, i, n=name: i * 37 % 100 < share(n, m))
    results = Results(tmp_path)
    said = {}
    for number, claim in enumerate(claims(), start=1):
        for better, worse in claim.pairs:
            found = results.difference(better, worse, 8, claim.pick)
            assert (found.seeds, found.images) == (3, 100)
            said[number, better, worse] = (round(found.points), claim.verdict(found))
    assert said[1, "lif-gauss-penalty", "lif-gauss"] == (20, "confirmed")
    assert said[2, "dlif-at-penalty", "dlif-at"] == (-20, "confirmed")
    assert said[3, "lif-at2", "lif-at-penalty"] == (20, "confirmed")
    assert said[4, "dlif-plain", "lif-plain"] == (0, "confirmed")
    assert said[5, "dlif-at-penalty", "dlif-at"] == (30, "confirmed")
    text = report_text(results, "abc")
    assert "630 cells" in text
    assert "| lif-gauss-penalty | 8 | 30.0 → 30.0 |"[:25] in text
    for number, claim in enumerate(claims(), start=1):
        assert f"{number}. {claim.sentence} ({claim.what}) **confirmed**" in text
        verdicts = [said[(number, *pair)][1] for pair in claim.pairs]
        assert claim.whole(verdicts) == "confirmed"


def estimate_of(low, high, seeds=3):
    from digits_table import Estimate

    return Estimate((low + high) / 2, low, high, seeds, 1797)


def test_a_claim_is_no_better_than_its_pairs():
    from digits_table import claims

    claim, _, _, equal, certified = claims()
    assert claim.verdict(estimate_of(1, 3)) == "confirmed"
    assert claim.verdict(estimate_of(-3, -1)) == "refuted"
    assert claim.verdict(estimate_of(-1, 3)) == claim.verdict(estimate_of(1, 3, seeds=2)) == "open"
    assert claim.verdict(estimate_of(1, 3), 0.1) == "confirmed"
    assert claim.verdict(estimate_of(1, 3), 4 / 30) == "open"
    assert equal.verdict(estimate_of(-1.5, 1.5)) == "confirmed"
    assert claim.whole(["confirmed"] * 2) == "confirmed"
    assert claim.whole(["confirmed"]) == "open", "a pair without cells"
    assert claim.whole(["confirmed", "open"]) == "open"
    assert claim.whole(["open", "refuted"]) == "refuted"
    assert claim.confidence == pytest.approx(0.975)
    assert certified.confidence == pytest.approx(1 - 0.05 / 6)


def test_intervals_of_more_pairs_are_wider():
    from digits_table import estimate

    difference = np.random.default_rng(0).integers(-1, 2, (3, 400)).astype(float)
    one, six = estimate(difference), estimate(difference, confidence=1 - 0.05 / 6)
    assert six.low < one.low < one.points == six.points < one.high < six.high


@pytest.mark.parametrize(("weak_cells", "verdict"), [(3, "confirmed"), (4, "open")])
def test_weak_attacks_leave_a_claim_open(tmp_path, weak_cells, verdict):
    """Of the 30 cells of a pair three may be weak."""
    from digits_cells import all_cells
    from digits_table import Results, report_text

    shares = {"lif-gauss-penalty": 60, "lif-gauss": 20, "dlif-gauss-penalty": 60, "dlif-gauss": 20}
    left = weak_cells
    for cell in all_cells():
        name = cell.model.variant.name
        if name in shares and cell.bits == 8:
            weak = name == "lif-gauss" and left > 0
            left -= weak
            write_cell(tmp_path, cell, lambda m, i, n=name: i * 37 % 100 < shares[n], weak=weak)
    text = report_text(Results(tmp_path), "abc")
    assert f"(robust within 26 codes, 8 bits) **{verdict}**" in text
    line = next(line for line in text.splitlines() if "- lif-gauss-penalty minus" in line)
    assert f"**{verdict}** (weak attack in {weak_cells} of 30 cells, " in line
    line = next(line for line in text.splitlines() if "- dlif-gauss-penalty minus" in line)
    assert line.endswith("**confirmed**")


def test_holm_counts_the_radii_of_one_variant_and_width(tmp_path):
    """3.5 points of 1000 images, the same in all seeds: a loss among 2 strengths, not among 84."""
    from digits_cells import RADII, all_cells
    from digits_table import REPLICATES, TOLERANCE, Results, _drops

    from neurodeploy.robustness.seed_clusters import clustered_drop

    def right(measure, image):
        return image % 100 < 50 and not (measure == "fixed suite/26" and image < 35)

    for cell in all_cells():
        write_cell(tmp_path, cell, right, images=1000)
    drop = clustered_drop(np.ones((3, 1000), bool), np.arange(1000) >= 35 * np.ones((3, 1)),
                          REPLICATES, 26)  # fmt: skip
    assert 0.05 / 84 < drop.p_lost(TOLERANCE) < 0.05 / len(RADII)
    lines = [[cell.strip() for cell in line.split("|")] for line in _drops(Results(tmp_path))]
    assert len(lines) == 2 + 84
    assert len({len(line) for line in lines}) == 1
    assert [line[9] for line in lines[2:]] == ["lost", "survives"] * 42
    assert [line[3] for line in lines[2:]] == ["26", "52"] * 42
    assert 100 * len(RADII) <= REPLICATES


def test_a_difference_takes_only_what_both_have(tmp_path):
    from digits_cells import all_cells
    from digits_table import Results, robust

    for cell in all_cells():
        name = cell.model.variant.name
        if name == "lif-at" or (name == "lif-gauss" and cell.model.seed != 1):
            # The seed that only one of them has would turn the result round.
            good = cell.model.seed == 1 or name == "lif-gauss"
            write_cell(tmp_path, cell, lambda m, i, g=good: g)
    found = Results(tmp_path).difference("lif-gauss", "lif-at", 8, robust("fixed", 26))
    assert (found.points, found.seeds, found.images) == (100.0, 2, 100)
    assert Results(tmp_path).difference("lif-gauss", "dlif-at", 8, robust("fixed", 26)) is None


def test_the_table_counts_images(tmp_path):
    from digits_cells import all_cells, load_cell
    from digits_table import rows_of, table_text

    cell = next(all_cells())
    write_cell(tmp_path, cell, lambda m, i: i < 50 if m.startswith("fixed") else i < 60)
    rows = list(csv.DictReader(io.StringIO(table_text(rows_of(cell, load_cell(cell, tmp_path))))))
    suite = next(row for row in rows if row["measure"] == "suite/26")
    assert (suite["n"], suite["float"], suite["fixed"]) == ("20", "12", "10")
    assert (suite["lost"], suite["gained"], suite["verdict"]) == ("2", "0", "survives")


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.0), (3, 0.02), (5, 0.02)])
def test_intervals_hold_what_they_promise(seeds, spread):
    from digits_table import estimate

    rng = np.random.default_rng(int(1000 * spread) + seeds)
    held = 0
    for run in range(40):
        shift = 0.05 + rng.normal(0, spread, seeds)
        image = rng.normal(0, 0.2, 400)
        difference = np.clip(np.rint(image + shift[:, None] + rng.normal(0, 0.4, (seeds, 400))),
                             -1, 1)  # fmt: skip
        many = rng.normal(0, 0.2, (2000, 1)) + 0.05 + rng.normal(0, spread, (2000, 50))
        truth = 100 * np.clip(np.rint(many + rng.normal(0, 0.4, many.shape)), -1, 1).mean()
        found = estimate(difference, run)
        held += found.low <= truth <= found.high
    assert held >= 33  # of 40 at 95 %; three seeds tell little of their own spread


def table_of(folder, cell, right, network="def"):
    """Write the table of one cell; return its rows and the file."""
    from digits_cells import load_cell
    from digits_table import rows_of, table_text

    write_cell(folder, cell, right)
    rows = [{**row, "network": network} for row in rows_of(cell, load_cell(cell, folder))]
    file = folder / "table.csv"
    file.write_text(table_text(rows))
    return rows, file


def changed(rows, measure, side, by):
    return [{**r, side: r[side] + by} if r["measure"] == measure else r for r in rows]


@pytest.mark.parametrize(
    ("measure", "side", "by", "network", "wrong"),
    [
        ("clean", "fixed", 0, "def", 0),
        ("clean", "fixed", 1, "def", 1),
        ("certified/interval/4", "fixed", -1, "def", 1),
        ("suite/26", "float", 4, "def", 0),
        ("suite/26", "float", 5, "def", 1),
        ("clean", "fixed", 1, "other", 0),
        ("clean", "fixed", -2, "other", 1),
        ("suite/26", "fixed", 3, "other", 0),
        ("suite/26", "fixed", 4, "other", 1),
        ("certified/interval/4", "fixed", 6, "other", 1),
    ],
)
def test_a_second_run_is_compared(tmp_path, measure, side, by, network, wrong):
    from digits_cells import all_cells
    from digits_check import differences

    rows, file = table_of(tmp_path, next(all_cells()), lambda m, i: i < 50)
    again = [{**row, "network": network} for row in changed(rows, measure, side, by)]
    found = differences(again, file)
    assert len(found) == wrong
    assert all(measure in text for text in found)


def test_what_the_table_lacks_is_told(tmp_path):
    from digits_cells import all_cells
    from digits_check import differences

    cells = list(all_cells())
    rows, _ = table_of(tmp_path / "a", cells[0], lambda m, i: i < 50)
    _, file = table_of(tmp_path / "b", cells[1], lambda m, i: i < 50)
    assert len(differences(rows, file)) == len(rows)
    rows[0]["fixed"] = ""
    assert "fixed ''" in differences(rows, tmp_path / "a" / "table.csv")[0]


@pytest.mark.parametrize(
    ("sides", "verdict", "drop"),
    [
        (None, "undecided", 70),  # an old cell: it may be either
        (["float"], "undecided", 70),
        (["fixed", "float"], "undecided", 70),
        (["fixed"], "lost", 70),  # too weak on the integers alone: the drop is understated
        (["fixed"], "undecided", 0),
        ([], "survives", 0),
    ],
)
def test_a_weak_attack_concerns_the_network_it_was_weak_on(tmp_path, sides, verdict, drop):
    from digits_cells import all_cells, code_of
    from digits_table import Results, _drops

    def right(measure, image):
        return image % 100 < 50 and not (measure.startswith("fixed suite") and image < drop)

    first = True
    for cell in all_cells():
        if cell.model.variant.name == "lif-at" and cell.bits == 8:
            # One cell is enough.
            doubted = sides if first else None if sides is None else []
            write_cell(
                tmp_path, cell, right, images=1000, weak=first and sides != [], sides=doubted
            )
            assert code_of(cell, tmp_path) == "abc"
            first = False
    lines = [[cell.strip() for cell in line.split("|")] for line in _drops(Results(tmp_path))[2:]]
    assert [line[9] for line in lines] == [verdict] * 2
    assert [line[10] for line in lines] == [str(int(sides != []))] * 2
