"""inspect, run: commands about one model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodeploy.cli.console import Console
from neurodeploy.cli.options import (
    check_output,
    contract_options,
    given_words,
    load_calibration,
    positive,
    quantities,
    reading_options,
)
from neurodeploy.cli.quantize_command import add_width_arguments, widths
from neurodeploy.errors import InputError

if TYPE_CHECKING:
    pass


def inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``inspect``."""
    parser.add_argument("file", help="NIR file, NET.h5, or a NetX file (.net)")
    parser.add_argument("--profile", help="also say what this chip lacks for the model")


def inspect(arguments: argparse.Namespace) -> int:
    """Show what is in a file; exit 2 if no command can use it, 1 if the profile cannot hold it."""
    from neurodeploy.pipeline.fixed_file import holds_integers
    from neurodeploy.pipeline.inspection import inspect_file, is_assumption

    console = Console(arguments.json)
    inspection = inspect_file(
        arguments.file,
        contract_options(arguments),
        profile=arguments.profile,
        strict=arguments.strict,
        lava_quirks=arguments.lava_quirks,
        **reading_options(arguments),
    )
    errors = "\n  ".join(str(finding) for finding in inspection.stops)
    few = (
        "1 finding stops"
        if len(inspection.stops) == 1
        else f"{len(inspection.stops)} findings stop"
    )
    stopped = f"{arguments.file}: {few} here:\n  {errors}"
    ending = {"error": stopped, "exit_code": 2} if inspection.stops else {}
    console.document({**inspection.document, **ending})
    for title, header, rows in inspection.tables:
        console.say(title)
        console.table(header, rows)
    for finding in inspection.findings:
        # Assumptions stand in the contract's table.
        if finding not in inspection.stops and not is_assumption(finding):
            console.say(f"  {finding}")
    if inspection.stops:
        console.note(f"error: {stopped}")
        return 2
    if not inspection.fits:
        console.next_step("neurodeploy profiles")
        return 1
    if holds_integers(arguments.file):
        console.next_step(f"neurodeploy verify {arguments.file} --input DATA.npz --against lava")
    else:
        profile = arguments.profile or "loihi2"
        words = " ".join(["", *given_words(arguments)])
        console.next_step(
            f"neurodeploy quantize {arguments.file} --profile {profile} --out NET.h5{words}"
        )
    return 0


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``run``."""
    parser.add_argument("model", help="NIR file, NET.h5, or a NetX file (.net)")
    parser.add_argument("--input", required=True, help="data: images or x (.npz or .h5)")
    parser.add_argument("--backend", required=True, choices=("float", "fixed", "lava"))
    parser.add_argument("--out", required=True, help="traces to write (.npz or .h5)")
    parser.add_argument("--record", type=quantities, default=("spikes",), help="spikes,v,u,v_pre")
    parser.add_argument("--timing", choices=("aligned", "lava"), default="aligned")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="numbers of the float backend",
    )
    parser.add_argument(
        "--engine",
        choices=("events", "torch"),
        default="events",
        help="fixed backend: compiled kernels, or plain torch on --device; the same integers",
    )
    parser.add_argument("--profile", help="chip, where a NIR file runs in fixed point")
    parser.add_argument("--calibration", help="data for the ranges of that quantisation")
    parser.add_argument("--samples", type=positive, help="only the first N samples")
    parser.add_argument("--timeout", type=float, help="limit for Lava in seconds")
    parser.add_argument("--workers", type=positive, default=1, help="Lava programs side by side")
    parser.add_argument(
        "--memory",
        type=positive,
        metavar="MB",
        help="fixed backend, .h5 to .h5: stream, with at most so much scratch memory",
    )
    add_width_arguments(parser)


def model_for(arguments: argparse.Namespace, backend: str) -> Any:
    """Load MODEL and quantise it where the backend needs integers and a profile is named."""
    from neurodeploy.pipeline.model import load_model, quantized

    model = load_model(
        arguments.model,
        contract_options(arguments),
        strict=arguments.strict,
        lava_quirks=arguments.lava_quirks,
        **reading_options(arguments),
    )
    if arguments.profile is not None and model.fixed is not None:
        raise InputError(f"{arguments.model}: holds integers and their own profile; drop --profile")
    if backend != "float" and model.fixed is None:
        if arguments.profile is None:
            model.require_fixed()
        calibration = load_calibration(arguments.calibration)
        model = quantized(model, arguments.profile, widths(arguments), calibration)
    return model


def run(arguments: argparse.Namespace) -> int:
    """Run and write traces."""
    import numpy as np

    from neurodeploy.network import Stimuli, decide
    from neurodeploy.pipeline.inspection import assumptions

    console = Console(arguments.json)
    if Path(arguments.out).suffix not in (".npz", ".h5"):
        raise InputError(f"--out {arguments.out}: traces are written as .npz or .h5")
    check_output(arguments.out, arguments.model, arguments.input, arguments.calibration)
    model = model_for(arguments, arguments.backend)
    source = model.network_for(arguments.backend)
    held_in_memory = arguments.memory is None
    traces, labels = (_run if held_in_memory else _stream)(arguments, console, model)
    samples = traces.output.shape[1]
    assumed = assumptions(model.findings)
    readout = source.population(source.readout.population)
    misfit = Stimuli(np.zeros((samples, 1)), labels, held=True).misfit_labels(readout.size)
    if misfit:
        console.note(f"warning: {misfit}; no accuracy is given")
    accuracy = None
    if arguments.timing == "aligned" and labels is not None and not misfit:
        accuracy = float((decide(traces.scores()) == labels).mean())
    rates = _rates(source, traces)
    console.document(
        {
            "out": arguments.out,
            "samples": samples,
            "accuracy": accuracy,
            "rates": rates,
            "contract": dict(source.contract),
            "assumed": assumed,
        }
    )
    console.say(f"{arguments.out}: {samples} samples, backend {arguments.backend}")
    if assumed:
        words = ", ".join(f"{name} {value}" for name, value in assumed.items())
        console.say(f"assumed, as nothing says it: {words} (neurodeploy inspect names the options)")
    if accuracy is not None:
        console.say(f"accuracy {accuracy:.2%} (a tie counts as wrong)")
    console.table(("population", "spikes per step"), ((k, f"{v:.4f}") for k, v in rates.items()))
    console.next_step(f"neurodeploy compare {arguments.out} OTHER.npz")
    return 0


def _run(arguments: argparse.Namespace, console: Console, model: Any) -> tuple[Any, Any]:
    """Run on the whole input in memory; return traces and labels."""
    from neurodeploy.network import load_stimuli
    from neurodeploy.pipeline.backends import run_model
    from neurodeploy.pipeline.stimulus import stimulus_for, widened

    stimuli = load_stimuli(arguments.input)
    stimuli = stimuli.first(arguments.samples) if arguments.samples else stimuli
    stimuli = widened(model.graph, model.network, stimuli)
    source = model.network_for(arguments.backend)
    stimulus, noticed = stimulus_for(source, stimuli, arguments.backend)
    console.findings((*model.findings, *noticed))
    with console.progress() as report:
        traces = run_model(
            model,
            stimulus,
            arguments.backend,
            record=arguments.record,
            timing=arguments.timing,
            threads=arguments.threads,
            timeout_s=arguments.timeout,
            workers=arguments.workers,
            lava_quirks=arguments.lava_quirks,
            dtype=arguments.dtype,
            engine=arguments.engine,
            device=arguments.device,
            progress=lambda done, total: report(f"run {arguments.backend}", done, total),
        )
    traces.save(arguments.out)
    return traces, stimuli.labels


def _stream(arguments: argparse.Namespace, console: Console, model: Any) -> tuple[Any, Any]:
    """Run block by block from file to file; return brief traces and labels."""
    from neurodeploy.pipeline.streaming import stream_model

    if arguments.backend != "fixed" or arguments.engine != "events":
        name = arguments.backend if arguments.backend != "fixed" else arguments.engine
        raise InputError(f"--memory: {name!r} cannot stream; drop --memory")
    if arguments.samples:
        raise InputError("--memory: streams the whole file; drop --samples")
    console.findings(model.findings)
    with console.progress() as report:
        traces, labels = stream_model(
            model,
            arguments.input,
            arguments.out,
            memory_bytes=arguments.memory * 2**20,
            record=arguments.record,
            timing=arguments.timing,
            threads=arguments.threads,
            progress=lambda done, total: report("run fixed", done, total),
        )
    return traces, labels


def _rates(source: Any, traces: Any) -> dict[str, float]:
    """Return spikes per neuron and step of every population that was recorded, or counted."""
    recorded = {
        key.rsplit("/", 1)[0]: float(value.mean())
        for key, value in traces.records.items()
        if key.endswith("/spikes")
    }
    if traces.records:
        return recorded
    steps, samples = traces.output.shape[:2]
    return {
        p.name: float(traces.counts[f"{p.name}/spikes"].sum()) / (steps * samples * p.size)
        for p in source.populations
    }
