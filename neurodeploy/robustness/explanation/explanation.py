"""Why the integers decide otherwise: the layer, the neuron, the step and the rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.network import FixedPointNetwork, Network, Traces, decide
from neurodeploy.quantization.plain import reset_origin
from neurodeploy.robustness.explanation.hybrid_runs import HybridRuns, Trains, require_pair
from neurodeploy.robustness.explanation.neuron_sides import fixed_side, float_side
from neurodeploy.robustness.explanation.rounding_ladder import RUNGS, Ladder, climb

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
class NeuronTrace:
    """Membranes [T] before reset, as each network has them, and spikes; in membrane units.

    The membrane is measured from where the integer v is 0; ``threshold`` too, None if it never
    fires. The integers receive the float network's spikes.
    """

    membrane_float: NDArray[np.float64]
    membrane_fixed: NDArray[np.float64]
    spikes_float: NDArray[np.bool_]
    spikes_fixed: NDArray[np.bool_]
    threshold: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the trace as JSON types."""
        found: dict[str, Any] = {"threshold": self.threshold}
        for side in ("float", "fixed"):
            found[f"membrane_{side}"] = getattr(self, f"membrane_{side}").tolist()
            found[f"spikes_{side}"] = getattr(self, f"spikes_{side}").astype(int).tolist()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Culprit:
    """One neuron whose roundings part the two networks at ``step`` (counted from 0).

    ``alone``: setting this neuron right is enough to decide as the float network does. Otherwise
    it is the last of ``together`` neurons, taken in the order in which they part, that have to be
    set right; in a population that feeds back, the last whose own roundings part it. ``ladder``
    says which rounding did it; ``rounding`` is the largest in that direction.
    For a read-out the margin is its membrane, and ``step`` the last one that is read.
    """

    population: str
    neuron: int
    step: int
    fires_in: Literal["float", "fixed", ""]
    alone: bool
    together: int
    ladder: Ladder
    trace: NeuronTrace

    @property
    def rounding(self) -> str:
        """The rung of the ladder that moved the margin most."""
        return self.ladder.largest(self.step)


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
            "scores_float": self.scores_float.tolist(),
            "scores_fixed": self.scores_fixed.tolist(),
            "stages": [
                {name: getattr(line, name) for name in StageLine.__slots__} for line in self.stages
            ],
        }
        c = self.culprit
        if c is not None:
            found["culprit"] = {
                "population": c.population,
                "neuron": c.neuron,
                "step": c.step,
                "fires_in": c.fires_in,
                "alone": c.alone,
                "together": c.together,
                "rounding": c.rounding,
                "margin_float": float(c.ladder.float_margin[c.step]),
                "margin_fixed": float(c.ladder.fixed_margin[c.step]),
                "contributions": {r: float(c.ladder.contributions[r][c.step]) for r in RUNGS},
                "trace": c.trace.as_dict(),
            }
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
    itself (``rounding_ladder``).

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
        stages=stages,
        culprit=culprit,
        scores_float=np.asarray(scores_float, np.float64),
        scores_fixed=np.asarray(scores_fixed, np.float64) / _score_unit(net, runs.steps),
    )


def _score_unit(net: FixedPointNetwork, steps: int) -> float:
    """Return the integers' score that stands for one of the float network's."""
    kind = net.readout.kind
    if kind == "count":
        return 1.0
    start, stop = net.readout.window or (0, steps)
    # Integers give the sum over the steps where the float network gives the mean.
    return net.population(net.readout.population).scale * (stop - start if kind == "mean_v" else 1)


def _search(runs: HybridRuns, wanted: int, found: int) -> tuple[Kind, Culprit | None]:
    if wanted == found:
        return "none", _first_difference(runs)
    hybrids = [runs.float_up_to(k) for k in range(1, len(runs.replaceable) + 1)]
    for k, trains in enumerate(hybrids, start=1):
        if int(runs.decisions([trains])[0]) == wanted:
            return "spike", _among_neurons(runs, k, wanted)
    return "readout", _readout_culprit(runs, wanted, found)


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


