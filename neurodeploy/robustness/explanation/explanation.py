"""Why the integers decide otherwise: the layer, the neuron, the step and the rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.network import FixedPointNetwork, Network, Readout, Traces, decide
from neurodeploy.quantization.gain_remapping import as_built
from neurodeploy.robustness.explanation.culprit import Culprit, spike_culprit
from neurodeploy.robustness.explanation.hybrid_runs import HybridRuns, Trains, require_pair
from neurodeploy.robustness.explanation.readout_search import in_float_units, readout_culprit

Kind = Literal["spike", "readout", "none"]


@dataclass(frozen=True, slots=True)
class StageLine:
    """One population: how many of its spikes differ, and what is decided if all before is float.

    ``differing`` counts entries [T, N] that differ between the float run and the integers fed with
    the float network's spikes: what this population's own rounding changed. ``spread`` counts those
    that differ between the two whole runs. ``decision`` is that of the hybrid whose populations up
    to this one are float; -1 is a tie.
    """

    population: str
    differing: int
    spread: int
    entries: int
    decision: int


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What ``explain`` found on one sample.

    ``kind``: whether a spike, the read-out's own sums, or nothing changed the decision. Where
    nothing did, ``culprit`` is the first spike that differs, or None if none does.
    """

    label: int | None
    decision_float: int
    decision_fixed: int
    kind: Kind
    readout: Readout
    stages: tuple[StageLine, ...]
    culprit: Culprit | None
    scores_float: NDArray[np.float64]
    scores_fixed: NDArray[np.float64]

    @property
    def flipped(self) -> bool:
        """Whether the two networks decide differently."""
        return self.decision_float != self.decision_fixed

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as JSON types."""
        found: dict[str, Any] = {
            "label": self.label,
            "decision_float": self.decision_float,
            "decision_fixed": self.decision_fixed,
            "flipped": self.flipped,
            "kind": self.kind,
            "readout": self.readout.as_dict(),
            "scores_float": self.scores_float.tolist(),
            "scores_fixed": self.scores_fixed.tolist(),
            "stages": [
                {name: getattr(line, name) for name in StageLine.__slots__} for line in self.stages
            ],
        }
        if self.culprit is not None:
            found["culprit"] = self.culprit.as_dict()
        return found


def explain(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    label: int | None = None,
) -> Explanation:
    """Find where one sample's decision, or else its first spike, departs from the float network.

    Populations are set right one after the other, first to last: float spikes take the place of
    the integers'. The first population with which the float decision returns holds the cause.
    Within it, neurons are set right in the order in which they first differ, until the decision
    returns; the last of them is named, at the first step in which it differs (if it differs only
    because neurons of its own population do, the last before it that differs by itself). Up to that
    step both networks have the same history, so that each parameter's rounding can be exchanged by
    itself (``rounding_ladder``). Where no spike before it turns the decision, the class of the
    read-out is named whose score moved most, with the step that its read-out takes.

    Parameters
    ----------
    network : Network
        Composed float network.
    net : FixedPointNetwork
        What was quantised from it.
    codes : int array [n_input] (held) or [T, n_input]
    label : int or None
        True class; only passed on.

    Raises
    ------
    ShapeError, InputError
        If the codes do not fit, or the networks do not belong together.
    """
    codes = np.asarray(codes)
    if codes.ndim not in (1, 2) or codes.shape[-1] != net.n_input:
        raise ShapeError(
            f"explain: codes have shape {codes.shape}; one sample is [{net.n_input}] or "
            f"[T, {net.n_input}]"
        )
    network = as_built(network, net)
    require_pair(network, net)
    runs = HybridRuns(network, net, codes)
    scores_float, scores_fixed = runs.float_run.scores()[0], runs.fixed_run.scores()[0]
    wanted, found = int(decide(scores_float[None])[0]), int(decide(scores_fixed[None])[0])
    stages = _stage_lines(runs)
    kind, culprit = _search(runs, wanted, found)
    return Explanation(
        label=label,
        decision_float=wanted,
        decision_fixed=found,
        kind=kind,
        readout=net.readout,
        stages=stages,
        culprit=culprit,
        scores_float=np.asarray(scores_float, np.float64),
        scores_fixed=in_float_units(runs, runs.fixed_run),
    )


def _search(runs: HybridRuns, wanted: int, found: int) -> tuple[Kind, Culprit | None]:
    if wanted == found:
        return "none", _first_difference(runs)
    hybrids = [runs.float_up_to(k) for k in range(1, len(runs.replaceable) + 1)]
    for k, trains in enumerate(hybrids, start=1):
        if int(runs.decisions([trains])[0]) == wanted:
            return "spike", _among_neurons(runs, k, wanted)
    culprit = readout_culprit(runs, wanted)
    return ("spike" if culprit.fires_in else "readout"), culprit


def _stage_lines(runs: HybridRuns) -> tuple[StageLine, ...]:
    lines = []
    for k, stage in enumerate(runs.replaceable):
        own = runs.fixed_with(runs.float_up_to(k))
        decision = int(runs.decisions([runs.float_up_to(k + 1)])[0])
        for name in stage:
            key, exact = f"{name}/spikes", runs.float_trains[name]
            lines.append(
                StageLine(
                    population=name,
                    differing=int((own.records[key][:, 0] != exact).sum()),
                    spread=int((runs.fixed_run.records[key][:, 0] != exact).sum()),
                    entries=exact.size,
                    decision=decision,
                )
            )
    return tuple(lines)


def _differing(own: Trains, exact: Trains, stage: tuple[str, ...]) -> list[tuple[int, str, int]]:
    """Return (first differing step, population, neuron) of each neuron, by step."""
    order = {name: i for i, name in enumerate(stage)}
    found = []
    for name in stage:
        differs = own[name] != exact[name]
        for neuron in np.flatnonzero(differs.any(axis=0)).tolist():
            found.append((int(differs[:, neuron].argmax()), name, neuron))
    return sorted(found, key=lambda item: (item[0], order[item[1]], item[2]))


def _trains(run: Traces, stage: tuple[str, ...]) -> Trains:
    return {name: run.records[f"{name}/spikes"][:, 0] for name in stage}


def _among_neurons(runs: HybridRuns, k: int, wanted: int) -> Culprit:
    """Set the neurons of stage ``k`` right one after the other until the decision returns."""
    stage, run = runs.replaceable[k - 1], runs.fixed_with(runs.float_up_to(k - 1))
    own = _trains(run, stage)
    parting = _differing(own, runs.float_trains, stage)
    before = runs.float_up_to(k - 1)

    def righted(some: list[tuple[int, str, int]]) -> Trains:
        trains = {name: own[name].copy() for name in stage}
        for _, name, neuron in some:
            trains[name][:, neuron] = runs.float_trains[name][:, neuron]
        return {**before, **trains}

    decided = runs.decisions([righted(parting[: m + 1]) for m in range(len(parting))])
    m = int(np.flatnonzero(decided == wanted)[0])
    for parted in reversed(parting[: m + 1]):
        alone = int(runs.decisions([righted([parted])])[0]) == wanted
        together = 1 if alone else m + 1
        culprit = spike_culprit(runs, run, parted, alone=alone, together=together)
        # A neuron may only follow others of its own population: then the one that led it is named.
        if culprit.rounding != "input":
            break
    return culprit


def _first_difference(runs: HybridRuns) -> Culprit | None:
    """Return the first population's first spike that its own rounding changes, if there is one."""
    for k, stage in enumerate(runs.replaceable, start=1):
        own = runs.fixed_with(runs.float_up_to(k - 1))
        parting = _differing(_trains(own, stage), runs.float_trains, stage)
        if parting:
            return spike_culprit(runs, own, parting[0], alone=False, together=0)
    return None
