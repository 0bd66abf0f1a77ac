"""One page about one sample: which layer, neuron, step and rounding changed its decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from neurodeploy.files import write_text
from neurodeploy.report.content import (
    Block,
    Figure,
    FigureGrid,
    Note,
    Paragraph,
    Section,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.number_text import plain
from neurodeploy.report.page import page_html
from neurodeploy.report.rasters import membrane_drawing
from neurodeploy.report.svg import (
    PANEL_WIDTH,
    Frame,
    Scale,
    drawing,
    line,
    rectangle,
    text,
    ticks,
    x_axis,
)

#: Roundings as readers know them.
ROUNDINGS = {
    "input": "spikes of its own loop, which differ already",
    "delay": "feedback that the chip slows",
    "weights": "weights",
    "start": "start value",
    "bias": "bias",
    "decay_u": "decay of the current",
    "decay_v": "decay of the membrane",
    "gain": "gain",
    "threshold": "threshold",
    "floors": "truncation, floors and clips in the run",
}
Document = Mapping[str, Any]
_LEGEND = (("float", "float"), ("fixed", "integers"), ("threshold", "threshold"))


def write_explanation(document: Document, out: str | Path) -> None:
    """Write the page about ``document`` (what ``explain --json`` prints), whole or not at all.

    Parameters
    ----------
    document : mapping
        JSON types: the explanation, with ``model``, ``sample`` and ``input``.
    out : path
        The HTML file.
    """
    sections = [Section("Layer by layer", "layers", _layer_blocks(document))]
    if "culprit" in document:
        sections.insert(0, Section("The neuron", "neuron", _neuron_blocks(document)))
    sections.append(Section("Scores", "scores", _score_blocks(document)))
    page = page_html(
        f"Sample {document['sample']} of {document['input']}",
        f"model {document['model']}{_attack(document)}",
        Section("Why", "why", (Paragraph(sentence(document)),)),
        tuple(sections),
    )
    write_text(out, page)


def sentence(document: Document) -> str:
    """Return the answer in words."""
    a, b = (_class(document[f"decision_{side}"]) for side in ("float", "fixed"))
    culprit = document.get("culprit")
    label = document.get("label")
    truth = "" if label is None else f" (the label is {label})"
    if not document["flipped"]:
        start = f"Both networks decide {a}{truth}: the decision did not turn."
        if culprit is None:
            return f"{start} Every spike of the integers is that of the float network."
        return (
            f"{start} The first spike that differs is of {_where(culprit)}: it {_fires(culprit)}. "
            f"{_how(culprit)}"
        )
    start = f"The float network decides {a}, the integers {b}{truth}."
    if culprit is None:
        return start
    if document["kind"] == "readout":
        return (
            f"{start} No spike is to blame: with all spikes as in float the integers still decide "
            f"otherwise. The read-out's own sums do it, most of all class {culprit['neuron']}, "
            f"read by {_reading(document)}. {_how(culprit, 'score')} {_enough(culprit, 'classes')}"
        )
    return (
        f"{start} It turns at {_where(culprit)}: it {_fires(culprit)}. {_how(culprit)} "
        f"{_enough(culprit, 'neurons')}"
    )


def _attack(document: Document) -> str:
    if not document.get("attack"):
        return ""
    return (
        f", at the point that {document['attack']} found within {document['radius_codes']} codes "
        f"(seed {document['seed']})"
    )


def _class(decision: int) -> str:
    return "nothing (a tie)" if decision == -1 else f"class {decision}"


def _where(culprit: Document) -> str:
    return f"{culprit['population']}, neuron {culprit['neuron']}, step {culprit['step'] + 1}"


def _fires(culprit: Document) -> str:
    side = {"float": "fires in float and not in integers"}
    return side.get(culprit["fires_in"], "fires in integers and not in float")


def _enough(culprit: Document, many: str) -> str:
    if culprit["alone"]:
        one = "neuron" if many == "neurons" else "class"
        return f"Setting this {one} right brings the decision back."
    if many == "classes":
        return (
            f"The decision comes back once {culprit['together']} classes are set right, those that "
            "moved most."
        )
    return (
        f"The decision comes back once {culprit['together']} neurons of {culprit['population']} "
        "are set right, those that part first."
    )


def _reading(document: Document) -> str:
    """Say what the read-out takes, counting steps from 1."""
    readout, culprit = document["readout"], document["culprit"]
    steps = len(culprit["trace"]["membrane_float"])
    start, stop = readout.get("window") or (0, steps)
    step, kind = culprit["step"] + 1, readout["kind"]
    if kind == "last_v":
        return f"its membrane after step {step}"
    within = "" if (start, stop) == (0, steps) else f" in steps {start + 1} to {stop}"
    if kind == "max_v":
        if step == culprit["step_float"] + 1:
            return f"its highest membrane{within}, at step {step}"
        return (
            f"its highest membrane{within}, at step {culprit['step_float'] + 1} in float and "
            f"{step} in integers"
        )
    name = "mean membrane" if kind == "mean_v" else "sum"
    return f"its {name}{within}, most at step {step}"


def _how(culprit: Document, what: str = "margin") -> str:
    rung = culprit["rounding"]
    moved = culprit["contributions"][rung]
    total = culprit["margin_fixed"] - culprit["margin_float"]
    return (
        f"Its {what} goes from {culprit['margin_float']:.4g} to {culprit['margin_fixed']:.4g} "
        f"({total:+.4g} membrane units); the largest part, {moved:+.4g}, is from: "
        f"{ROUNDINGS[rung]}."
    )


def _neuron_blocks(document: Document) -> tuple[Block, ...]:
    culprit = document["culprit"]
    trace = culprit["trace"]
    membranes = (_floats(trace["membrane_float"]), _floats(trace["membrane_fixed"]))
    fired = (np.asarray(trace["spikes_float"]), np.asarray(trace["spikes_fixed"]))
    name = f"{culprit['population']}, neuron {culprit['neuron']}"
    scored = document["kind"] == "readout"
    after = "after" if scored else "before"
    moved = (
        f"What moved the score of class {culprit['neuron']}"
        if scored
        else f"What moved the margin at step {culprit['step'] + 1}"
    )
    picture = membrane_drawing(
        membranes,
        trace["threshold"],
        () if scored and not any(f.any() for f in fired) else fired,
        f"Membrane of {name} in float and in integers",
        name,
    )
    steps = Table(
        f"Membrane of {name}, {after} each reset",
        ("step", "float", "integers"),
        tuple(
            (number_cell(str(t + 1), t + 1), _cell(a), _cell(b))
            for t, (a, b) in enumerate(zip(*membranes, strict=True))
        ),
    )
    rows = [(r, float(v)) for r, v in culprit["contributions"].items() if v]
    parts = Table(
        moved,
        ("rounding", "membrane units"),
        tuple((text_cell(ROUNDINGS[r]), _cell(v)) for r, v in rows),
    )
    bars = _bars(rows, moved)
    figures = (
        Figure(
            picture, f"Membrane of {name} {after} each reset, on the float network's spikes.", steps
        ),
        Figure(bars, "Each parameter replaced in turn by its integer; the bars add up.", parts),
    )
    legend = _LEGEND if trace["threshold"] is not None else _LEGEND[:2]
    blocks: list[Block] = [FigureGrid(figures, legend)]
    if not document["flipped"]:
        blocks.append(Note("The decision did not turn: this is the first spike that differs."))
    return tuple(blocks)


def _bars(rows: list[tuple[str, float]], title: str) -> Markup:
    values = [value for _, value in rows] or [0.0]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.08 * (high - low) or 1.0
    bottom = 38.0 + 30.0 * max(len(rows), 1)
    frame = Frame(Scale(low - room, high + room, 14.0, PANEL_WIDTH - 14), Scale(0, 1, bottom, 24.0))
    marks = [(v, plain(v, 3)) for v in ticks(frame.x.low, frame.x.high, 5)]
    parts = [
        text(frame.left, 14, title, "panel start"),
        x_axis(frame, marks, "membrane units", grid=False),
    ]
    zero = frame.x(0.0)
    for index, (rung, value) in enumerate(rows):
        y = 28.0 + 30.0 * index
        tip = f"{ROUNDINGS[rung]}: {value:+.5g}"
        left, right = sorted((zero, frame.x(value)))
        parts.append(text(frame.left, y + 8, f"{ROUNDINGS[rung]} {value:+.3g}", "tick start"))
        # A line through all rows would cross the words.
        parts.append(line(zero, y + 10.5, zero, y + 22.5, "axis"))
        parts.append(rectangle(left, y + 12, max(right - left, 0.8), 9.0, "fixed fill", tip))
    return drawing(bottom + 42, title, parts)


def _layer_blocks(document: Document) -> tuple[Block, ...]:
    rows = tuple(
        (
            text_cell(stage["population"]),
            number_cell(str(stage["differing"]), stage["differing"]),
            number_cell(str(stage["spread"]), stage["spread"]),
            number_cell(str(stage["entries"]), stage["entries"]),
            text_cell(_class(stage["decision"])),
        )
        for stage in document["stages"]
    )
    note = (
        "Own: entries that differ when the populations before it send the float network's spikes. "
        "In all: entries that differ between the two whole runs. Last column: what the integers "
        "decide if all populations up to this one send the float network's spikes."
    )
    columns = ("population", "differ: own", "in all", "of", "decision if float up to here")
    return (Table("Spikes that differ", columns, rows, note),)


def _score_blocks(document: Document) -> tuple[Block, ...]:
    pairs = zip(document["scores_float"], document["scores_fixed"], strict=True)
    rows = tuple((number_cell(str(c), c), _cell(a), _cell(b)) for c, (a, b) in enumerate(pairs))
    return (Table("Read-out of each class", ("class", "float", "integers"), rows),)


def _cell(value: float) -> Any:
    return number_cell(f"{value:.4g}", float(value))


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)