def _own_trains(runs: HybridRuns, k: int) -> Trains:
    """Return what the integers of stage ``k`` (from 1) send on the float spikes before it."""
    own = runs.fixed_with(runs.float_up_to(k - 1))
    return {name: own.records[f"{name}/spikes"][:, 0] for name in runs.replaceable[k - 1]}


def _among_neurons(runs: HybridRuns, k: int, wanted: int) -> Culprit:
    """Set the neurons of stage ``k`` right one after the other until the decision returns."""
    stage, own = runs.replaceable[k - 1], _own_trains(runs, k)
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
        culprit = _culprit(runs, k, parted, alone=alone, together=m + 1)
        # A neuron may only follow others of its own population: then the one that led it is named.
        if culprit.rounding != "input":
            break
    return culprit


def _first_difference(runs: HybridRuns) -> Culprit | None:
    """Return the first population's first spike that its own rounding changes, if there is one."""
    for k, stage in enumerate(runs.replaceable, start=1):
        parting = _differing(_own_trains(runs, k), runs.float_trains, stage)
        if parting:
            return _culprit(runs, k, parting[0], alone=False, together=0)
    return None


def _culprit(
    runs: HybridRuns, k: int, where: tuple[int, str, int], *, alone: bool, together: int
) -> Culprit:
    step, name, neuron = where
    own = runs.fixed_with(runs.float_up_to(k - 1))
    ladder, trace = _neuron(runs, own, name, neuron)
    fires: Literal["float", "fixed"] = "float" if runs.float_trains[name][step, neuron] else "fixed"
    return Culprit(name, neuron, step, fires, alone, together, ladder, trace)


def _readout_culprit(runs: HybridRuns, wanted: int, instead: int) -> Culprit:
    """Blame the class whose read-out moved most, all spikes before it being float."""
    own = runs.fixed_with(runs.float_up_to(len(runs.replaceable)))
    name = runs.net.readout.population
    stop = (runs.net.readout.window or (0, runs.steps))[1]
    candidates = [c for c in (wanted, instead) if c >= 0] or list(
        range(runs.net.population(name).size)
    )
    found = {c: _neuron(runs, own, name, c) for c in candidates}

    def moved(c: int) -> float:
        ladder, _ = found[c]
        return abs(float(ladder.fixed_margin[stop - 1] - ladder.float_margin[stop - 1]))

    worst = max(candidates, key=moved)
    return Culprit(name, worst, stop - 1, "", True, 1, *found[worst])


def _neuron(runs: HybridRuns, own: Traces, name: str, neuron: int) -> tuple[Ladder, NeuronTrace]:
    """Return ladder and trace of a neuron; ``own`` is the integers' run on float spikes."""
    exact = float_side(runs.network, runs.net, name, neuron)
    origin = float(reset_origin(runs.network.population(name))[neuron])
    v_float = runs.float_run.records[f"{name}/v_pre"][:, 0, neuron] - origin
    v_fixed = own.records[f"{name}/v_pre"][:, 0, neuron] / runs.net.population(name).scale
    fired = [_fired(run, name, neuron, runs.steps) for run in (runs.float_run, own)]
    ladder = climb(
        exact,
        fixed_side(runs.net, name, neuron),
        runs.sent(runs.float_run),
        runs.sent(own),
        fired[1],
        v_fixed,
    )
    threshold = exact.distance if np.isfinite(exact.distance) else None
    return ladder, NeuronTrace(v_float, v_fixed, fired[0], fired[1], threshold)


def _fired(run: Traces, name: str, neuron: int, steps: int) -> NDArray[np.bool_]:
    spikes = run.records.get(f"{name}/spikes")
    return np.zeros(steps, np.bool_) if spikes is None else spikes[:, 0, neuron] > 0
