"""Section: accuracy against radius, float and fixed, with bands, null line and verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from neurodeploy.report.accuracy_chart import DropRange, accuracy_drawing
from neurodeploy.report.content import (
    Block,
    Cell,
    Facts,
    Figure,
    FigureGrid,
    Heading,
    Note,
    Paragraph,
    Table,
    number_cell,
    text_cell,
    verdict_cell,
)
from neurodeploy.report.number_text import (
    count,
    percent,
    percent_interval,
    plain,
    points,
    points_interval,
)
from neurodeploy.report.robustness_row import (
    RobustnessRow,
    by_perturbation,
    perturbation_name,
    robustness_rows,
)
from neurodeploy.report.run_folder import Model, RunFolder

DEFINITIONS = (
    (
        "robust accuracy",
        "Share of images that a network gets right as they are and at every point tried; for "
        "noise, on all draws. An upper bound: a better attack may find more.",
    ),
    ("lost", "Share of images that the float network gets right and the fixed one gets wrong."),
    ("gained", "Share of images that the fixed network gets right and the float one gets wrong."),
    ("drop", "Lost minus gained, in percentage points. A small drop can hide much churn."),
    ("retention", "Share of the images robust in float that stay robust in fixed point."),
    (
        "null",
        "The attack on the float network against the same attack with another seed: what luck "
        "does. For noise, two sets of draws: it tells about the accuracy, not about the drop. An "
        "attack without randomness (FGSM) has none.",
    ),
    ("✓ survives", "The one-sided 95 % upper limit of the drop is at most the tolerance."),
    ("✗ lost", "The drop is above the tolerance, corrected for the number of strengths (Holm)."),
    ("? undecided", "Neither is shown. “n needed” images would give an even chance to decide."),
    (
        "○ uninformative",
        "Float accuracy at this radius is so high or low that agreement is no news.",
    ),
    (
        "95 % bands",
        "They cover the choice of test images; not the training seed, and not what a better "
        "attack would find.",
    ),
)
LEGEND = (
    ("float", "float, with 95 % band"),
    ("fixed", "fixed point, with 95 % band"),
    ("null", "null line (float against float), with 95 % band"),
    ("tolerance", "tolerance"),
    ("", "signs above the drop: ✓ survives, ✗ lost, ? undecided, ○ uninformative"),
)


def accuracy_blocks(run: RunFolder, model: Model) -> tuple[Block, ...]:
    """Return the figures and the table of one model."""
    rows = robustness_rows(model)
    if not rows:
        return (Heading(model.name), Note("This run measured no robustness for this model."))
    points_allowed = run.results.number("tolerance_points")
    tolerance = None if points_allowed is None else points_allowed / 100
    drops = DropRange.of(rows, tolerance)
    groups = by_perturbation(rows)
    figures = []
    for key, group in groups.items():
        name = perturbation_name(key)
        title = f"{model.name}: accuracy and drop under {name}"
        shown = accuracy_drawing(title, name, group, drops, tolerance)
        figures.append(
            Figure(shown, f"{title}, against {group[0].strength}.", _figure_table(title, group))
        )
    ordered = tuple(row for group in groups.values() for row in group)
    words = model.text("verdict_text")
    return (
        Heading(model.name, model.text("verdict")),
        *((Paragraph(words),) if words else ()),
        *_upper_bound_note(model),
        FigureGrid(tuple(figures), LEGEND),
        _row_table(model.name, ordered),
        *_member_blocks(model.name, ordered),
    )


def _upper_bound_note(model: Model) -> tuple[Block, ...]:
    """Say how much a stronger attack still found, where the run has tried one."""
    found = {
        f"{perturbation_name(line.text('perturbation'))} at {plain(line.number('radius_codes'))} "
        f"codes, {line.text('detail')}"
        for row in model.records("robustness")
        for line in row.records("sanity")
        if line.text("line") == "a stronger attack finds little more"
    }
    if not found:
        return ()
    return (
        Note(f"Robust accuracies are upper bounds. A stronger attack: {'; '.join(sorted(found))}."),
    )


def definitions() -> Facts:
    """Return the words of this section, in plain English."""
    return Facts(DEFINITIONS)


def _figure_table(title: str, rows: Sequence[RobustnessRow]) -> Table:
    columns: tuple[str, ...] = (f"{rows[0].strength} (codes)", "float")
    columns += ("float 95 % low", "float 95 % high")
    columns += ("fixed", "fixed 95 % low", "fixed 95 % high", "drop (points)")
    columns += ("drop 95 % low", "drop 95 % high", "null drop (points)", "verdict", "n")
    return Table(title, columns, tuple(_figure_row(row) for row in rows))


def _figure_row(row: RobustnessRow) -> tuple[Cell, ...]:
    null = row.null.number("drop")
    return (
        number_cell(plain(row.radius_codes), row.radius_codes),
        number_cell(percent(row.float_accuracy), row.float_accuracy),
        *(number_cell(percent(end), end) for end in row.float_ci95 or (None, None)),
        number_cell(percent(row.fixed_accuracy), row.fixed_accuracy),
        *(number_cell(percent(end), end) for end in row.fixed_ci95 or (None, None)),
        number_cell(points(row.drop), row.drop),
        *(number_cell(points(end), end) for end in row.drop_ci95 or (None, None)),
        number_cell(points(null), null),
        verdict_cell(row.verdict),
        number_cell(count(row.n), row.n),
    )


def _row_table(name: str, rows: Sequence[RobustnessRow]) -> Table:
    columns: tuple[str, ...] = ("perturbation", "radius (codes)", "float", "fixed")
    columns += ("lost", "gained")
    columns += ("drop (points)", "retention", "null drop", "verdict", "n needed", "n")
    return Table(
        f"{name}: every perturbation and radius",
        columns,
        tuple(_table_row(row) for row in rows),
        note="Small numbers below a value: its 95 % interval; below the null drop (points): lost "
        "and gained (%).",
    )


def _table_row(row: RobustnessRow) -> tuple[Cell, ...]:
    return (
        text_cell(row.name),
        number_cell(plain(row.radius_codes), row.radius_codes),
        _share_cell(row.float_accuracy, row.float_ci95),
        _share_cell(row.fixed_accuracy, row.fixed_ci95),
        _share_cell(row.lost, row.lost_ci95),
        _share_cell(row.gained, row.gained_ci95),
        number_cell(
            points(row.drop), row.drop, note=points_interval(row.drop_ci95) if row.drop_ci95 else ""
        ),
        _share_cell(row.retention, row.retention_ci95),
        _null_cell(row),
        verdict_cell(row.verdict, note="attack too weak" if row.attack_too_weak else ""),
        number_cell(count(row.needed_n), row.needed_n),
        number_cell(count(row.n), row.n),
    )


def _share_cell(share: float | None, interval: tuple[float, float] | None) -> Cell:
    known = share is not None and interval is not None
    return number_cell(percent(share), share, note=percent_interval(interval) if known else "")


def _null_cell(row: RobustnessRow) -> Cell:
    drop, lost, gained = (row.null.number(key) for key in ("drop", "lost", "gained"))
    both = lost is not None and gained is not None
    note = f"{points(lost)}, {points(gained)}" if both else ""
    return number_cell(points(drop), drop, note=note)


def _member_blocks(name: str, rows: Sequence[RobustnessRow]) -> tuple[Block, ...]:
    """Return what each adversary reached alone: transfer, and whether one carried the pool."""
    cells = tuple(
        (
            text_cell(row.name),
            number_cell(plain(row.radius_codes), row.radius_codes),
            text_cell(member.text("name")),
            text_cell(member.text("attacked", "neither")),
            number_cell(percent(member.number("float")), member.number("float")),
            number_cell(percent(member.number("fixed")), member.number("fixed")),
            number_cell(
                percent(member.number("zero_gradient_share")), member.number("zero_gradient_share")
            ),
        )
        for row in rows
        for member in row.members
    )
    if not cells:
        return ()
    columns = ("perturbation", "radius (codes)", "member", "attacks", "float", "fixed")
    note = "Accuracy of each network on the points of this member alone; the rows above pool them."
    caption = f"{name}: every attack member alone"
    return (Table(caption, (*columns, "zero gradients"), cells, note, folded=True),)
