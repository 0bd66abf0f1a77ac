"""The quantisers' table and what it was asked to show, on cells whose numbers are known."""

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


def write_cell(folder, cell, lost, *, images=200, gain=None, weak=False):
    """Write a cell in which the first ``lost`` images of those robust in float are not in fixed.

    Images 0, 2, 4, ... are robust in float.
    """
    index = [image for image in range(images) if image % 5 == cell.fold]
    text = {
        "float": "".join("1" if i % 2 == 0 else "0" for i in index),
        "fixed": "".join("1" if i % 2 == 0 and i >= 2 * lost else "0" for i in index),
    }
    whole = {side: "1" * len(index) for side in text}
    document = {
        "schema": 1, "code": "abc", "network": "def", "index": index, "clean": whole,
        "robust": text, "weak": weak and cell.fold == 0, "layers": {"a": 0.5 + cell.fold / 100},
        "gain": None if gain is None else {"layers": {"a": gain}, "robust": text["float"]},
    }  # fmt: skip
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


LOST = {"8-search": 1, "6-search": 2, "4-naive": 40, "4-search": 10, "4-search-repaired": 12}


def results(folder, recipe, lost, **more):
    from quantiser_cells import all_cells
    from quantiser_table import Results

    cells = list(all_cells(only=(recipe,)))
    for cell in cells:
        write_cell(folder, cell, lost[cell.way.name], **more)
    return Results(folder, cells)


def test_counts_and_lines_follow_the_cells(tmp_path):
    from quantiser_table import lines_of, report_text, rows_of

    found = results(tmp_path, "dlif-at-penalty", LOST, gain=0.995)
    drop = found.drop("dlif-at-penalty", "4-naive")
    assert (drop.lost, drop.gained, drop.n) == (3 * 40, 0, 3 * 200)
    lines = {line.wanted.split(":")[0]: line for line in lines_of(found, "dlif-at-penalty")}
    held = {name: line.holds for name, line in lines.items()}
    # 200 images: one lost of them has an upper limit above 1 point; a tenth is above 3.
    assert held == {
        "8-search": True, "6-search": False, "4-search-repaired": False, "8-bit gains": True,
        "4-search loses fewer than 4-naive, paired p < 0.01": True,
        "4-search-repaired loses at most half of 4-naive": True,
    }  # fmt: skip
    text = report_text(found, 300, "abc", 26)
    assert "75 of 300 cells; code abc" in text
    assert (
        "| dlif-at-penalty | 4-naive | 100.0 → 100.0 | 50.0 → 30.0 | 20.00 | 0.00 | 20.00" in text
    )
    assert "| 52.00 | 0 of 15 |" in text
    rows = rows_of(found.cells)
    assert sum(row["lost"] for row in rows if row["way"] == "4-naive") == 3 * 40
    assert {row["n"] for row in rows} == {40}


def test_what_does_not_hold_is_said(tmp_path):
    from quantiser_table import lines_of

    worse = {**LOST, "8-search": 5, "4-search": 41, "4-search-repaired": 40}
    lines = lines_of(results(tmp_path, "lif-at", worse), "lif-at")
    assert len(lines) == 6  # no gains, so nothing about them
    assert [line.holds for line in lines] == [False] * 6


def test_nothing_holds_on_weak_attacks_missing_cells_or_intervals_that_cross(tmp_path):
    from quantiser_cells import all_cells
    from quantiser_table import Results, lines_of

    weak = lines_of(results(tmp_path / "weak", "lif-at", LOST, weak=True), "lif-at")
    assert {line.holds for line in weak} == {None, False}
    cells = list(all_cells(only=("lif-at",)))
    for cell in cells:
        write_cell(tmp_path, cell, LOST[cell.way.name])
    part = lines_of(Results(tmp_path, cells[:-1]), "lif-at")
    assert [line.holds for line in part] == [None] * len(part) != []
    # About half as many: the interval says no more.
    near = lines_of(
        results(tmp_path / "near", "lif-at", {**LOST, "4-search-repaired": 20}), "lif-at"
    )
    assert near[-1].verdict == "undecided"


def test_a_seed_that_lacks_folds_waits(tmp_path):
    from quantiser_cells import all_cells
    from quantiser_table import Results, lost

    cells = [c for c in all_cells(only=("lif-at",)) if not (c.seed == 2 and c.fold > 1)]
    for cell in cells:
        write_cell(tmp_path, cell, 3)
    assert Results(tmp_path, cells).masks("lif-at", "8-search", lost).shape == (2, 200)
    assert Results(tmp_path, []).masks("lif-at", "8-search", lost).size == 0


def test_signs_decide_the_chance():
    from quantiser_table import sign_flip_p

    one_way, both_ways = np.zeros((3, 100)), np.zeros((3, 100))
    one_way[:, :10] = 1
    both_ways[:, :10], both_ways[:, 10:20] = 1, -1
    # Ten images, all the same way: by chance one time in 2**10.
    assert sign_flip_p(one_way) == pytest.approx(2**-10, rel=0.5)
    assert 0.4 < sign_flip_p(both_ways) < 0.8
    assert sign_flip_p(-one_way) > 0.99


def test_ways_and_cells():
    from quantiser_cells import WAYS, all_cells

    cells = list(all_cells())
    assert len(cells) == len({cell.key for cell in cells}) == 4 * 5 * 3 * 5
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    for way in WAYS:
        assert way.config.weight_bits == way.bits == int(way.name[0])
        assert (way.config.rounding == "adaptive") == ("search" in way.name)
        assert (way.repair is not None) == way.name.endswith("repaired")
