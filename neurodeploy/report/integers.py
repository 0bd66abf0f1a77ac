"""Section: where the integers differ from the floats, layer by layer."""

from __future__ import annotations

from markupsafe import Markup

from neurodeploy.report.content import (
    Block,
    Cell,
    Figure,
    FigureGrid,
    Heading,
    Note,
    Paragraph,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.number_text import anything, count, percent, plain
from neurodeploy.report.record_table import value_cell
from neurodeploy.report.run_folder import Model, Record
from neurodeploy.report.sample_figures import sample_blocks
from neurodeploy.report.svg import Frame, Scale, drawing, rectangle, text, ticks, x_axis

LAYER_LEGEND = (("float bar", "float"), ("fixed bar", "fixed point"), ("plain bar", "difference"))
_KNOWN: tuple[str, ...] = ("population", "agreement", "mismatches", "compared", "first_difference")
_KNOWN += ("rate_float", "rate_fixed", "v_error")


def integer_blocks(model: Model) -> tuple[Block, ...]:
    """Return agreement per layer, then rasters and membranes of a few samples."""
    layers = model.record("fidelity").records("layers")
    readouts = {p.text("name") for p in model.records("populations") if p.text("kind") == "readout"}
    firing = tuple(layer for layer in layers if layer.text("population") not in readouts)
    blocks: list[Block] = [Heading(model.name), *_decisions(model)]
    if layers:
        blocks += [FigureGrid(_layer_figures(model.name, firing), LAYER_LEGEND)]
        blocks += [_layer_table(model.name, layers), *_silent_notes(firing)]
    else:
        blocks += [Note("This run recorded no agreement per layer for this model.")]
    return (*blocks, *sample_blocks(model))


def _decisions(model: Model) -> list[Block]:
    equal = model.record("fidelity").number("decisions_equal")
    n = model.record("clean_accuracy").number("n")
    if equal is None:
        return []
    of = f" of {count(n)}" if n is not None else ""
    return [Paragraph(f"Float and fixed point decide alike on {count(equal)}{of} clean samples.")]


def _silent_notes(firing: tuple[Record, ...]) -> list[Block]:
    """Name layers that never fire or fire at every step: nothing else about them matters then."""
    notes: list[Block] = []
    for layer in firing:
        name = layer.text("population")
        for side, key in (("float", "rate_float"), ("fixed-point", "rate_fixed")):
            rate = layer.number(key)
            if rate in (0.0, 1.0):
                what = "never fires" if rate == 0.0 else "fires at every step"
                notes.append(Note(f"Layer {name} of the {side} network {what}.", "warning"))
    return notes


def _layer_table(name: str, layers: tuple[Record, ...]) -> Table:
    columns: tuple[str, ...] = (
        "layer",
        "spikes that agree",
        "differing of compared",
        "first difference",
    )
    columns += ("rate, float", "rate, fixed", "mean membrane error")
    extras = tuple(
        dict.fromkeys(
            key
            for layer in layers
            for key, value in layer.data.items()
            if key not in _KNOWN and not isinstance(value, (dict, list))
        )
    )
    return Table(
        f"{name}: agreement per layer",
        (*columns, *(key.replace("_", " ") for key in extras)),
        tuple(_layer_row(layer, extras) for layer in layers),
        note="Rates in spikes per neuron and step; membrane error in units of the float membrane. "
        "Steps count from 1, samples and neurons from 0. A read-out fires no spikes.",
    )


def _layer_row(layer: Record, extras: tuple[str, ...]) -> tuple[Cell, ...]:
    wrong, compared = layer.number("mismatches"), layer.number("compared")
    shown = f"{count(wrong)} of {count(compared)}" if compared is not None else count(wrong)
    return (
        text_cell(layer.text("population")),
        number_cell(percent(layer.number("agreement")), layer.number("agreement")),
        number_cell(shown, wrong),
        text_cell(_first_difference(layer)),
        number_cell(plain(layer.number("rate_float")), layer.number("rate_float")),
        number_cell(plain(layer.number("rate_fixed")), layer.number("rate_fixed")),
        value_cell(layer.get("v_error")),
        *(value_cell(layer.get(key)) for key in extras),
    )


def _first_difference(layer: Record) -> str:
    first = layer.record("first_difference")
    if not first:
        return "none" if layer.number("agreement") == 1.0 else ""
    return ", ".join(
        f"{word} {anything(first.get(key))}"
        for key, word in (("t", "step"), ("sample", "sample"), ("neuron", "neuron"))
        if first.get(key) is not None
    )


def _layer_figures(name: str, layers: tuple[Record, ...]) -> tuple[Figure, ...]:
    layers = tuple(x for x in layers if x.number("agreement") is not None)
    names = [layer.text("population") for layer in layers]
    wrong = [_complement(layer.number("agreement")) for layer in layers]
    float_rates = [layer.number("rate_float") for layer in layers]
    fixed_rates = [layer.number("rate_fixed") for layer in layers]
    figures = []
    if any(value is not None for value in wrong):
        title = f"{name}: spikes that differ, per layer"
        shown = _bars(title, "differing spikes (%)", names, [("plain", wrong)], 100.0)
        cells = tuple(
            (text_cell(n), number_cell(percent(v), v)) for n, v in zip(names, wrong, strict=True)
        )
        figures.append(Figure(shown, title + ".", Table(title, ("layer", "share"), cells)))
    if any(value is not None for value in (*float_rates, *fixed_rates)):
        title = f"{name}: firing rate per layer"
        series = [("float", float_rates), ("fixed", fixed_rates)]
        shown = _bars(title, "rate (spikes per neuron and step)", names, series, 1.0)
        both = tuple(
            (text_cell(n), number_cell(plain(a), a), number_cell(plain(b), b))
            for n, a, b in zip(names, float_rates, fixed_rates, strict=True)
        )
        columns = ("layer", "float", "fixed")
        figures.append(Figure(shown, title + ".", Table(title, columns, both)))
    return tuple(figures)


def _complement(agreement: float | None) -> float | None:
    return None if agreement is None else 1.0 - agreement


def _bars(
    title: str,
    axis: str,
    names: list[str],
    series: list[tuple[str, list[float | None]]],
    factor: float,
) -> Markup:
    """Return one line per layer: its name, bars from zero and their values."""
    values = [factor * v for _, column in series for v in column if v is not None]
    step = 22.0 + 14.0 * len(series)
    bottom = 12.0 + step * len(names)
    high = 1.12 * max(values, default=0.0) or 1.0
    frame = Frame(Scale(0.0, high, 14.0, 300.0), Scale(0.0, 1.0, 10.0, bottom))
    labels = [(v, plain(v, 3)) for v in ticks(0.0, high, 5)]
    parts = [x_axis(frame, labels, axis, grid=True)]
    for row, layer in enumerate(names):
        y = 22.0 + step * row
        parts.append(text(frame.left, y, layer, "tick start strong"))
        for index, (css, column) in enumerate(series):
            value = column[row]
            if value is None:
                continue
            x, middle = frame.x(factor * value), y + 11 + 14 * index
            parts.append(
                rectangle(frame.left, middle - 4, max(x - frame.left, 0.5), 8, f"{css} fill")
            )
            parts.append(text(x + 6, middle + 4, plain(factor * value, 3), "tick start"))
    return drawing(bottom + 42, title, parts)
