"""compare, verify, robustness, cost, report: commands that judge what ran."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from neurodeploy.cli.console import Console
from neurodeploy.cli.options import existing_folder, not_negative, positive
from neurodeploy.errors import InputError


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``compare``."""
    parser.add_argument("a", help="traces (.npz or .h5)")
    parser.add_argument("b", help="traces (.npz or .h5)")
    parser.add_argument(
        "--accept",
        choices=("exact", "rate", "decision"),
        default="exact",
        help="exact: every entry; rate: every population's rate within 1 %% (relative); "
        "decision: every sample's class",
    )
    parser.add_argument(
        "--chip", action="store_true", help="b was read from a chip: show a as its probes would"
    )
    parser.add_argument(
        "--probe-offset", type=not_negative, default=0, help="steps by which the chip's probes lag"
    )


def compare(arguments: argparse.Namespace) -> int:
    """Compare two traces; exit 1 if the accepted level does not hold."""
    from neurodeploy.network import Traces, chip_observation, compare_traces, on_logical_axis

    console = Console(arguments.json)
    a, b = Traces.load(arguments.a), Traces.load(arguments.b)
    if a.meta.get("timing", "aligned") != b.meta.get("timing", "aligned"):
        a, b = on_logical_axis(a), on_logical_axis(b)
        console.note("one run is in hardware time; both are compared on the logical axis")
    if arguments.chip:
        a = chip_observation(a, probe_offset=arguments.probe_offset)
    elif arguments.probe_offset:
        raise InputError("compare --probe-offset: belongs to --chip; add it, or drop the offset")
    if a.meta.get("input_hash") != b.meta.get("input_hash"):
        console.note("warning: the two runs had different input, so differences mean little")
    one_is_float = (a.meta.get("backend") == "float") != (b.meta.get("backend") == "float")
    comparison = compare_traces(a, b, scaled=one_is_float)
    compared = {f"{r.population}/{r.quantity}" for r in comparison.records}
    left_out = sorted({*a.records, *b.records} - compared)
    if left_out:
        console.note(f"not compared, as one run alone has them or a unit of its own: {left_out}")
    spikes = [r for r in comparison.records if r.quantity == "spikes"]
    holds = {
        "exact": comparison.exact,
        "rate": all(_rates_agree(r.rate_a, r.rate_b) for r in spikes),
        "decision": comparison.decisions_equal == comparison.samples,
    }
    if arguments.accept == "rate" and not spikes:
        raise InputError("compare --accept rate: the traces share no spikes; record them")
    document = {**comparison.as_dict(), "accept": arguments.accept, "holds": holds}
    console.document(document)
    console.table(
        ("population", "record", "equal", "differ", "mean a", "mean b", "first difference"),
        (
            (
                r.population,
                r.quantity,
                f"{r.agreement:.4%}",
                r.mismatches,
                f"{r.rate_a:.5g}",
                f"{r.rate_b:.5g}",
                "-" if r.first_difference is None else _place(r.first_difference),
            )
            for r in comparison.records
        ),
    )
    console.say(f"decisions: {comparison.decisions_equal} of {comparison.samples} equal")
    verdict = "holds" if holds[arguments.accept] else "does not hold"
    console.say(f"{arguments.accept}: {verdict}")
    console.next_step("neurodeploy robustness MODEL --data DATA.npz --out DIR")
    return 0 if holds[arguments.accept] else 1


def _rates_agree(a: float, b: float) -> bool:
    return abs(a - b) <= 0.01 * max(abs(a), abs(b))


