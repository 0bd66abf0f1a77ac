"""quantize: a float model to integers, its choices, and what they are expected to cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodeploy.cli.console import Console
from neurodeploy.cli.fine_tune_options import add_fine_tune_arguments, fine_tuning
from neurodeploy.cli.options import (
    check_output,
    contract_options,
    load_calibration,
    positive,
    reading_options,
    weight_bits,
)
from neurodeploy.errors import InputError

if TYPE_CHECKING:
    from neurodeploy.pipeline.settings import FineTuning


def quantize_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``quantize``."""
    parser.add_argument("model", help="NIR file")
    parser.add_argument(
        "--profile", required=True, help="target: loihi1, loihi2, lava or a TOML file"
    )
    parser.add_argument("--out", required=True, help="NET.h5 to write")
    parser.add_argument(
        "--calibration", help="data (.npz, .h5: images or x) for ranges; never the test data"
    )
    parser.add_argument(
        "--nir", metavar="OUT.nir",
        help="also write what the integers stand for, as a float model in a NIR file",
    )  # fmt: skip
    add_fine_tune_arguments(parser)
    add_width_arguments(parser)


def add_width_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the quantiser may choose."""
    parser.add_argument(
        "--weight-bits", type=weight_bits, default=8,
        help="2 to 8 (default 8), or auto: each synapse its own, as the memory allows",
    )  # fmt: skip
    parser.add_argument(
        "--weight-memory", type=positive, metavar="BYTES",
        help="of --weight-bits auto (default: that of the profile)",
    )  # fmt: skip
    parser.add_argument("--gain-bits", type=positive, default=8, help="1 to 8 (default 8)")
    parser.add_argument(
        "--scale", choices=("power_of_two", "search"),
        help="search: of each layer, between powers of two (default with --calibration)",
    )  # fmt: skip
    parser.add_argument(
        "--rounding", choices=("nearest", "adaptive"),
        help="adaptive: of weights, for the least error of membranes (default with --calibration)",
    )  # fmt: skip
    parser.add_argument(
        "--bias", choices=("own", "corrected"),
        help="corrected: takes the mean error of rounded weights away; needs --calibration",
    )  # fmt: skip
    parser.add_argument(
        "--granularity", choices=("population", "neuron"), default="population",
        help="membrane units: one per population, or one per neuron with a threshold of its own",
    )  # fmt: skip
    parser.add_argument(
        "--sign-split", choices=("never", "auto"), default="never",
        help="auto: two matrices of one sign, with a bit more each, where that halves the error",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", choices=("own", "balanced"), default="own",
        help="balanced: moved to where fewer spikes differ from float's; needs --calibration",
    )  # fmt: skip
    parser.add_argument(
        "--weight-exponent", choices=("least_error", "largest_weight"), default="least_error",
        help="largest_weight: so that it just fits; for comparisons",
    )  # fmt: skip
    parser.add_argument(
        "--remap", choices=("microcode", "graded", "bitplane", "fold", "auto"),
        default="microcode",
        help="DLIF gains: kept as they are, carried by graded messages, gated bit by bit, folded "
        "into their mean, or what the profile loses least by",
    )  # fmt: skip


def widths(arguments: argparse.Namespace) -> Any:
    """Return the quantiser's configuration."""
    from neurodeploy.quantization import config_for

    return config_for(
        calibrated=arguments.calibration is not None,
        weight_bits=arguments.weight_bits,
        gain_bits=arguments.gain_bits,
        lava_quirks=arguments.lava_quirks,
        scale=arguments.scale,
        rounding=arguments.rounding,
        bias=arguments.bias,
        threshold=arguments.threshold,
        weight_exponent=arguments.weight_exponent,
        granularity=arguments.granularity,
        sign_split=arguments.sign_split,
        memory_bytes=arguments.weight_memory,
        remap=arguments.remap,
    )


