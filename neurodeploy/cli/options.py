"""Options that several commands share, and the types their values become."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurodeploy.errors import InputError

if TYPE_CHECKING:
    from neurodeploy.graph import Contract
    from neurodeploy.network import EventStimuli, Quantity, Stimuli


def positive(text: str) -> int:
    """Parse a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return value


def weight_bits(text: str) -> int | Literal["auto"]:
    """Parse a width, or the word auto."""
    return "auto" if text == "auto" else positive(text)


def not_negative(text: str) -> int:
    """Parse a whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text}: must be 0 or more")
    return value


def device(text: str) -> str:
    """Parse the name of a torch device that exists here."""
    if text == "cpu":
        return text  # needs no torch
    import torch

    try:
        torch.empty(1, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text}: no such device here ({reason})") from None
    return text


def radii(text: str) -> tuple[int, ...]:
    """Parse comma-separated whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: give whole numbers, e.g. 13,26,38") from None


def lowest_v(text: str) -> float | str:
    """Parse a membrane value, or ``none``."""
    return text if text == "none" else float(text)


def window(text: str) -> tuple[int, int]:
    """Parse ``START:STOP``."""
    start, _, stop = text.partition(":")
    try:
        return (int(start), int(stop))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: give START:STOP, e.g. 10:50") from None


#: Contract options offered on the command line: (field, type, help).
_CONTRACT: tuple[tuple[str, Callable[[str], Any], str], ...] = (
    ("dt", float, "length of a step in seconds"),
    ("steps", int, "steps per sample"),
    ("reset", str, "reset rule: value, subtract, subtract-late or subtract-once"),
    ("decay", str, "decay of membrane and synapse: euler or exponential"),
    ("spikes", str, "spikes per step: single or multiple"),
    ("input_gain", str, "gain of a LIF's input: r or one"),
    ("if_unit", str, "an IF's input counts per second or per step: second or step"),
    ("recurrent_cut", str, "a cycle's delay lies at the spikes or after the affine"),
    ("delay_rounding", str, "a delay of a fraction of a step: error, nearest or floor"),
    ("v_min", lowest_v, "lowest membrane value, or none"),
    ("readout_node", str, "node the decision is read from"),
    ("readout_kind", str, "how it is read: count, sum, mean_v, last_v or max_v"),
    ("readout_window", window, "steps the read-out looks at, e.g. 10:50"),
    ("encoder", str, "input coding: constant, rate, latency or events"),
    ("encoder_low", float, "lowest input value"),
    ("encoder_high", float, "highest input value"),
    ("encoder_bits", int, "bits of an input code"),
    ("encoder_seed", int, "seed of the rate code's draw"),
    ("encoder_form", str, "a chip gets held images as graded messages or as bias"),
)


def common_parser() -> argparse.ArgumentParser:
    """Return the parent parser of every command."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("everywhere")
    group.add_argument("--json", action="store_true", help="one JSON document on standard output")
    group.add_argument("--seed", type=not_negative, help="seed of everything random (default 0)")
    group.add_argument("--threads", type=positive, default=None, help="threads (default: all)")
    group.add_argument(
        "--device", type=device, default="cpu", help="torch device of training and attacks"
    )
    group.add_argument("--strict", action="store_true", help="warnings about the NIR file stop")
    group.add_argument(
        "--lava-quirks",
        action="store_true",
        help="accept integers that Lava computes and the profile does not hold",
    )
    return parser


def contract_parser() -> argparse.ArgumentParser:
    """Return the parent parser of commands that read NIR files."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("how to run the graph (where the file does not say it)")
    for name, kind, text in _CONTRACT:
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind, help=text)
    group.add_argument(
        "--convention", help="what the tool that wrote the file means, e.g. snntorch or sinabs"
    )
    group.add_argument(
        "--repair", action="store_true", help="put edges right that name a renamed node"
    )
    return parser


def contract_options(arguments: argparse.Namespace) -> Contract:
    """Return the contract options that were given."""
    from neurodeploy.graph import Contract

    names = {f.name for f in fields(Contract)}
    given = {key: value for key, value in vars(arguments).items() if key in names}
    return Contract(**given)


def given_words(arguments: argparse.Namespace) -> list[str]:
    """Return the words that say how to read a graph, as they were given."""
    words = []
    for name, _, _ in _CONTRACT:
        value = getattr(arguments, name)
        if value is not None:
            text = ":".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
            words += [f"--{name.replace('_', '-')}", text]
    words += [] if arguments.convention is None else ["--convention", arguments.convention]
    return [*words, "--repair"] if arguments.repair else words


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how a NIR file is to be read, beside its contract."""
    return {"convention": arguments.convention, "repair": arguments.repair}


def check_output(out: str, *inputs: str | None, option: str = "--out") -> None:
    """Raise InputError if the file to write is one of the files to read."""
    for path in inputs:
        if path is not None and Path(out).resolve() == Path(path).resolve():
            raise InputError(f"{option} {out}: would replace an input; give another name")


def load_calibration(path: str | None) -> Stimuli | EventStimuli | None:
    """Read a data file (images, sequences or events), or return None if none was named."""
    from neurodeploy.network import load_stimuli

    return None if path is None else load_stimuli(path)


def quantities(text: str) -> tuple[Quantity, ...]:
    """Parse ``spikes,v,u,v_pre``."""
    from neurodeploy.network.traces import QUANTITIES

    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in QUANTITIES]
    if unknown:
        listed = ", ".join(QUANTITIES)
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {listed}")
    return names  # type: ignore[return-value]


def existing_folder(text: str) -> Path:
    """Parse the path of a folder that exists."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return path
