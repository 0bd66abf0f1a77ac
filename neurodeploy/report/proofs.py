"""What is proven: of the deployed integers, and of the smoothed classifier, which is another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurodeploy.report.content import (
    Block,
    Facts,
    FigureGrid,
    Note,
    Paragraph,
    Section,
    Table,
    number_cell,
    text_cell,
)
from neurodeploy.report.curve_figure import Line, curve_figure
from neurodeploy.report.number_text import count, energy, percent, plain

Document = Mapping[str, Any]
#: Sample numbers that are listed.
_MOST_LISTED = 12


def proof_sections(robustness: Document, curves: Document) -> tuple[Section, ...]:
    """Return one section per kind of proof that was made; each says what it is about."""
    sections = [Section("Proofs on the integers", "proofs", _ball_blocks(robustness, curves))]
    if (found := curves.get("deviation")) is not None:
        title = "Decisions proven equal to real arithmetic"
        sections.append(Section(title, "deviation", _deviation_blocks(found)))
    if (found := curves.get("smoothing")) is not None:
        title = "Smoothed: another classifier than the deployed network"
        sections.append(Section(title, "smoothing", _smoothing_blocks(found)))
    if (found := curves.get("stability")) is not None:
        title = "Gain of each layer: no proof of robustness"
        sections.append(Section(title, "stability", _stability_blocks(found)))
    return tuple(sections)


def deviation_sentence(found: Document) -> str:
    """Return what the deviation certificate proves, in one sentence with its counts."""
    if "refused" in found:
        return f"No such proof for this network: {found['refused']}"
    return (
        f"Of {count(found['n'])} decisions of the deployed integers, {count(found['equal'])} are "
        "proven equal to those of the float network computed in exact real numbers, "
        f"{count(found['different'])} are proven different, and {count(found['undecided'])} are "
        f"undecided.{_folded_words(found.get('folded_gains') or ())}"
    )


def _folded_words(names: Sequence[str]) -> str:
    if not names:
        return ""
    return (
        f" The float network is the one with the gains of {', '.join(names)} folded into their "
        "means: what folding costs is no part of this."
    )


def smoothing_facts(found: Document) -> tuple[tuple[str, str], ...]:
    """Return what the smoothed classifier is and costs: pairs of a term and a text."""
    passes, each, whole = (
        found[key]
        for key in ("passes_per_decision", "energy_per_pass_nj", "energy_per_decision_nj")
    )
    return (
        ("noise", f"Gaussian, sigma {plain(found['sigma_codes'])} codes, rounded to whole codes"),
        (
            "draws",
            f"{count(found['n0'])} to choose the class, {count(found['n'])} to count it; "
            f"seed {found['seed']}",
        ),
        (
            "confidence",
            f"{plain(100 * found['confidence'], 8)} % for each sample by itself; no radius above "
            f"{plain(found['largest_radius_codes'])} codes can be certified with so many draws",
        ),
        (
            "right on clean samples",
            f"{percent(found['accuracy'])} of {count(found['n_samples'])}; abstains on "
            f"{count(found['abstained'])} (the deployed network itself: "
            f"{percent(found['deployed_accuracy'])})",
        ),
        (
            "energy of one decision",
            f"{count(passes)} passes"
            + (
                "; no energy model for this chip"
                if whole is None
                else f" of {_energies(each)} each: {_energies(whole)} (core, estimate)"
            ),
        ),
    )


def gain_rows(found: Document) -> list[tuple[str, str, str, str]]:
    """Return layer, sources, gain and whether it is attained; a bound has its sign."""
    return [
        (
            layer["population"],
            ", ".join(layer["sources"]),
            _gain(layer["gain"]),
            "exact" if layer["exact"] and _tight(layer["gain"]) else "upper bound",
        )
        for layer in found["layers"]
    ]


def _ball_blocks(robustness: Document, curves: Document) -> tuple[Block, ...]:
    found = curves["certified"]
    if not found:
        return (Note("No radius was asked for (certified_radii_codes)."),)
    radii = [float(entry["radius_codes"]) for entry in found]
    lines = [
        Line(css, name, [e[method] for e in found], [e[f"{method}_ci95"] for e in found])
        for css, name, method in (
            ("float", "intervals", "interval"),
            ("fixed", "refined", "refined"),
        )
    ]
    attacked = [
        (row["radius_codes"], row["fixed"])
        for row in robustness["robustness"]
        if row["perturbation"] == curves["attack"]
    ]
    gap = ", ".join(f"{percent(a)} at {plain(r)}" for r, a in attacked)
    return (
        Paragraph(
            "Proven: every input within the radius is decided right by the deployed integers, "
            "floors, wraps and clips included. The truth lies between a proof and an attack. "
            f"Right under attack ({curves['attack']}): {gap} codes."
        ),
        FigureGrid(
            (curve_figure("share proven", "input codes, l-infinity", radii, lines, share=True),),
            (("float", "intervals"), ("fixed", "refined")),
        ),
    )


def _deviation_blocks(found: Document) -> tuple[Block, ...]:
    if "refused" in found:
        return (Note(deviation_sentence(found), "warning"),)
    different, undecided = found["different_samples"], found["undecided_samples"]
    listed = []
    if different:
        why = f"neurodeploy explain --sample {different[0]} tells why"
        listed.append(Paragraph(f"Different on samples: {_samples(different)}; {why}."))
    if undecided:
        listed.append(Paragraph(f"Undecided on samples: {_samples(undecided)}."))
    return (
        Paragraph(
            f"{deviation_sentence(found)} Clean samples; each is a proof for that sample alone, "
            "and says nothing about inputs near it."
        ),
        *listed,
    )


def _smoothing_blocks(found: Document) -> tuple[Block, ...]:
    certified = found["certified"]
    radii = [float(entry["radius_codes"]) for entry in certified]
    shares = Line(
        "smoothed",
        "smoothed",
        [entry["accuracy"] for entry in certified],
        [entry["ci95"] for entry in certified],
    )
    title = "smoothed: right and certified"
    return (
        Note(
            "This is not the deployed network. It answers with the majority over many noisy "
            "passes of it, or abstains. Its radii are in the l2 norm and hold with the confidence "
            "below; they are not to be compared with the proofs above.",
            "warning",
        ),
        Facts(smoothing_facts(found)),
        FigureGrid(
            (curve_figure(title, "input codes, l2", radii, [shares], share=True),),
            (("smoothed", "smoothed classifier"),),
        ),
        Table(
            "Smoothed classifier: certified accuracy by l2 radius",
            ("l2 radius (codes)", "right and certified", "low 95 %", "high 95 %"),
            tuple(
                (
                    number_cell(plain(entry["radius_codes"]), entry["radius_codes"]),
                    *(number_cell(percent(v), v) for v in (entry["accuracy"], *entry["ci95"])),
                )
                for entry in certified
            ),
        ),
    )


def _stability_blocks(found: Document) -> tuple[Block, ...]:
    layers = found["layers"]
    steps = max((layer["steps"] for layer in layers), default=0)
    return (
        Note(found["warning"], "warning"),
        Table(
            f"Largest gain of energy over {steps} steps, between spikes",
            ("layer", "from", "gain", "of weights", "of time", "value is"),
            tuple(
                (
                    text_cell(name),
                    text_cell(sources),
                    number_cell(gain, layer["gain"]["upper"]),
                    *(number_cell(_gain(layer[k]), layer[k]["upper"]) for k in ("weight", "time")),
                    text_cell(kind),
                )
                for layer, (name, sources, gain, kind) in zip(layers, gain_rows(found), strict=True)
            ),
        ),
    )


def _tight(norm: Document) -> bool:
    return bool(norm["upper"] <= norm["lower"] * (1 + 1e-5))


def _gain(norm: Document) -> str:
    """Return a norm as a number, or as a bound where that is all that is known."""
    return plain(norm["upper"]) if _tight(norm) else f"≤ {plain(norm['upper'])}"


def _energies(interval: Document) -> str:
    low, high = energy(interval["low"]), energy(interval["high"])
    return f"{energy(interval['typ'])} ({low} to {high})"


def _samples(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:_MOST_LISTED]))
    more = len(numbers) - _MOST_LISTED
    return listed if more <= 0 else f"{listed} and {more} more (all are in curves.json)"
