"""The commands that exist, in the order in which --help shows them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from neurodeploy.cli import (
    chip_commands,
    explain_command,
    judge_commands,
    model_commands,
    quantize_command,
    robustness_command,
    whole_commands,
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, what it is for, its arguments, and the function behind it."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], int]
    reads_nir: bool = False


COMMANDS: tuple[Command, ...] = (
    Command(
        "demo",
        "train three networks on bundled digits, deploy them, write a report",
        whole_commands.demo_arguments,
        whole_commands.demo,
    ),
    Command(
        "deploy",
        "quantise a NIR model, check it on Lava, judge robustness and cost, write a report",
        whole_commands.deploy_arguments,
        whole_commands.deploy,
        reads_nir=True,
    ),
    Command(
        "train",
        "train one network in Norse on the bundled digits and export it",
        whole_commands.train_arguments,
        whole_commands.train,
    ),
    Command(
        "inspect",
        "show nodes, shapes, contract and findings of a NIR file or NET.h5",
        model_commands.inspect_arguments,
        model_commands.inspect,
        reads_nir=True,
    ),
    Command(
        "quantize",
        "turn a NIR model into the integers of a chip (NET.h5)",
        quantize_command.quantize_arguments,
        quantize_command.quantize,
        reads_nir=True,
    ),
    Command(
        "run",
        "run a model on data and write traces",
        model_commands.run_arguments,
        model_commands.run,
        reads_nir=True,
    ),
    Command(
        "compare",
        "compare two trace files layer by layer",
        judge_commands.compare_arguments,
        judge_commands.compare,
    ),
    Command(
        "verify",
        "run a NET.h5 on the simulator and on Lava: every u, v and spike must be equal",
        judge_commands.verify_arguments,
        judge_commands.verify,
    ),
    Command(
        "explain",
        "find the layer, neuron, step and rounding that changed one decision",
        explain_command.explain_arguments,
        explain_command.explain,
    ),
    Command(
        "robustness",
        "compare robustness before and after quantisation, by the evidence rules",
        robustness_command.robustness_arguments,
        robustness_command.robustness,
        reads_nir=True,
    ),
    Command(
        "cost",
        "count operations and estimate energy and latency per inference",
        judge_commands.cost_arguments,
        judge_commands.cost,
    ),
    Command(
        "report",
        "write one HTML page from one or more result folders",
        judge_commands.report_arguments,
        judge_commands.report,
    ),
    Command(
        "profiles",
        "list hardware profiles, or print every value of one with its source",
        chip_commands.profiles_arguments,
        chip_commands.profiles,
    ),
    Command(
        "lava",
        "install the isolated Lava runtime, or tell its state",
        chip_commands.lava_arguments,
        chip_commands.lava,
    ),
    Command(
        "doctor",
        "check the installation and say what is missing",
        chip_commands.doctor_arguments,
        chip_commands.doctor,
    ),
)
