"""The proof of a portable gain: the file, run without gain metadata, fires the same spikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ExportRefusedError, InputError
from neurodeploy.export.gain.file import write_graph
from neurodeploy.export.gain.graph import PORTABLE_KEY
from neurodeploy.export.gain.portable import Measured, PortableGain, to_portable_gain
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.export.gain.stimulus import portable_stimulus, value_sequence
from neurodeploy.files import replacing
from neurodeploy.findings import Result
from neurodeploy.graph import Graph, read
from neurodeploy.lowering import lower
from neurodeploy.network import Network, Traces
from neurodeploy.simulate import run_float

#: Largest difference of a read-out, as a share of the largest one; float64 sums differ by less.
SCORE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class PortableCheck:
    """What the proof of a portable file compared and measured.

    Parameters
    ----------
    samples, steps, compared : int
        Inputs, steps of each, and spike entries of all neurons of the graph before. None differs
        from the graph with the gain used, or there would be no file.
    score_difference : float
        Largest difference of the read-out, as a share of the largest one.
    float32_flips : int
        Entries in which a float32 run of the file differs from its float64 run.
    rounded_gain_error : mapping of node to float
        Share of a DLIF node's spikes that the rounding of its gain changes (0 where unrounded).
    and_neurons, relay_neurons, extra_channels : int
        What the form costs.
    """

    samples: int
    steps: int
    compared: int
    score_difference: float
    float32_flips: int
    rounded_gain_error: Mapping[str, float] = field(default_factory=dict)
    and_neurons: int = 0
    relay_neurons: int = 0
    extra_channels: int = 0


def write_portable_gain(
    graph: Graph,
    path: str | Path,
    form: str,
    values: Any,
    *,
    bits: int = 8,
    steps: int | None = None,
    extra_channels: bool = True,
    binary_input: bool = False,
    unit_r: bool = False,
) -> Result[PortableCheck]:
    """Write ``graph`` with its gain in a portable form, proven on ``values``, or write nothing.

    Parameters
    ----------
    graph, form, bits, extra_channels, binary_input, unit_r
        As for ``to_portable_gain``.
    path : path
        File to write; an existing one is replaced only when the proof holds.
    values : array [B, n] or [T, B, n]
        Stimulus of ``graph``: float values, or codes of its encoder.
    steps : int
        Steps of held images, by default the contract's.

    Raises
    ------
    ExportRefusedError
        If any spike of the file differs from the graph's with the gain used.
    NeurodeployError
        As ``to_portable_gain``.
    """
    options: dict[str, Any] = {
        "extra_channels": extra_channels,
        "binary_input": binary_input,
        "unit_r": unit_r,
    }
    if binary_input and not np.isin(values, (0, 1)).all():
        raise InputError("binary_input: the stimulus holds values other than 0 and 1")
    portable, _ = to_portable_gain(graph, form, bits=bits, **options)
    with replacing(path) as temporary:
        write_graph(temporary, portable)
        check = _check(temporary, portable, graph, values, steps, str(path))
        # A proof with no difference is the measurement that nothing is lost by ignoring metadata.
        measured = Measured(
            check.samples,
            check.steps,
            ignored={gain.name: 0.0 for gain in portable.gains},
            rounded=check.rounded_gain_error,
        )
        portable, findings = to_portable_gain(graph, form, bits=bits, measured=measured, **options)
        write_graph(temporary, portable)
        check = _check(temporary, portable, graph, values, steps, str(path))
    return Result(check, findings)


def check_portable_gain(
    path: str | Path, graph: Graph, values: Any, *, steps: int | None = None
) -> PortableCheck:
    """Prove that a file in a portable form fires the spikes of ``graph`` with the gain used.

    The gain used is rounded again from ``graph``; of the file's metadata only its form, its bits
    and the layout of its input are believed.

    Raises
    ------
    ExportRefusedError
        If anything differs, or the file was changed.
    """
    name = str(path)
    entry = _read_back(Path(path), name).metadata.get(PORTABLE_KEY, {})
    form, bits = entry.get("form"), entry.get("bits")
    if not isinstance(form, str) or not isinstance(bits, int):
        raise ExportRefusedError(f"{name}: refused: says no gain form and bits in its metadata")
    try:
        binary, unit_r = (bool(entry.get(key)) for key in ("binary-input", "unit-r"))
        portable, _ = to_portable_gain(
            graph, form, bits=bits or 8, binary_input=binary, unit_r=unit_r
        )
    except InputError as error:
        raise ExportRefusedError(f"{name}: refused: {error}") from error
    return _check(Path(path), portable, graph, values, steps, name)


def measure_ignored_gain(
    graph: Graph, values: Any, *, steps: int | None = None
) -> dict[str, float]:
    """Return, per DLIF node, the share of spikes that a tool ignoring its gain gets wrong."""
    network = lower(graph).value
    sequence = _flat_sequence(graph, values, steps)
    right = run_float(network, sequence, record=("spikes",))
    wrong = run_float(_with_gains(network, {}), sequence, record=("spikes",))
    gained = [p.name for p in network.populations if p.gain is not None]
    return {name: float((_spikes(right, name) != _spikes(wrong, name)).mean()) for name in gained}


def _check(
    path: Path, portable: PortableGain, graph: Graph, values: Any, steps: int | None, name: str
) -> PortableCheck:
    back = _read_back(path, name)
    sequence = _flat_sequence(graph, values, steps)
    try:
        stimulus = portable_stimulus(sequence, back)
        network = lower(back).value
    except InputError as error:
        text = str(error).replace(str(path), name)
        raise ExportRefusedError(f"{name}: refused: cannot be run: {text}") from error
    gained = [p.name for p in network.populations if p.gain is not None]
    if gained:
        raise ExportRefusedError(f"{name}: refused: {gained} still have a gain in their metadata")
    exact = lower(graph).value
    used = {gain.name: gain.used for gain in portable.gains}
    before = {name: used[now] for name, now in portable.names.items() if now in used}
    wanted = run_float(_with_gains(exact, before), sequence, record=("spikes",))
    found = run_float(network, stimulus, record=("spikes",))
    pairs = [(p.name, portable.names[p.name]) for p in exact.populations if p.fires]
    _compare(name, pairs, wanted, found)
    trained = run_float(exact, sequence, record=("spikes",))
    single = run_float(network, stimulus, record=("spikes",), dtype="float32")
    sizes = {new: _spikes(wanted, old).shape[-1] for old, new in pairs}
    flips = {
        new: (_spikes(single, new) != _spikes(found, new))[..., :size].sum()
        for new, size in sizes.items()
    }
    return PortableCheck(
        samples=sequence.shape[1],
        steps=sequence.shape[0],
        compared=sum(_spikes(wanted, old).size for old, _ in pairs),
        score_difference=_score_difference(name, wanted, found),
        float32_flips=int(sum(flips.values())),
        rounded_gain_error={
            portable.names[old]: float((_spikes(wanted, old) != _spikes(trained, old)).mean())
            for old in before
        },
        and_neurons=portable.and_neurons,
        relay_neurons=portable.relay_neurons,
        extra_channels=portable.layout.extra_channels,
    )


def _read_back(path: Path, name: str) -> Graph:
    try:
        graph: Graph = read(path).value
    except InputError as error:
        text = str(error).replace(str(path), name)
        raise ExportRefusedError(f"{name}: refused: cannot be read back: {text}") from error
    return graph


def _flat_sequence(graph: Graph, values: Any, steps: int | None) -> FloatArray:
    shape = tuple(graph.shapes[graph.input_name][1])
    sequence, _ = value_sequence(values, shape, graph.contract, steps)
    return sequence.reshape(*sequence.shape[:2], -1)


def _with_gains(network: Network, gains: Mapping[str, FloatArray]) -> Network:
    """Replace every gain by the one given, or by none."""
    populations = tuple(dataclasses.replace(p, gain=gains.get(p.name)) for p in network.populations)
    return dataclasses.replace(network, populations=populations)


def _spikes(traces: Traces, name: str) -> NDArray[Any]:
    return np.asarray(traces.records[f"{name}/spikes"])


def _compare(name: str, pairs: list[tuple[str, str]], wanted: Traces, found: Traces) -> None:
    lines = []
    for old, new in pairs:
        if f"{new}/spikes" not in found.records:
            lines.append(f"{new}: is missing")
            continue
        left = _spikes(wanted, old)
        right = _spikes(found, new)[..., : left.shape[-1]]  # Behind them are relays.
        if left.shape != right.shape:
            lines.append(f"{new}: {right.shape} spikes in place of {left.shape}")
            continue
        wrong = np.argwhere(left != right)
        if len(wrong):
            t, sample, neuron = (int(i) for i in wrong[0])
            lines.append(
                f"{new}: {len(wrong)} of {left.size} spikes differ, first at step {t}, sample "
                f"{sample}, neuron {neuron}"
            )
    if lines:
        raise ExportRefusedError(
            f"{name}: refused: the portable graph does not fire like the graph it was made from: "
            f"{'; '.join(lines)}"
        )


def _score_difference(name: str, wanted: Traces, found: Traces) -> float:
    left, right = np.asarray(wanted.output, np.float64), np.asarray(found.output, np.float64)
    difference = float("inf")
    if left.shape == right.shape:
        largest = max(float(np.abs(left).max()), np.finfo(np.float64).tiny)
        difference = float(np.abs(left - right).max()) / largest
    if not difference <= SCORE_TOLERANCE:
        raise ExportRefusedError(
            f"{name}: refused: the read-out differs by {difference:.1e} of its largest value "
            f"(limit {SCORE_TOLERANCE:.0e})"
        )
    return difference
