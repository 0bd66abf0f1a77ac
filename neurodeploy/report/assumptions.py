"""Section: what was assumed, which sanity lines hold, and what the stages noticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurodeploy.report.content import (
    Block,
    Bullets,
    Cell,
    Facts,
    Heading,
    Note,
    Table,
    text_cell,
)
from neurodeploy.report.fidelity import lava_mode
from neurodeploy.report.number_text import anything, count, percent, plain
from neurodeploy.report.robustness_row import robustness_rows
from neurodeploy.report.run_folder import Model, Record, RunFolder

_THREAT_WORDS = {
    "radii_codes": "radii (input codes)",
    "max_code": "largest code",
    "clip": "codes are clipped to",
    "stage": "where the adversary acts",
}
_SEVERITIES = ("error", "warning", "info")
_MARKS = {"error": "✗ error", "warning": "! warning", "info": "i info"}


def assumption_blocks(run: RunFolder) -> tuple[Block, ...]:
    """Return what the whole run assumed."""
    blocks: list[Block] = []
    stated = [anything(item) for item in run.results.items("assumptions")]
    if stated:
        blocks += [Heading("Stated assumptions"), Bullets(tuple(stated))]
    blocks += [Heading("Threat model and evidence"), _threat_facts(run)]
    blocks += [Heading("Data and profile"), _data_facts(run)]
    return (*blocks, *_contracts(run))


def sanity_blocks(model: Model) -> tuple[Block, ...]:
    """Return the sanity lines and the findings of one model."""
    lines = model.records("sanity")
    blocks: list[Block] = [Heading(model.name)]
    if lines:
        rows = tuple(
            (text_cell(line.text("line")), _holds(line.flag("ok")), text_cell(line.text("detail")))
            for line in lines
        )
        columns = ("sanity line", "holds", "detail")
        blocks.append(Table(f"{model.name}: sanity lines", columns, rows, stacked_on_phones=True))
    else:
        blocks.append(Note("This run printed no sanity lines for this model."))
    return (*blocks, _findings(model.name, model.records("findings")))


def _threat_facts(run: RunFolder) -> Facts:
    threat = run.results.record("threat_model")
    tolerance = run.results.number("tolerance_points")
    pairs = []
    if tolerance is not None:
        pairs.append(("tolerance", f"{plain(tolerance)} points of accuracy"))
    pairs += [
        (_THREAT_WORDS.get(key, key.replace("_", " ")), _threat_value(key, value))
        for key, value in threat.data.items()
    ]
    return Facts((*pairs, *_members(run)) or (("threat model", "not recorded"),))


def _threat_value(key: str, value: Any) -> str:
    if key == "clip" and isinstance(value, list) and len(value) == 2:
        return f"{anything(value[0])} to {anything(value[1])}"
    return "l-infinity" if key == "norm" and value == "linf" else anything(value)


def _members(run: RunFolder) -> list[tuple[str, str]]:
    """Return the members of each perturbation's pool, by name."""
    found: dict[str, dict[str, None]] = {}
    for model in run.models:
        for row in robustness_rows(model):
            names = found.setdefault(row.name, {})
            names.update(dict.fromkeys(member.text("name") for member in row.members))
    return [(f"members of {name}", ", ".join(m)) for name, m in found.items() if m]


def _data_facts(run: RunFolder) -> Facts:
    data, profile = run.results.record("data"), run.results.record("profile")
    pairs = [("data", data.text("name") or "not recorded")]
    pairs += [
        (f"{word} samples", count(data.number(key)))
        for key, word in (
            ("n_train", "training"),
            ("n_calibration", "calibration"),
            ("n_test", "evaluation"),
        )
        if data.number(key) is not None
    ]
    known = ("name", "n_train", "n_calibration", "n_test")
    pairs += _rest(data, known)
    status = profile.text("status")
    named = profile.text("name") or "not recorded"
    pairs.append(("hardware profile", f"{named}, status “{status}”" if status else named))
    pairs += [(f"profile {k}", v) for k, v in _rest(profile, ("name", "status"))]
    pairs.append(("Lava runtime", lava_mode(run) or "not recorded"))
    return Facts((*pairs, *_training(run)))


def _training(run: RunFolder) -> list[tuple[str, str]]:
    """Return what the float networks reached in training, where this run trained them."""
    pairs = []
    for model in run.models:
        training = model.record("fidelity").record("training")
        accuracies = training.record("accuracies")
        parts = [f"{percent(accuracies.number(key))} {key}" for key in accuracies.data]
        epoch = training.number("selected_epoch")
        if parts:
            text = f"accuracy {', '.join(parts)}"
            text += f"; weights of epoch {count(epoch)}" if epoch is not None else ""
            pairs.append((f"{model.name}: training", text))
    return pairs


def _rest(record: Record, known: Iterable[str]) -> list[tuple[str, str]]:
    return [
        (key.replace("_", " "), anything(value))
        for key, value in record.data.items()
        if key not in known and value is not None
    ]


def _contracts(run: RunFolder) -> list[Block]:
    """Return one contract for all models where they agree, else one per model."""
    contracts = [(m.name, m.record("contract")) for m in run.models if m.record("contract")]
    if not contracts:
        return [Heading("Execution contract"), Note("This run recorded no execution contract.")]
    first = dict(contracts[0][1].data)
    if len(contracts) == len(run.models) and all(dict(c.data) == first for _, c in contracts):
        contracts = [("all models", contracts[0][1])]
    return [
        block
        for name, contract in contracts
        for block in (
            Heading(f"Execution contract: {name}"),
            Facts(tuple((k.replace("_", "-"), anything(v)) for k, v in contract.data.items())),
        )
    ]


def _holds(ok: bool | None) -> Cell:
    if ok is None:
        return text_cell("")
    return Cell("✓ holds" if ok else "✗ fails", ok, css=f"verdict {'survives' if ok else 'lost'}")


def _findings(name: str, findings: tuple[Record, ...]) -> Block:
    if not findings:
        return Note("No findings are recorded for this model.")
    order = {severity: rank for rank, severity in enumerate(_SEVERITIES)}
    ranked = sorted(findings, key=lambda f: order.get(f.text("severity"), len(order)))
    rows = tuple(
        (
            Cell(
                _MARKS.get(f.text("severity"), f.text("severity")),
                f.text("severity"),
                css=f"severity {f.text('severity')}" if f.text("severity") in _MARKS else "",
            ),
            text_cell(f.text("where")),
            text_cell(f.text("what")),
            text_cell(f.text("remedy")),
        )
        for f in ranked
    )
    columns = ("severity", "where", "what", "remedy")
    return Table(f"{name}: findings by severity", columns, rows, stacked_on_phones=True)
