"""explain: which layer, neuron, step and rounding changed one decision."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurodeploy.cli.console import Console
from neurodeploy.cli.options import not_negative
from neurodeploy.errors import InputError


def explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``explain``."""
    parser.add_argument("network", help="NET.h5 made by quantize")
    parser.add_argument("--input", required=True, help="data (.npz or .h5)")
    parser.add_argument("--sample", type=not_negative, default=0, help="which sample, from 0")
    parser.add_argument("--attack", help="explain the point that this attack finds, e.g. pgd20")
    parser.add_argument("--radius", type=not_negative, help="of --attack, in input codes")
    parser.add_argument("--out", help="page with pictures (.html)")


def explain(arguments: argparse.Namespace) -> int:
    """Explain one sample; print it, and write the page if asked."""
    from neurodeploy.network import load_stimuli
    from neurodeploy.pipeline.explaining import attacked, sample_codes
    from neurodeploy.pipeline.model import load_model
    from neurodeploy.report.explanation_page import ROUNDINGS, sentence, write_explanation
    from neurodeploy.robustness.explanation import explain as explain_sample

    console = Console(arguments.json)
    if arguments.out and Path(arguments.out).suffix not in (".html", ".htm"):
        raise InputError(f"--out {arguments.out}: the explanation is a page; end it in .html")
    if (arguments.attack is None) != (arguments.radius is None):
        raise InputError("explain: --attack and --radius go together; give both or neither")
    model = load_model(arguments.network, lava_quirks=arguments.lava_quirks)
    stimuli = load_stimuli(arguments.input)
    codes = sample_codes(model, stimuli, arguments.sample)
    label = None if stimuli.labels is None else int(stimuli.labels[arguments.sample])
    if arguments.attack:
        codes = attacked(model, codes, label, arguments.attack, arguments.radius, arguments.seed)
    net = model.require_fixed()
    found = explain_sample(model.require_network(), net, codes, label)
    document = {
        "schema": 1,
        "model": model.name,
        "input": Path(arguments.input).name,
        "sample": arguments.sample,
        "attack": arguments.attack,
        "radius_codes": arguments.radius,
        "seed": arguments.seed,
        **found.as_dict(),
    }
    if arguments.out:
        write_explanation(document, arguments.out)
    console.document(document)
    console.say(sentence(document))
    console.table(
        ("population", "differ: own", "in all", "of", "decision if float up to here"),
        (
            (s.population, s.differing, s.spread, s.entries, _decision(s.decision))
            for s in found.stages
        ),
    )
    if found.culprit is not None:
        moved = document["culprit"]["contributions"]
        console.table(
            ("rounding", "moves the margin by"),
            ((ROUNDINGS[rung], f"{value:+.4g}") for rung, value in moved.items() if value),
        )
    if arguments.out:
        console.say(f"{arguments.out}")
    console.next_step(
        f"neurodeploy robustness {arguments.network} --data {arguments.input} --out DIR"
    )
    return 0


def _decision(decision: int) -> str:
    return "tie" if decision == -1 else str(decision)
