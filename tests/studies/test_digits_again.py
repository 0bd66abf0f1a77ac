"""A claim attacked again: runs are pooled, and what the last one found is a margin."""

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


def runs(*broken, images=1000, seeds=3):
    """Return masks [runs, seeds, images]: each run breaks the images up to a count."""
    first = np.arange(images)
    return np.array([np.broadcast_to(first >= n, (seeds, images)) for n in broken])


def test_what_any_run_breaks_counts():
    from digits_again import last_found, left

    robust = runs(300, 200, 350)
    assert left(robust) == pytest.approx([0.7, 0.7, 0.65])
    assert last_found(robust) == pytest.approx(5.0)
    assert last_found(robust[:1]) == pytest.approx(30.0)


def test_a_pair_is_confirmed_only_beyond_its_margin():
    from digits_again import difference, report_text, verdict

    weaker, strong, rugged = runs(500, 500, 510), runs(400, 400, 400), runs(400, 400, 460)
    assert verdict(difference(strong, weaker), 0.0) == "confirmed"
    # Five points better, but its last run still broke six more.
    assert verdict(difference(rugged, weaker), 6.0) == "open"
    assert verdict(difference(weaker, strong), 0.0) == "refuted"
    assert verdict(difference(strong[:, :2], weaker[:, :2]), 0.0) == "open"  # two seeds
    found = {"lif-at2": strong, "lif-at-penalty": weaker, "dlif-at2": rugged,
             "dlif-at-penalty": weaker}  # fmt: skip
    text = report_text(found, dict.fromkeys(found, (1, 0)), 45, "abc")
    assert "| lif-at2 | 60.00 | 60.00 | 60.00 | 1, 0 |" in text
    assert "| dlif-at2 | 60.00 | 60.00 | 54.00 | 1, 0 |" in text
    assert "margin 0.00: **confirmed**" in text
    assert "margin 6.00: **open**" in text


def test_every_network_is_attacked_in_every_run():
    from again_cells import all_cells

    cells = list(all_cells())
    assert len(cells) == len({cell.key for cell in cells}) == 4 * 3 * 5 * 3
