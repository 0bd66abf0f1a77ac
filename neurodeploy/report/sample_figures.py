"""Rasters and membranes of a few samples, float against fixed, with their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError
from neurodeploy.report.content import (
    Block,
    Cell,
    Figure,
    FigureGrid,
    Folded,
    Note,
    Paragraph,
    Table,
    csv_text,
    number_cell,
)
from neurodeploy.report.number_text import plain
from neurodeploy.report.rasters import (
    MOST_NEURONS,
    MOST_STEPS,
    image_drawing,
    membrane_drawing,
    raster_drawing,
)
from neurodeploy.report.run_folder import FIGURES, Model

#: Samples with rasters and neurons with membranes, per model.
MOST_SAMPLES, MOST_MEMBRANES = 2, 2
#: Differing spikes listed in the data table of a raster.
MOST_ROWS = 60
SPIKE_LEGEND = (
    ("both", "spike in both"),
    ("float-only", "float only"),
    ("fixed-only", "fixed only"),
)
MEMBRANE_LEGEND = (("float", "float"), ("fixed", "fixed point"), ("threshold", "threshold"))
Arrays = Mapping[str, NDArray[Any]]


def sample_blocks(model: Model) -> tuple[Block, ...]:
    """Return image, rasters and membranes of a few samples, or a note why there are none."""
    if model.figures is None:
        return (Note(f"Rasters and membranes are missing: this run wrote no {FIGURES}."),)
    firing, recorded = _populations(model, "spikes"), _populations(model, "v")
    if not firing:
        return (Note(f"{FIGURES} holds no spikes of this model: no rasters."),)
    first, *others = (
        _one_sample(model, firing, recorded, index)
        for index in _worth_showing(model.figures, firing)
    )
    return (*first[1], *(Folded(summary, blocks) for summary, blocks in others))


def _populations(model: Model, quantity: str) -> tuple[str, ...]:
    """Return the populations with ``quantity`` of both runs, in the order of the results."""
    arrays = model.figures or {}
    end = f"/float_{quantity}"
    found = [key.removesuffix(end) for key in arrays if key.endswith(end)]
    order = [p.text("name") for p in model.records("populations")]
    found.sort(key=lambda p: order.index(p) if p in order else len(order))
    for name in found:
        a, b = (_array(model, f"{name}/{side}_{quantity}", 3) for side in ("float", "fixed"))
        if a.shape != b.shape:
            raise FileFormatError(
                f"{FIGURES}: {model.name}/{name}: {quantity} of float {a.shape} and fixed {b.shape}"
            )
    return tuple(found)


def _array(model: Model, key: str, axes: int) -> NDArray[Any]:
    array = (model.figures or {}).get(key)
    if array is None or array.ndim != axes:
        found = "is missing" if array is None else f"has shape {array.shape}"
        raise FileFormatError(f"{FIGURES}: {model.name}/{key} {found}; expected {axes} axes")
    return array


def _worth_showing(arrays: Arrays, populations: tuple[str, ...]) -> tuple[int, ...]:
    """Return the samples to draw: those whose decision changed, then most differing spikes."""
    first = arrays[f"{populations[0]}/float_spikes"]
    differing = np.zeros(first.shape[1])
    for name in populations:
        a, b = arrays[f"{name}/float_spikes"], arrays[f"{name}/fixed_spikes"]
        if a.shape[1] == differing.size:
            differing = differing + ((a != 0) != (b != 0)).sum(axis=(0, 2))
    flipped = np.zeros(differing.size)
    a_decision, b_decision = arrays.get("float_decision"), arrays.get("fixed_decision")
    if a_decision is not None and b_decision is not None and a_decision.shape == flipped.shape:
        flipped = np.asarray(a_decision != b_decision, dtype=np.float64)
    order = np.lexsort((np.arange(differing.size), -differing, -flipped))
    return tuple(int(i) for i in order[:MOST_SAMPLES])


def _one_sample(
    model: Model, firing: tuple[str, ...], recorded: tuple[str, ...], index: int
) -> tuple[str, tuple[Block, ...]]:
    """Return a sentence about the sample, and its blocks."""
    arrays = model.figures or {}
    sample = _entry(arrays, "samples", index)
    sample = index if sample is None else sample
    named = f"{model.name}, sample {sample}"
    figures: list[Figure] = []
    image = arrays.get("images")
    if image is not None and index < image.shape[0]:
        flat = np.asarray(image[index], dtype=np.float64).reshape(-1)
        shown = image_drawing(flat, f"{named}: input image")
        if shown is not None:
            figures.append(Figure(shown, f"Input of sample {sample}.", _image_table(named, flat)))
    figures += [_raster_figure(model, named, name, index) for name in firing]
    membranes = [f for name in recorded for f in _membrane_figures(model, named, name, index)]
    words = _decisions(arrays, index, sample)
    blocks: list[Block] = [Paragraph(words), FigureGrid(tuple(figures), SPIKE_LEGEND)]
    if membranes:
        blocks.append(FigureGrid(tuple(membranes), MEMBRANE_LEGEND))
    return words, tuple(blocks)


def _decisions(arrays: Arrays, index: int, sample: int) -> str:
    facts = []
    for key, word in (
        ("labels", "label"),
        ("float_decision", "float decides"),
        ("fixed_decision", "fixed decides"),
    ):
        value = _entry(arrays, key, index)
        if value is not None:
            facts.append(f"{word} {'nothing (a tie)' if value < 0 else value}")
    return f"Sample {sample}{': ' if facts else ''}{', '.join(facts)}."


def _entry(arrays: Arrays, key: str, index: int) -> int | None:
    values = arrays.get(key)
    known = values is not None and values.ndim == 1 and index < values.size
    return int(values[index]) if known and values is not None else None


def _image_table(named: str, image: NDArray[np.float64]) -> Table:
    side = round(image.size**0.5)
    rows = tuple(
        tuple(number_cell(plain(float(v), 3), float(v)) for v in row)
        for row in image.reshape(side, side)
    )
    return Table(f"{named}: input image", tuple(f"column {i}" for i in range(side)), rows)


def _raster_figure(model: Model, named: str, name: str, index: int) -> Figure:
    a = _array(model, f"{name}/float_spikes", 3)[:, index] != 0
    b = _array(model, f"{name}/fixed_spikes", 3)[:, index] != 0
    steps, neurons = a.shape
    title = f"{named}: spikes of {name}"
    differing = np.argwhere(a != b)
    caption = f"Spikes of {name}: {differing.shape[0]} of {a.size} entries differ."
    if neurons > MOST_NEURONS or steps > MOST_STEPS:
        caption += f" Drawn: the first {min(neurons, MOST_NEURONS)} of {neurons} neurons"
        caption += f" and {min(steps, MOST_STEPS)} of {steps} steps."
    every = [
        [Cell("", int(v)) for v in (t + 1, n, a[t, n], b[t, n])]
        for t, n in np.argwhere(a | b).tolist()
    ]
    columns = ("step", "neuron", "float", "fixed")
    rows = tuple(
        tuple(number_cell(str(int(v)), int(v)) for v in (t + 1, n, a[t, n], b[t, n]))
        for t, n in differing[:MOST_ROWS].tolist()
    )
    note = f"Listed: differing spikes (at most {MOST_ROWS}). The CSV file holds every spike."
    table = Table(title, columns, rows, note, csv_text(columns, every))
    return Figure(raster_drawing(a, b, title, name), caption, table)


def _membrane_figures(model: Model, named: str, name: str, index: int) -> list[Figure]:
    arrays = model.figures or {}
    float_v, fixed_v = (_array(model, f"{name}/{k}_v", 3)[:, index] for k in ("float", "fixed"))
    neurons = arrays.get(f"{name}/neurons", np.arange(float_v.shape[1])).reshape(-1)
    thresholds = arrays.get(f"{name}/v_threshold", np.full(float_v.shape[1], np.nan)).reshape(-1)
    spikes = [arrays.get(f"{name}/{side}_spikes") for side in ("float", "fixed")]
    figures = []
    for k in range(min(MOST_MEMBRANES, float_v.shape[1], neurons.size)):
        neuron = int(neurons[k])
        limit = float(thresholds[k]) if k < thresholds.size and np.isfinite(thresholds[k]) else None
        fired = [s[:, index, neuron] for s in spikes if s is not None and neuron < s.shape[2]]
        figures.append(
            _membrane_figure(named, name, neuron, (float_v[:, k], fixed_v[:, k]), limit, fired)
        )
    return figures


def _membrane_figure(
    named: str,
    name: str,
    neuron: int,
    membranes: tuple[NDArray[np.float64], NDArray[np.float64]],
    limit: float | None,
    fired: list[NDArray[Any]],
) -> Figure:
    title = f"{named}: membrane of {name} neuron {neuron}"
    shown = membrane_drawing(membranes, limit, fired, title, f"{name}, neuron {neuron}")
    rows = tuple(
        (number_cell(str(t + 1), t + 1), number_cell(plain(a), a), number_cell(plain(b), b))
        for t, (a, b) in enumerate(zip(*(v.tolist() for v in membranes), strict=True))
    )
    caption = f"Membrane of {name}, neuron {neuron}, after each step, in float units"
    caption += "." if limit is None else f"; threshold {plain(limit)}."
    if fired:
        caption += " Triangles: spikes."
    return Figure(shown, caption, Table(title, ("step", "float", "fixed"), rows))
