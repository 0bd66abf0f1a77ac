"""Drawings: scales and ticks, positions of marks, escaping, bounds on size."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.report.accuracy_chart import DropRange
from neurodeploy.report.content import Cell, Table, csv_text
from neurodeploy.report.cost_record import Estimate
from neurodeploy.report.interval_chart import interval_drawing
from neurodeploy.report.number_text import energy, energy_unit
from neurodeploy.report.rasters import (
    MOST_NEURONS,
    MOST_STEPS,
    image_drawing,
    membrane_drawing,
    raster_drawing,
)
from neurodeploy.report.svg import Scale, decades, drawing, number, text, ticks


def test_a_scale_maps_its_ends_and_holds_what_lies_outside():
    scale = Scale(0.0, 10.0, 100.0, 20.0)
    assert [scale(v) for v in (0, 5, 10, -3, 99)] == [100, 60, 20, 100, 20]
    logarithmic = Scale(1.0, 100.0, 0.0, 200.0, logarithmic=True)
    assert logarithmic(10.0) == pytest.approx(100.0)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_few_and_inside(low, span, most):
    values = ticks(low, low + span, most)
    assert len(values) <= most + 1
    slack = 1e-6 * max(abs(low), span)
    assert all(low - slack <= v <= low + span + slack for v in values)
    if len(values) > 1:
        step = values[1] - values[0]
        mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
        assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-4 * max(1, abs(low) / span)


def test_ticks_of_an_empty_range_and_decades():
    assert ticks(3.0, 3.0) == (3.0,)
    assert decades(0.1, 1000.0) == (0.1, 1.0, 10.0, 100.0, 1000.0)


def test_coordinates_have_one_decimal_and_no_negative_zero():
    assert [number(v) for v in (1.04, 1.96, -0.01, 100.0)] == ["1", "2", "0", "100"]


def test_text_and_titles_are_escaped():
    svg = drawing(10, '"<&', [text(0, 0, "<script>")])
    assert 'aria-label="&#34;&lt;&amp;"' in svg
    assert "&lt;script&gt;" in svg


def test_a_raster_puts_each_kind_of_spike_in_its_own_half_of_the_cell():
    a, b = np.zeros((4, 3), np.uint8), np.zeros((4, 3), np.uint8)
    a[0, 0] = b[0, 0] = 1
    a[2, 1] = 1
    b[3, 2] = 1
    svg = raster_drawing(a, b, "title", "heading")
    starts = {
        css: [float(x) for x in re.findall(r"M([\d.]+) ", path)]
        for path, css in re.findall(r'<path d="([^"]*)" class="(\w+) spikes">', svg)
    }
    left, cell = 46.0, (352.0 - 46.0) / 4
    assert starts["both"] == [pytest.approx(left + 0.06 * cell, abs=0.05)]
    assert starts["float"] == [pytest.approx(left + 2.06 * cell, abs=0.05)]
    assert starts["fixed"] == [pytest.approx(left + 3.5 * cell, abs=0.051)]


def test_large_rasters_are_cut():
    spikes = np.ones((4 * MOST_STEPS, 4 * MOST_NEURONS), np.uint8)
    svg = raster_drawing(spikes, spikes, "title", "heading")
    assert svg.count("h") < 2.2 * MOST_STEPS * MOST_NEURONS
    assert not raster_drawing(spikes * 0, spikes * 0, "t", "h").count("spikes")


def test_images_are_drawn_only_if_square():
    assert image_drawing(np.arange(64.0), "t").count("M") > 50
    assert image_drawing(np.zeros(64), "t") is not None
    for size in (2, 63, 60_000):
        assert image_drawing(np.zeros(size), "t") is None
    assert image_drawing(np.full(64, np.nan), "t") is None


@pytest.mark.parametrize(
    ("threshold", "drawn"), [(1.0, True), (None, False), (1e6, False), (-0.5, True)]
)
def test_a_threshold_is_drawn_unless_out_of_reach(threshold, drawn):
    run = np.array([0.1, 0.5, np.nan, 0.9])
    svg = membrane_drawing((run, run), threshold, [], "t", "h")
    assert ("threshold line" in svg) == drawn
    assert "nan" not in svg.lower()


def test_membranes_that_never_move_still_have_an_axis():
    svg = membrane_drawing((np.zeros(3), np.zeros(3)), 1.0, [], "t", "h")
    assert "threshold line" in svg


def test_interval_bars_end_where_the_bounds_are():
    rows = [("core", [("clean", Estimate("core", 10.0, 100.0, 1000.0))])]
    svg = interval_drawing("energy", rows, energy, energy_unit)
    bar = re.search(r'<line x1="([\d.]+)" [^>]*x2="([\d.]+)" [^>]*class="clean range"', svg)
    assert [float(x) for x in bar.groups()] == [26.0, 268.0]
    mark = re.search(r'd="M([\d.]+) [^"]*" class="clean mark"', svg)
    assert float(mark.group(1)) == pytest.approx((26 + 268) / 2, abs=0.05)


def test_interval_bars_from_zero_and_without_any_number():
    rows = [("core", [("clean", Estimate("core", 0.0, 3.0, 5.0))])]
    assert "clean range" in interval_drawing("energy", rows, energy, energy_unit)
    nothing = [("core", [("clean", Estimate("core", 0.0, 0.0, 0.0))])]
    assert interval_drawing("energy", nothing, energy, energy_unit) is None


def test_the_drop_range_holds_zero_and_tolerance_without_rows():
    drops = DropRange.of([], 0.02)
    assert drops.low < 0.0 < 0.02 < drops.high


def test_csv_quotes_what_needs_quotes_and_the_link_is_plain_ascii():
    rows = [[Cell("x", 'a,"b"\n'), Cell("y", None), Cell("z", 0.1)]]
    assert csv_text(("p", "q", "r"), rows) == 'p,q,r\n"a,""b""\n",,0.1\n'
    table = Table("a <b>/../c", ("p",), ((Cell("µ", "µ#\"'&<"),),))
    assert re.fullmatch(r"[\w!'()*,./:;?$~%=-]+", table.data_uri)
    assert not set('#"&<') & set(table.data_uri)
    assert table.file_name == "a-b-c.csv"
