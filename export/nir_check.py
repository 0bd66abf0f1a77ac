"""The proof of an exported NIR file: read back and run against the modules it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import ExportRefusedError, InputError
from neurodeploy.export.nir_reference import ReferenceRun, run_reference
from neurodeploy.graph import read
from neurodeploy.lowering import lower
from neurodeploy.network import ConstantEncoder, Network, Population, Traces
from neurodeploy.simulate import run_float

#: Largest distance from the threshold, as a share of it, that float32 rounding may explain.
FLOAT32_MARGIN = 1e-5
#: Largest difference of a read-out, as a share of the largest one; float64 sums differ by less.
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
    """

    samples: int
    steps: int
    compared: int
    mismatches: int
    score_difference: float
    float32_flips: int
    first_flip_margin: float
    mean_gain_error: Mapping[str, float] = field(default_factory=dict)


def check_export(
    model: torch.nn.Module,
    codes: NDArray[np.int32],
    path: str | Path,
    *,
    steps: int,
    encoder: ConstantEncoder,
    name: str | None = None,
) -> ExportCheck:
    """Prove that the NIR file at ``path`` reproduces ``model`` on ``codes``.

    The file is accepted by ``nir.read`` with its type checks, read by ``neurodeploy.graph``,
    lowered and run in float64. Every spike of every layer must equal that of the model's own
    modules in float64, and every first float32 flip must be within rounding of the threshold.

    Parameters
    ----------
    model : torch.nn.Module
        As for ``to_nir``.
    codes : int array [B, n] or [T, B, n]
        Input codes.
    path : path
        The file.
    steps, encoder
        Steps per sample and the meaning of the codes. A model does not say all of this, and a
        file that says something else would pass on its own terms.
    name : str
        What messages call the file, if not ``path``.

    Raises
    ------
    ExportRefusedError
        If anything differs.
    """
    name = str(path) if name is None else name
    network = _read_back(Path(path), name)
    if (network.steps, network.encoder) != (steps, encoder):
        raise ExportRefusedError(
            f"{name}: refused: the file says {network.steps} steps and {network.encoder}, "
            f"the model runs with {steps} steps and {encoder}"
        )
    traces = run_float(network, codes, record=("spikes", "v_pre"))
    values = network.encoder.decode(codes)
    if values.ndim == 2:
        values = np.broadcast_to(values, (network.steps, *values.shape))
    reference = run_reference(model, values, torch.float64)
    spiking = [p for p in network.populations if p.kind == "lif"]
    _compare_spikes(name, spiking, traces, reference)
    difference = _compare_scores(name, traces, reference)
    flips, margin = _float32_flips(
        name, spiking, traces, run_reference(model, values, torch.float32)
    )
    return ExportCheck(
        samples=values.shape[1],
        steps=values.shape[0],
        compared=sum(s.size for s in reference.spikes),
        mismatches=0,
        score_difference=difference,
        float32_flips=flips,
        first_flip_margin=margin,
        mean_gain_error=_mean_gain_error(network, codes, traces),
    )


def _read_back(path: Path, name: str) -> Network:
    try:
        nir.read(path)
    except Exception as error:
        # nir checks with bare asserts and ValueErrors; whatever it says, the file is unusable.
        raise ExportRefusedError(
            f"{name}: refused: nir.read with type checks does not accept it: {error}"
        ) from error
    try:
        network: Network = lower(read(path).value).value
    except InputError as error:
        text = str(error).replace(str(path), name)
        raise ExportRefusedError(f"{name}: refused: cannot be read back: {text}") from error
    return network


def _spikes(traces: Traces, population: Population) -> NDArray[np.bool_]:
    spikes: NDArray[np.bool_] = np.asarray(traces.records[f"{population.name}/spikes"]) > 0
    return spikes


def _compare_spikes(
    name: str, spiking: list[Population], traces: Traces, reference: ReferenceRun
) -> None:
    if len(spiking) != len(reference.spikes):
        raise ExportRefusedError(
            f"{name}: refused: the file has {len(spiking)} spiking layers, "
            f"the model {len(reference.spikes)}"
        )
    lines = []
    for population, wanted in zip(spiking, reference.spikes, strict=True):
        found = _spikes(traces, population)
        if found.shape != wanted.shape:
            lines.append(f"{population.name}: shape {found.shape}, the model {wanted.shape}")
            continue
        wrong = np.argwhere(found != wanted)
        if len(wrong):
            t, sample, neuron = (int(i) for i in wrong[0])
            v = float(traces.records[f"{population.name}/v_pre"][t, sample, neuron])
            away = v - float(population.v_threshold[neuron])
            lines.append(
                f"{population.name}: {len(wrong)} of {wanted.size} spikes differ, first at step "
                f"{t}, sample {sample}, neuron {neuron} (v - v_threshold {away:.2g} in the file)"
            )
    if lines:
        raise ExportRefusedError(
            f"{name}: refused: the file does not reproduce the model in float64: "
            f"{'; '.join(lines)}. Check dt and that no module does more than its parameters say"
        )


def _compare_scores(name: str, traces: Traces, reference: ReferenceRun) -> float:
    found, wanted = np.asarray(traces.scores(), dtype=np.float64), reference.scores
    largest = max(float(np.abs(wanted).max()), np.finfo(np.float64).tiny)
    difference = float("inf")
    if found.shape == wanted.shape:
        difference = float(np.abs(found - wanted).max()) / largest
    if not difference <= SCORE_TOLERANCE:
        raise ExportRefusedError(
            f"{name}: refused: the read-out differs by {difference:.1e} of its largest value "
            f"(limit {SCORE_TOLERANCE:.0e}); spikes are equal, so the last layer is at fault"
        )
    return difference


def _float32_flips(
    name: str, spiking: list[Population], traces: Traces, single: ReferenceRun
) -> tuple[int, float]:
    """Count spikes that differ in float32; return the count and the largest first-flip margin."""
    flipped = [
        _spikes(traces, population) != spikes
        for population, spikes in zip(spiking, single.spikes, strict=True)
    ]
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
    network: Network, codes: NDArray[np.int32], traces: Traces
) -> dict[str, float]:
    """Return the share of wrong spikes per DLIF node where every gain is ignored."""
    dlif = [p for p in network.populations if p.gain is not None]
    if not dlif:
        return {}
    without = dataclasses.replace(
        network,
        populations=tuple(dataclasses.replace(p, gain=None) for p in network.populations),
    )
    approximate = run_float(without, codes, record=("spikes",))
    return {p.name: float((_spikes(approximate, p) != _spikes(traces, p)).mean()) for p in dlif}
