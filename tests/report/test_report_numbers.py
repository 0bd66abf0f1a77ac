"""Numbers as text: exact strings, and no rounding that turns "nearly all" into "all"."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.report.number_text import (
    anything,
    count,
    duration,
    energy,
    energy_unit,
    percent,
    percent_interval,
    plain,
    points,
    points_interval,
    ratio,
    time_unit,
)

MISSING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def spaced(text: str) -> str:
    plain_ascii = text.replace("\N{NO-BREAK SPACE}", " ").replace(MINUS, "-")
    return plain_ascii.replace("\N{MULTIPLICATION SIGN}", "x")


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (percent, 0.97499, "97.5 %"),
        (percent, 1.0, "100.0 %"),
        (percent, 0.99999, "> 99.9 %"),
        (percent, 0.0, "0.0 %"),
        (percent, 1e-6, "< 0.1 %"),
        (points, -0.00001, "0.0"),
        (points, -0.0083, "-0.8"),
        (points, 0.0139, "1.4"),
        (points_interval, (-0.008, 0.019), "-0.8 to 1.9"),
        (percent_interval, (0.951, 0.986), "95.1 to 98.6 %"),
        (energy, 0.0236, "23.6 pJ"),
        (energy, 0.0, "0 nJ"),
        (energy, 1.0, "1.00 nJ"),
        (energy, 999.4, "999 nJ"),
        (energy, 999.9, "1.00 µJ"),
        (energy, 68_350.0, "68.4 µJ"),
        (energy, 1.661e6, "1.66 mJ"),
        (duration, 0.2, "200 ns"),
        (duration, 152.85, "153 µs"),
        (duration, 13_990.0, "14.0 ms"),
        (energy_unit, 10_000.0, "10 µJ"),
        (energy_unit, 1e-3, "1 pJ"),
        (energy_unit, 1e6, "1 mJ"),
        (time_unit, 0.1, "100 ns"),
        (count, 77_824, "77,824"),
        (count, 431.53, "431.5"),
        (count, -3, "-3"),
        (ratio, 1.0, "1.00x"),
        (ratio, 1.2345, "1.23x"),
        (ratio, 0.034, "0.0340x"),
        (ratio, 123.4, "123x"),
        (ratio, 0.0, "0x"),
        (plain, 0.35449, "0.3545"),
        (plain, 26.0, "26"),
        (plain, 123_456.0, "123,456"),
        (plain, 0.00001234, "1.234e-5"),
        (plain, 2.5e9, "2.5e9"),
        (plain, 0.0, "0"),
        (plain, float("inf"), "∞"),
        (anything, True, "yes"),
        (anything, [1, 2.5, None], f"1, 2.5, {MISSING}"),
        (anything, {"kind": "sum", "bits": 8}, "kind sum, bits 8"),
        (anything, {"b": [{}], "a": 2}, '{"a": 2, "b": [{}]}'),
    ],
)
def test_exact_texts(form, value, text):
    assert spaced(form(value)) == text


@pytest.mark.parametrize(
    "form",
    [percent, points, points_interval, percent_interval, energy, duration, count, ratio, plain],
)
def test_a_missing_number_is_a_dash_and_never_a_zero(form):
    assert form(None) == MISSING


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_only_all_reads_100_and_only_none_reads_0(right, more):
    fraction = right / (right + more - 1) if right + more > 1 else 0.0
    shown = spaced(percent(fraction))
    assert (shown == "100.0 %") == (fraction == 1.0)
    assert (shown == "0.0 %") == (fraction == 0.0)


@given(st.floats(1e-6, 1e12))
def test_energies_read_back_to_three_digits(nanojoules):
    number, unit = spaced(energy(nanojoules)).split()
    size = {"pJ": 1e-3, "nJ": 1.0, "µJ": 1e3, "mJ": 1e6, "J": 1e9}[unit]
    assert float(number.replace(",", "")) * size == pytest.approx(nanojoules, rel=6e-3, abs=6e-8)


@settings(max_examples=30)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_value_becomes_text(value):
    assert isinstance(anything(value), str)
    json.dumps(anything(value))