def _place(difference: Any) -> str:
    d = difference
    return f"step {d.t}, sample {d.sample}, neuron {d.neuron}: {d.a:g} / {d.b:g}"


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``verify``."""
    parser.add_argument("network", help="NET.h5, or a NetX file (.net)")
    parser.add_argument("--input", required=True, help="data: images or x (.npz or .h5)")
    parser.add_argument("--against", choices=("lava",), default="lava")
    parser.add_argument("--samples", type=positive, default=16, help="first N samples (default 16)")
    parser.add_argument("--timing", choices=("aligned", "lava"), default="aligned")
    parser.add_argument("--timeout", type=float, help="limit for Lava in seconds")
    parser.add_argument("--workers", type=positive, default=1, help="Lava programs side by side")


def verify(arguments: argparse.Namespace) -> int:
    """Compare the simulator with Lava, zero tolerance; exit 1 on any difference, 3 without Lava."""
    from neurodeploy.export import lava
    from neurodeploy.network import load_stimuli
    from neurodeploy.pipeline.stimulus import stimulus_for, widened
    from neurodeploy.simulate import run_fixed

    console = Console(arguments.json)
    model = _integers("verify", arguments)
    net = model.require_fixed()
    samples = load_stimuli(arguments.input).first(arguments.samples)
    samples = widened(model.graph, model.network, samples)
    codes, noticed = stimulus_for(net, samples, "fixed")
    console.findings((*model.findings, *noticed))
    reference = run_fixed(
        net,
        codes,
        record=("spikes", "u", "v"),
        timing=arguments.timing,
        threads=arguments.threads,
    )
    with console.progress() as report:
        report("Lava", 0, len(samples))
        result = lava.verify_against(
            net,
            codes,
            reference,
            timeout_s=arguments.timeout,
            workers=arguments.workers,
            progress=lambda done, total: report("Lava", done, total),
            lava_quirks=arguments.lava_quirks,
        )
    first = None if result.first is None else str(result.first)
    console.document(
        {
            "samples": len(samples),
            "timing": arguments.timing,
            "compared": result.compared,
            "mismatches": result.mismatches,
            "first": first,
        }
    )
    console.say(
        f"{len(samples)} samples, {result.compared} values of u, v and spikes: "
        f"{result.mismatches} differ from Lava"
    )
    if first is not None:
        console.say(f"first: {first}")
    console.next_step(f"neurodeploy robustness {arguments.network} --data TEST.npz --out DIR")
    return 0 if result.mismatches == 0 else 1


def _integers(command: str, arguments: argparse.Namespace) -> Any:
    """Load a NET.h5 or NetX file; InputError for any other."""
    from neurodeploy.pipeline.fixed_file import holds_integers
    from neurodeploy.pipeline.model import load_model

    if not holds_integers(arguments.network):
        raise InputError(
            f"{arguments.network}: {command} takes integers, a NET.h5 or a NetX file (.net); make "
            "a NET.h5 with neurodeploy quantize"
        )
    return load_model(arguments.network, lava_quirks=arguments.lava_quirks)


def cost_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cost``."""
    parser.add_argument("network", help="NET.h5, or a NetX file (.net)")
    parser.add_argument("--input", required=True, help="data: images or x (.npz or .h5)")


def cost(arguments: argparse.Namespace) -> int:
    """Count, estimate and print."""
    from neurodeploy import hardware_profiles
    from neurodeploy.cost import estimate, format_estimate
    from neurodeploy.network import load_stimuli
    from neurodeploy.pipeline.running_cost import fixed_activity
    from neurodeploy.pipeline.stimulus import stimulus_for, widened

    console = Console(arguments.json)
    model = _integers("cost", arguments)
    net = model.require_fixed()
    samples = widened(model.graph, model.network, load_stimuli(arguments.input))
    codes, noticed = stimulus_for(net, samples, "fixed")
    console.findings(noticed)
    result = estimate(
        fixed_activity(net, codes, arguments.threads), hardware_profiles.parse(net.profile)
    )
    console.document(result.as_dict())
    console.say(format_estimate(result))
    console.next_step(f"neurodeploy robustness {arguments.network} --data TEST.npz --out DIR")
    return 0


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``report``."""
    parser.add_argument("folders", nargs="+", type=existing_folder, help="folders with results")
    parser.add_argument("--out", help="HTML file (default: report.html in the first folder)")


def report(arguments: argparse.Namespace) -> int:
    """Write the report."""
    from neurodeploy.report import write_report

    console = Console(arguments.json)
    out = Path(arguments.out) if arguments.out else arguments.folders[0] / "report.html"
    write_report(arguments.folders, out)
    console.document({"report": str(out)})
    console.say(f"{out}")
    console.next_step(f"open {out} in a browser")
    return 0