def quantize(arguments: argparse.Namespace) -> int:
    """Write NET.h5 and show the choices."""
    from neurodeploy.pipeline.diagnosing import diagnosis
    from neurodeploy.pipeline.model import load_model, quantized
    from neurodeploy.pipeline.repaired_file import require_writable, write_repaired
    from neurodeploy.quantization import describe_populations, describe_synapses
    from neurodeploy.quantization.description import scale_text
    from neurodeploy.quantization.diagnosis import worst_findings

    console = Console(arguments.json)
    if Path(arguments.out).suffix not in (".h5", ".hdf5"):
        raise InputError(f"--out {arguments.out}: a network file ends in .h5")
    check_output(arguments.out, arguments.model, arguments.calibration, arguments.nir)
    if arguments.nir is not None:
        check_output(arguments.nir, arguments.model, arguments.calibration, option="--nir")
    model = load_model(
        arguments.model,
        contract_options(arguments),
        strict=arguments.strict,
        **reading_options(arguments),
    )
    calibration = load_calibration(arguments.calibration)
    require_writable(arguments.nir, widths(arguments))
    model = quantized(model, arguments.profile, widths(arguments), calibration)
    model = _repaired(model, calibration, fine_tuning(arguments), console)
    layers = () if calibration is None else diagnosis(model, calibration)
    worst = worst_findings(layers)
    findings = (*model.findings, *worst)
    net = model.require_fixed()
    # First: what was tuned for minutes is there even if it has no NIR file.
    digest = net.save(arguments.out)
    if arguments.nir is not None:
        findings += write_repaired(
            arguments.nir, model, arguments.profile, widths(arguments), calibration
        )
    synapses, populations = (
        describe_synapses(model.require_network(), net),
        describe_populations(net),
    )
    console.document(
        {
            "out": arguments.out,
            "nir": arguments.nir,
            "content_hash": digest,
            "quantize": widths(arguments).as_dict(),
            "synapses": synapses,
            "populations": populations,
            "layers": [layer.as_dict() for layer in layers],
            "findings": [f.as_dict() for f in findings],
        }
    )
    console.findings(findings)
    console.say(f"{arguments.out}: {digest}")
    console.table(
        ("synapse", "bits", "exponent", "sign mode", "rms error"),
        (
            (
                s["synapse"],
                s["weight_bits"],
                s["weight_exp"],
                s["sign_mode"],
                f"{s['error_rms']:.3%}" if "error_rms" in s else "-",
            )
            for s in synapses
        ),
    )
    console.table(
        ("population", "kind", "neurons", "latency", "units of v", "threshold"),
        (
            (p["name"], p["kind"], p["size"], p["latency"], scale_text(p), p["v_threshold"][0])
            for p in populations
        ),
    )
    _print_layers(console, layers, worst)
    console.next_step(f"neurodeploy verify {arguments.out} --input DATA.npz --against lava")
    return 0


def _repaired(model: Any, calibration: Any, tuning: FineTuning | None, console: Console) -> Any:
    """Return the model with fine-tuned integers, if that is asked for."""
    if tuning is None:
        return model
    from neurodeploy.pipeline.fine_tuning import fine_tuned

    with console.progress() as report:
        found = fine_tuned(
            model, calibration, tuning,
            lambda done, total: report("fine-tune", done, total),
        )  # fmt: skip
    console.say(next(f.what for f in reversed(found.findings) if f.where == "repair"))
    return found


def _print_layers(console: Console, layers: Sequence[Any], worst: Sequence[Any]) -> None:
    """Print what rounding is expected to do to each layer, and the remedy for the worst.

    Nothing without calibration.
    """
    if not layers:
        return
    console.say("expected of rounding, from the calibration samples in float:")
    console.table(
        (
            "population", "turned", "most by", "deviation", "near threshold", "dead", "saturated",
            "headroom", "bits",
        ),
        (
            (
                layer.name, f"{layer.turned:.2%}", layer.worst_rounding,
                f"{layer.deviation_rms:.3g} thresholds", f"{sum(layer.margins[:3]):.1%}",
                layer.dead, layer.saturated, f"{layer.headroom_bits:.1f} bits",
                f"{layer.effective_bits:.1f}",
            )
            for layer in layers
        ),
    )  # fmt: skip
    for finding in worst:
        console.say(f"  {finding.where}: {finding.remedy}")
