"""Which class's read-out turned the decision, where no spike before it did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import Traces, decide
from neurodeploy.robustness.explanation.culprit import Culprit, score_culprit, spike_culprit
from neurodeploy.robustness.explanation.hybrid_runs import HybridRuns


def score_unit(runs: HybridRuns) -> float:
    """Return the integers' score that stands for one of the float network's."""
    readout = runs.net.readout
    if readout.kind == "count":
        return 1.0
    start, stop = readout.window or (0, runs.steps)
    # Integers give the sum over the steps where the float network gives the mean.
    steps = stop - start if readout.kind == "mean_v" else 1
    return runs.net.population(readout.population).common_scale * steps


def in_float_units(runs: HybridRuns, run: Traces) -> NDArray[np.float64]:
    """Return the scores [classes] of a run of the integers as the float network counts them."""
    readout = runs.net.readout
    scores = np.asarray(run.scores()[0] / score_unit(runs), np.float64)
    differences = readout.kind == "sum" and readout.window is not None and readout.window[0] > 0
    if readout.kind == "count" or differences or runs.net.score_offset.any():
        return scores
    return scores + runs.net.population(readout.population).origin


def readout_culprit(runs: HybridRuns, wanted: int) -> Culprit:
    """Name the class whose score moved most towards the wrong decision, all spikes being float.

    Only classes that the decision is between are looked at. If the read-out fires and the class's
    own spikes part it, the first of these is named.
    """
    own = runs.fixed_with(runs.float_up_to(len(runs.replaceable)))
    exact, rounded = runs.float_run.scores()[0], in_float_units(runs, own)
    harm = _harm(exact, rounded, wanted, int(decide(own.scores())[0]))
    order = np.argsort(-harm, kind="stable")[: int(np.isfinite(harm).sum())].tolist()
    together = 1
    for together in range(1, len(order) + 1):
        righted = rounded.copy()
        righted[order[:together]] = exact[order[:together]]
        if int(decide(righted[None])[0]) == wanted:
            break
    worst = order[0]
    found = score_culprit(runs, own, worst, alone=together == 1, together=together)
    if found.rounding != "input":
        return found
    # Its own spikes part it: its first that differs, or where that follows others, theirs.
    for parting in _own_spikes(runs, own, worst):
        alone = parting[2] == worst and together == 1
        found = spike_culprit(runs, own, parting, alone=alone, together=together)
        if found.rounding != "input":
            break
    return found


def _harm(
    exact: NDArray[np.float64], rounded: NDArray[np.float64], wanted: int, instead: int
) -> NDArray[np.float64]:
    """Return how far each class's score moved the wrong way; -inf where it plays no part."""
    shift = rounded - exact
    harm = np.full(exact.size, -np.inf)
    if wanted >= 0:
        # The winner and all that are no longer below it.
        playing = rounded >= rounded[wanted]
        harm[playing] = shift[playing]
        harm[wanted] = -shift[wanted]
    else:
        # A tie that one of the tied, or another, now wins.
        tied = exact == exact.max()
        harm[tied] = -shift[tied]
        harm[instead] = shift[instead]
    return harm


def _own_spikes(runs: HybridRuns, own: Traces, neuron: int) -> list[tuple[int, str, int]]:
    """Return (step, population, neuron) of the first spike of ``neuron`` that differs, and of any.

    Empty where none differs.
    """
    name = runs.net.readout.population
    key = f"{name}/spikes"
    if key not in own.records or key not in runs.float_run.records:
        return []
    differs = own.records[key][:, 0] != runs.float_run.records[key][:, 0]
    found = []
    if differs[:, neuron].any():
        found.append((int(differs[:, neuron].argmax()), name, neuron))
    if differs.any():
        step = int(differs.any(axis=1).argmax())
        found.append((step, name, int(differs[step].argmax())))
    return found
