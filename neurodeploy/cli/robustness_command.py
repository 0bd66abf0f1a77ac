"""robustness: what survives deployment, by the evidence rules, and curves beside it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurodeploy.cli.console import Console, percent
from neurodeploy.cli.model_commands import model_for
from neurodeploy.cli.options import radii
from neurodeploy.cli.quantize_command import add_width_arguments


def add_evidence_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``robustness`` and ``deploy`` share."""
    parser.add_argument("--tolerance", type=float, help="drop in points (default 2)")
    parser.add_argument("--radii", type=radii, help="strengths in input codes, e.g. 13,26,38,51,77")
    parser.add_argument("--quick", action="store_true", help="fewer samples and radii; marked")
    parser.add_argument(
        "--allow-overlap", action="store_true", help="tuning saw test data: mark it"
    )
    parser.add_argument(
        "--allow-empty-classes", action="store_true", help="classes without test data: mark it"
    )


def robustness_settings(arguments: argparse.Namespace, max_code: int) -> Any:
    """Return the evaluation that the arguments ask for."""
    return sweep_settings(arguments, max_code, None).robustness


def sweep_settings(arguments: argparse.Namespace, max_code: int, config: str | None) -> Any:
    """Return evaluation and curves: defaults, then the file ``config``, then the arguments."""
    from neurodeploy.pipeline.sweep_file import read_sweep

    return read_sweep(
        config,
        max_code,
        radii_codes=arguments.radii,
        tolerance_points=arguments.tolerance,
        # A file may allow it, too.
        allow_empty_classes=arguments.allow_empty_classes or None,
        seed=arguments.seed if arguments.seed_given else None,
    )


def robustness_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``robustness``."""
    parser.add_argument("model", help="NIR file or NET.h5")
    parser.add_argument("--data", required=True, help="test data (.npz or .h5)")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--profile", help="chip, where the model is a NIR file")
    parser.add_argument("--calibration", help="data for the ranges of that quantisation")
    parser.add_argument(
        "--config", help="SWEEP.toml: tables [robustness], [curves], [certificates], [smoothing]"
    )
    parser.add_argument(
        "--no-curves", action="store_true", help="attacks alone: no proofs, layers, energy, faults"
    )
    parser.add_argument(
        "--points", action="append", default=[], metavar="FILE",
        help="adversarial points from elsewhere, which count too: the evidence.npz of another "
        "evaluation, or an .npz with whole codes clean and points [m, n_input]; may be repeated",
    )  # fmt: skip
    add_width_arguments(parser)
    add_evidence_arguments(parser)


def robustness(arguments: argparse.Namespace) -> int:
    """Evaluate; write JSON, table, evidence and curves; exit 1 lost, 4 undecided."""
    from neurodeploy.network import load_samples
    from neurodeploy.pipeline.judge import add_curves, judge_robustness
    from neurodeploy.robustness import load_points

    console = Console(arguments.json)
    model = model_for(arguments, "fixed")
    sweep = sweep_settings(arguments, model.require_fixed().encoder.max_code, arguments.config)
    config, out = sweep.robustness, Path(arguments.out)
    with console.progress() as report:
        result, document = judge_robustness(
            model,
            load_samples(arguments.data),
            config,
            out,
            given=[load_points(path) for path in arguments.points],
            quick_run=arguments.quick,
            allow_overlap=arguments.allow_overlap,
            device=arguments.device,
            threads=arguments.threads,
            progress=report,
        )
        curves = None
        if not (arguments.no_curves or arguments.quick):
            curves = add_curves(model, result, sweep, out, arguments.threads, report)
    for finding in document["findings"]:
        if finding["severity"] != "info":
            console.note(f"{finding['severity']}: {finding['where']}: {finding['what']}")
    console.document(document)
    print_robustness(console, result)
    if curves is not None:
        print_certificates(console, curves)
    elif sweep.smoothing.asked:
        console.note("smoothing: left out, as all proofs are with --quick and --no-curves")
    written = sorted(path.name for path in out.iterdir() if path.is_file())
    console.say(f"{out}: {', '.join(written)}")
    console.next_step(
        f"neurodeploy explain NET.h5 --input {arguments.data} --sample I --attack pgd20 --radius "
        f"{config.radii_codes[0]:g}"
    )
    return {"survives": 0, "lost": 1, "undecided": 4}[result.verdict]


def print_robustness(console: Console, result: Any) -> None:
    """Print the verdict, lines per perturbation and radius, and every sanity line."""
    console.say(f"{result.verdict}: {result.verdict_text}")
    console.table(
        ("perturbation", "radius", "float", "fixed", "lost", "gained", "drop 95 %", "verdict"),
        (
            (
                row["perturbation"],
                row["radius_codes"],
                percent(row["float"]),
                percent(row["fixed"]),
                percent(row["lost"]),
                percent(row["gained"]),
                f"{100 * row['drop_ci95'][0]:.1f} .. {100 * row['drop_ci95'][1]:.1f}",
                row["verdict"],
            )
            for row in result.rows
        ),
    )
    console.say(
        "\nbeside it: float against float, what transfer alone would say, and what n can show"
    )
    console.table(
        (
            "perturbation",
            "radius",
            "null lost",
            "null gained",
            "transfer",
            "fixed",
            "shows drops of",
        ),
        (
            (
                row["perturbation"],
                row["radius_codes"],
                *(percent(row["null"][k]) if row["null"] else "-" for k in ("lost", "gained")),
                percent(row["transfer"]["fixed"]) if row["transfer"] else "-",
                percent(row["fixed"]),
                percent(row["detectable_drop"]),
            )
            for row in result.rows
        ),
    )
    for line in result.sanity:
        sign = "sanity:" if line["ok"] else "attack too weak?"
        console.say(f"  {sign} {line['line']}: {line['detail']}")


def print_certificates(console: Console, curves: Mapping[str, Any]) -> None:
    """Print what was proven beside the attacks, each under the name of what it is about."""
    from neurodeploy.report.proofs import deviation_sentence, gain_rows, smoothing_facts

    if (deviation := curves["deviation"]) is not None:
        console.say(f"\nquantisation: {deviation_sentence(deviation)}")
    if (stability := curves["stability"]) is not None:
        console.say("\ngain of each layer, no proof of robustness:")
        console.table(("layer", "from", "gain", "value is"), gain_rows(stability))
        console.say(f"  warning: {stability['warning']}")
    if (smoothing := curves["smoothing"]) is not None:
        console.say("\nsmoothed classifier, another one than the deployed network:")
        for term, text in smoothing_facts(smoothing):
            console.say(f"  {term}: {text}")
        console.table(
            ("l2 radius", "right and certified"),
            ((f"{e['radius_codes']:g}", percent(e["accuracy"])) for e in smoothing["certified"]),
        )
