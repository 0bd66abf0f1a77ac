"""The proof of an exported NIR file: read back and run against the modules it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import ExportRefusedError, InputError
from neurodeploy.export.gain import PortableCheck
from neurodeploy.export.nir.plan import Plan
from neurodeploy.export.nir.run import Recording, record_run
from neurodeploy.export.nir.settle import TraceNode
from neurodeploy.graph import read, survey
from neurodeploy.lowering import lower
from neurodeploy.network import Network, Population, Traces
from neurodeploy.simulate import run_float

FloatArray: TypeAlias = NDArray[np.float64]

#: Largest distance from the threshold, as a share of it, that float32 rounding may explain.
FLOAT32_MARGIN = 1e-5
#: Largest difference of a value, as a share of the largest one; float64 sums differ by less.
SCORE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """What the proof of a file compared.

    Parameters
    ----------
    samples, steps : int
        Inputs and steps of each.
    compared : int
        Spike entries (steps times samples times neurons, all layers).
    mismatches : int
        Spikes that differ in float64; 0, or there would be no file.
    score_difference : float
        Largest difference of a read-out in float64, as a share of the largest read-out.
    float32_flips : int
        Entries in which the model differs between float32 and float64.
    first_flip_margin : float
        Largest ``|v - v_threshold| / |v_threshold|`` of a first flip (of its sample: earliest step,
        lowest layer at that step); 0 without flips.
    mean_gain_error : mapping of node name to float
        Per DLIF node the share of its spike entries that a tool ignoring ``dlif_gain`` gets wrong.
    value_difference : float
        Largest difference of a membrane that does not spike, as a share of the largest value.
    typed : bool
        Whether ``nir.read`` accepts the file with its type checks, which know square kernels
        without groups only.
    silent : tuple of str
        Spiking nodes that never fired on the sample: of them the proof says little.
    portable : PortableCheck, optional
        The proof of the file in a portable form of the gain against the one with metadata, which
        the other fields are about.
    """

    samples: int
    steps: int
    compared: int
    mismatches: int
    score_difference: float
    float32_flips: int
    first_flip_margin: float
    mean_gain_error: Mapping[str, float] = field(default_factory=dict)
    value_difference: float = 0.0
    typed: bool = True
    silent: tuple[str, ...] = ()
    portable: PortableCheck | None = None


def check_file(plan: Plan, values: FloatArray, path: Path, name: str) -> ExportCheck:
    """Prove that the NIR file at ``path`` reproduces the plan's model on ``values``.

    The file is read by ``nir.read`` and by ``neurodeploy.graph``, lowered and run in float64.
    Every spike of every cell must equal that of the model's own modules in float64, every other
    membrane and the read-out must agree to rounding, and every first float32 flip must be within
    rounding of the threshold. How the file came about plays no part.

    Raises
    ------
    ExportRefusedError
        If anything differs.
    """
    typed, network = _read_back(path, name)
    _require_contract(plan, network, name)
    stimulus = plan.stimulus(values)
    traces = run_float(network, stimulus, steps=plan.steps, record=("spikes", "v", "v_pre"))
    wanted = record_run(plan.subject, values, plan.way, plan.asked_steps, torch.float64)
    spiking = [p for p in network.populations if p.kind == "lif"]
    nodes = _spiking_nodes(plan, spiking, name)
    spikes = {p: _recorded(plan, nodes[p], wanted, name) > 0 for p in nodes}
    _compare_spikes(name, {p.name: p for p in spiking}, traces, spikes)
    away = _compare_values(plan, name, traces, wanted)
    difference = _compare_scores(plan, name, traces, wanted)
    single = record_run(plan.subject, values, plan.way, plan.asked_steps, torch.float32)
    flips = {p: _recorded(plan, nodes[p], single, name) > 0 for p in nodes}
    count, margin = _float32_flips(name, spiking, traces, flips)
    return ExportCheck(
        samples=next(iter(spikes.values())).shape[1],
        steps=plan.steps,
        compared=sum(s.size for s in spikes.values()),
        mismatches=0,
        score_difference=difference,
        float32_flips=count,
        first_flip_margin=margin,
        mean_gain_error=_mean_gain_error(network, stimulus, plan.steps, traces),
        value_difference=away,
        typed=typed,
        silent=tuple(node for node, fired in spikes.items() if not fired.any()),
    )


def _read_back(path: Path, name: str) -> tuple[bool, Network]:
    typed = True
    try:
        nir.read(path)
    except Exception:
        typed = False
        try:
            nir.read(path, type_check=False)
        except Exception as error:
            # nir checks with bare asserts and ValueErrors; whatever it says, the file is unusable.
            raise ExportRefusedError(
                f"{name}: refused: nir.read does not accept it: {error}"
            ) from error
    try:
        network: Network = lower(read(path).value).value
    except InputError as error:
        text = str(error).replace(str(path), name)
        raise ExportRefusedError(f"{name}: refused: cannot be read back: {text}") from error
    return typed, network


def _require_contract(plan: Plan, network: Network, name: str) -> None:
    encoder = network.encoder
    if (network.steps, encoder) != (plan.steps, plan.encoder):
        raise ExportRefusedError(
            f"{name}: refused: the file says {network.steps} steps and {encoder}, "
            f"the model runs with {plan.steps} steps and {plan.encoder}"
        )


def _spiking_nodes(plan: Plan, spiking: list[Population], name: str) -> dict[str, TraceNode]:
    nodes = {
        node: plan.network.nodes[number]
        for node, number in plan.built.neurons.items()
        if not plan.kind(node).endswith("LI")
    }
    if {p.name for p in spiking} != set(nodes):
        raise ExportRefusedError(
            f"{name}: refused: the file has {len(spiking)} spiking layers, the model {len(nodes)}"
            f" ({', '.join(sorted(p.name for p in spiking))}; {', '.join(sorted(nodes))})"
        )
    return nodes


def _recorded(plan: Plan, node: TraceNode, recording: Recording, name: str) -> FloatArray:
    """Return what a cell put out, [T, B, N]."""
    calls = recording.calls.get(node.path, [])
    if not node.calls or max(node.calls) >= len(calls):
        raise ExportRefusedError(
            f"{name}: refused: {node.path} was called {len(calls)} times on this sample, and not "
            "when it was traced"
        )
    mine = [calls[call] for call in node.calls]
    whole = np.concatenate(mine) if node.lead == 2 else np.stack(mine)
    return whole.reshape(*whole.shape[:2], -1)


def _spikes(traces: Traces, name: str) -> NDArray[np.bool_]:
    spikes: NDArray[np.bool_] = np.asarray(traces.records[f"{name}/spikes"]) > 0
    return spikes


def _compare_spikes(
    name: str,
    populations: Mapping[str, Population],
    traces: Traces,
    wanted: Mapping[str, NDArray[np.bool_]],
) -> None:
    lines = []
    for node, expected in wanted.items():
        found = _spikes(traces, node)
        if found.shape != expected.shape:
            lines.append(f"{node}: shape {found.shape}, the model {expected.shape}")
            continue
        wrong = np.argwhere(found != expected)
        if len(wrong):
            t, sample, neuron = (int(i) for i in wrong[0])
            v = float(traces.records[f"{node}/v_pre"][t, sample, neuron])
            away = v - float(populations[node].v_threshold[neuron])
            lines.append(
                f"{node}: {len(wrong)} of {expected.size} spikes differ, first at step "
                f"{t}, sample {sample}, neuron {neuron} (v - v_threshold {away:.2g} in the file)"
            )
    if lines:
        raise ExportRefusedError(
            f"{name}: refused: the file does not reproduce the model in float64: "
            f"{'; '.join(lines)}. Check dt and that no module does more than its parameters say"
        )


def _compare_values(plan: Plan, name: str, traces: Traces, wanted: Recording) -> float:
    """Compare every membrane that does not spike; return the largest relative difference."""
    largest = 0.0
    for node, number in plan.built.neurons.items():
        neuron = plan.network.nodes[number].neuron
        if neuron is None or not neuron.kind.endswith("LI"):
            continue
        expected = _recorded(plan, plan.network.nodes[number], wanted, name)
        key = f"{node}/v"
        found = np.asarray(traces.records[key]) if key in traces.records else np.zeros(0)
        difference = _difference(
            found + neuron.origin.reshape(-1) if found.size else found, expected
        )
        if not difference <= SCORE_TOLERANCE:
            raise ExportRefusedError(
                f"{name}: refused: the membrane of {node} differs by {difference:.1e} of its "
                f"largest value (limit {SCORE_TOLERANCE:.0e})"
            )
        largest = max(largest, difference)
    return largest


def _difference(found: FloatArray, wanted: FloatArray) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    largest = max(float(np.abs(wanted).max()), float(np.finfo(np.float64).tiny))
    return float(np.abs(found - wanted).max()) / largest


def _compare_scores(plan: Plan, name: str, traces: Traces, wanted: Recording) -> float:
    found = plan.scores_as_the_model_gives_them(np.asarray(traces.scores(), dtype=np.float64))
    expected = plan.scores_of_the_model(wanted.output)
    difference = _difference(
        found.reshape(expected.shape) if found.size == expected.size else found, expected
    )
    if not difference <= SCORE_TOLERANCE:
        raise ExportRefusedError(
            f"{name}: refused: the read-out differs by {difference:.1e} of its largest value "
            f"(limit {SCORE_TOLERANCE:.0e}); all spikes are equal, so the fault lies "
            "in what follows the last spiking cell"
        )
    return difference


def _float32_flips(
    name: str,
    spiking: list[Population],
    traces: Traces,
    single: Mapping[str, NDArray[np.bool_]],
) -> tuple[int, float]:
    """Count spikes that differ in float32; return the count and the largest first-flip margin."""
    flipped = [_spikes(traces, p.name) != single[p.name] for p in spiking]
    largest = 0.0
    # Once a sample has flipped anywhere, its later flips are consequences.
    clean = np.ones(flipped[0].shape[1], dtype=np.bool_)
    for t in range(flipped[0].shape[0]):
        for population, flips in zip(spiking, flipped, strict=True):
            first = flips[t] & clean[:, None]
            if not first.any():
                continue
            v = np.asarray(traces.records[f"{population.name}/v_pre"])[t]
            theta = np.broadcast_to(population.v_threshold, v.shape)
            scale = np.where(theta == 0, 1.0, np.abs(theta))
            margin = float((np.abs(v - theta) / scale)[first].max())
            if margin >= FLOAT32_MARGIN:
                raise ExportRefusedError(
                    f"{name}: refused: float32 and float64 disagree on a spike of "
                    f"{population.name} at step {t} although the membrane is {margin:.1e} of the "
                    f"threshold away from it (limit {FLOAT32_MARGIN:.0e}); the model does "
                    "something in one precision that it does not do in the other"
                )
            largest = max(largest, margin)
            clean &= ~first.any(axis=1)
    return sum(int(f.sum()) for f in flipped), largest


def _mean_gain_error(
    network: Network, stimulus: NDArray[Any], steps: int, traces: Traces
) -> dict[str, float]:
    """Return the share of wrong spikes per DLIF node where every gain is ignored."""
    dlif = [p for p in network.populations if p.gain is not None]
    if not dlif:
        return {}
    without = dataclasses.replace(
        network,
        populations=tuple(dataclasses.replace(p, gain=None) for p in network.populations),
    )
    approximate = run_float(without, stimulus, steps=steps, record=("spikes",))
    return {
        p.name: float((_spikes(approximate, p.name) != _spikes(traces, p.name)).mean())
        for p in dlif
    }


def stated_dt(path: Path) -> float | None:
    """Return the dt of a file's contract, or None if it cannot be read."""
    # The proof reads the file again and says what is wrong with it.
    contract = survey(path).contract
    return None if contract is None else contract.dt
