"""Put the sections together and write the page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from neurodeploy.errors import InputError
from neurodeploy.files import write_text
from neurodeploy.report.accuracy import accuracy_blocks, definitions
from neurodeploy.report.assumptions import assumption_blocks, sanity_blocks
from neurodeploy.report.content import Block, Paragraph, Section
from neurodeploy.report.energy import energy_blocks
from neurodeploy.report.fidelity import fidelity_blocks
from neurodeploy.report.integers import integer_blocks
from neurodeploy.report.quantisation import quantisation_blocks
from neurodeploy.report.reproduction import reproduction_blocks
from neurodeploy.report.run_folder import RunFolder, read_run
from neurodeploy.report.verdict import verdict_blocks


@dataclass(frozen=True, slots=True)
class RunPart:
    """The sections of one run."""

    title: str
    anchor: str
    sections: tuple[Section, ...]


def write_report(directories: Sequence[str | Path], out: str | Path) -> None:
    """Write one self-contained HTML page about one or several runs.

    The page loads nothing: style, drawings, data tables and CSV downloads are inside it, and its
    content security policy forbids any request. Equal input gives equal bytes.

    Parameters
    ----------
    directories : sequence of path
        Folders of runs, each with ``summary.json`` and, where the run got so far,
        ``results.json`` and ``figures.npz``. Several are put side by side.
    out : path
        The HTML file. It is written whole or not at all.

    Raises
    ------
    InputError
        If no folder is given, or one is absent or holds no ``summary.json``.
    FileFormatError
        If a file is damaged, of another schema, or holds a value of the wrong type.
    """
    folders = [Path(directory) for directory in directories]
    if not folders:
        raise InputError("report: no folder given; name at least one folder that a run has written")
    write_text(out, render(_told_apart([read_run(folder) for folder in folders])))


def render(runs: Sequence[RunFolder]) -> str:
    """Return the page about ``runs`` as HTML."""
    several = len(runs) > 1
    return _html(
        runs[0].title if not several else "Comparison of runs",
        _subtitle(runs),
        Section("Verdict", "verdict", verdict_blocks(runs)),
        tuple(_part(run, index, several) for index, run in enumerate(runs)),
    )


def page_html(title: str, subtitle: str, first: Section, sections: tuple[Section, ...]) -> str:
    """Return a page in the report's style: ``first`` on top, then contents and ``sections``."""
    return _html(title, subtitle, first, (RunPart(title, "all", sections),))


def _html(title: str, subtitle: str, first: Section, parts: tuple[RunPart, ...]) -> str:
    environment = Environment(
        loader=PackageLoader("neurodeploy.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = _resource("page.css"), _resource("page.js")
    return environment.get_template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        verdict=first,
        parts=parts,
        several=len(parts) > 1,
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _told_apart(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Return the runs, with a number added where folders share a name."""
    names = [run.name for run in runs]
    return [
        run if names.count(run.name) == 1 else replace(run, name=f"{run.name} #{index + 1}")
        for index, run in enumerate(runs)
    ]


def _part(run: RunFolder, index: int, several: bool) -> RunPart:
    start = f"run{index + 1}-" if several else ""
    models = run.models

    def each(make: object) -> tuple[Block, ...]:
        return tuple(block for model in models for block in make(model))  # type: ignore[operator]

    sections = (
        (
            "Accuracy against radius",
            "accuracy",
            (
                Paragraph(
                    "Both networks see exactly the same points: every adversary found against "
                    "either network is replayed on both, and the worst counts."
                ),
                definitions(),
                *each(lambda model: accuracy_blocks(run, model)),
            ),
        ),
        (
            "Where the integers differ",
            "integers",
            (
                Paragraph(
                    "Spikes and membranes of the float network against the fixed-point network, "
                    "on the same input. Differences here are what quantisation did."
                ),
                *each(integer_blocks),
            ),
        ),
        (
            "Fidelity chain",
            "fidelity",
            (
                Paragraph(
                    "Each link compares two programs that must agree exactly; no tolerance is "
                    "used. Only float32 may differ, and is counted."
                ),
                *fidelity_blocks(run),
            ),
        ),
        ("Quantisation choices", "quantisation", each(quantisation_blocks)),
        (
            "Energy and latency",
            "energy",
            (*each(energy_blocks),),
        ),
        (
            "What was assumed",
            "assumptions",
            (*assumption_blocks(run), *each(sanity_blocks)),
        ),
        ("Reproduction", "reproduction", reproduction_blocks(run)),
    )
    return RunPart(
        f"Run {index + 1}: {run.title}" + (f" ({run.name})" if run.title != run.name else ""),
        f"run{index + 1}",
        tuple(Section(title, start + anchor, blocks) for title, anchor, blocks in sections),
    )


def _subtitle(runs: Sequence[RunFolder]) -> str:
    facts = []
    for run in runs:
        profile = run.results.record("profile").text("name")
        data = run.results.record("data").text("name")
        created = run.text("created")
        parts = [f"data {data}" if data else "", f"profile {profile}" if profile else "", created]
        facts.append(", ".join(part for part in parts if part))
    return "; ".join(dict.fromkeys(fact for fact in facts if fact))


def _resource(name: str) -> str:
    return files("neurodeploy.report").joinpath(name).read_text(encoding="utf-8")
