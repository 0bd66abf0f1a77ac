"""Section: the chain of equalities from Norse to Lava, with what was compared at each link."""

from __future__ import annotations

from neurodeploy.report.content import (
    Block,
    Cell,
    Facts,
    Note,
    NoteKind,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.number_text import count, flat, percent, plain
from neurodeploy.report.run_folder import Model, Record, RunFolder

_MODES = {
    "official": "official lava-nc",
    "shim": "lava-nc through an import shim",
    "absent": "absent",
}


_KNOWN = {
    "norse_vs_float_mismatches",
    "norse_compared",
    "float32_flips",
    "export",
    "lava",
    "training",
}
_KNOWN |= {"layers", "decisions_equal"}


def lava_was_available(run: RunFolder) -> bool | None:
    """Return whether Lava was there; None if the run does not say."""
    lava = run.results.record("lava") or run.summary.record("lava")
    if lava.flag("available") is not None:
        return lava.flag("available")
    compared = [m.record("fidelity").record("lava") for m in run.models]
    return True if any(compared) else None


def lava_mode(run: RunFolder) -> str:
    """Return which Lava runtime was used, in words."""
    lava = run.results.record("lava") or run.summary.record("lava")
    mode, detail = lava.text("mode"), lava.text("detail")
    return ": ".join(part for part in (_MODES.get(mode, mode), detail) if part)


def lava_sentence(run: RunFolder, model: Model) -> tuple[str, NoteKind]:
    """Return whether Lava confirmed this model's integers: a sentence with Lava as its subject."""
    lava = model.record("fidelity").record("lava")
    if not lava or not lava.number("compared"):
        if lava_was_available(run) is False:
            return "was absent: these integers are not confirmed by Lava.", "warning"
        return "not compared: these integers are not confirmed.", "warning"
    samples, compared = count(lava.number("samples")), count(lava.number("compared"))
    wrong = lava.number("mismatches")
    if wrong is None:
        return "a comparison is recorded without its result.", "warning"
    if wrong:
        where = lava.text("first")
        first = f" First at {where}." if where else ""
        text = f"disagrees: {count(wrong)} of {compared} values differ on {samples} samples."
        return text + first, "bad"
    return (
        f"confirmed the integers: 0 of {compared} values (u, v, spikes of every layer) differ "
        f"on {samples} samples.",
        "good",
    )


def fidelity_blocks(run: RunFolder) -> tuple[Block, ...]:
    """Return the chain of every model in one table, then what needs a sentence."""
    rows = tuple(row for model in run.models for row in _chain(model))
    if not rows:
        return (Note("This run recorded no fidelity checks."),)
    columns = ("model", "one side", "other side", "what is compared", "samples", "compared")
    notes = []
    for model in run.models:
        sentence, level = lava_sentence(run, model)
        notes.append(Note(f"{model.name}: Lava {sentence}", level))
    return (
        Table("Fidelity chain", (*columns, "mismatches", "reading"), rows, stacked_on_phones=True),
        *notes,
        *_other_facts(run),
    )


def _chain(model: Model) -> tuple[tuple[Cell, ...], ...]:
    fidelity = model.record("fidelity")
    if not fidelity:
        return ()
    lava = fidelity.record("lava")
    return (
        _link(
            model.name,
            ("Norse, float64", "float simulator, float64", "spikes of every layer"),
            fidelity,
            "norse_vs_float_mismatches",
            "0 expected; the export is refused otherwise",
        ),
        _link(
            model.name,
            ("float simulator, float32", "float simulator, float64", "spikes"),
            fidelity,
            "float32_flips",
            _float32_reading(fidelity),
        ),
        (
            text_cell(model.name),
            text_cell("fixed-point simulator"),
            text_cell("Lava, fixed_pt"),
            text_cell("u, v and spikes of every layer"),
            number_cell(count(lava.number("samples")), lava.number("samples")),
            number_cell(count(lava.number("compared")), lava.number("compared")),
            number_cell(count(lava.number("mismatches")), lava.number("mismatches")),
            text_cell("0 expected" if lava else "not compared"),
        ),
    )


def _link(
    name: str, words: tuple[str, str, str], fidelity: Record, key: str, reading: str
) -> tuple[Cell, ...]:
    """Return one link that the exporter checked; older writers leave out what was compared."""
    value, export = fidelity.number(key), fidelity.record("export")
    compared = fidelity.number("norse_compared")
    compared = export.number("compared") if compared is None else compared
    samples = export.number("samples")
    return (
        text_cell(name),
        *(text_cell(word) for word in words),
        number_cell(count(samples), samples),
        number_cell(count(compared), compared),
        number_cell(count(value), value),
        text_cell(reading if value is not None else "not measured"),
    )


def _float32_reading(fidelity: Record) -> str:
    margin = fidelity.record("export").number("first_flip_margin")
    text = "counted, no failure: rounding at the threshold"
    if not fidelity.number("float32_flips") or margin is None:
        return text
    return f"{text}; at first flips |v - threshold| is at most {plain(margin)} thresholds"


def _other_facts(run: RunFolder) -> list[Block]:
    """Return what else is recorded: what a reader of the NIR file without gains would lose, ..."""
    pairs: list[tuple[str, str]] = []
    for model in run.models:
        fidelity = model.record("fidelity")
        error = fidelity.record("export").record("mean_gain_error")
        for layer in error.data:
            what = f"{model.name}: spikes of {layer} wrong in a tool that ignores dlif_gain"
            pairs.append((what, percent(error.number(layer))))
        for key, value in fidelity.data.items():
            if key not in _KNOWN and value is not None:
                pairs += [(f"{model.name}: {k}".replace("_", " "), v) for k, v in flat(key, value)]
    return [Facts(tuple(pairs))] if pairs else []
