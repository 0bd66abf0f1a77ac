"""The neuron that is named: where it parts, which rounding did it, and its membrane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import Traces
from neurodeploy.quantization.plain import reset_origin
from neurodeploy.robustness.explanation.hybrid_runs import HybridRuns
from neurodeploy.robustness.explanation.neuron_sides import NeuronSide, fixed_side, float_side
from neurodeploy.robustness.explanation.rounding_ladder import RUNGS, Ladder, Shift, climb


@dataclass(frozen=True, slots=True, eq=False)
class NeuronTrace:
    """Membranes [T] as each network has them, and spikes; in membrane units.

    The membrane is the one before each reset, of a read-out by its membrane the one after it. It is
    measured from where the integer v is 0; ``threshold`` too, None if it never fires. The integers
    receive the float network's spikes.
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
    the decision returns with the first ``together`` neurons, in the order in which they part, and
    it is the last of them; in a population that feeds back, the last whose own roundings part it.
    ``shift`` is how far its margin (v minus threshold) moved at ``step``, rounding by rounding.

    Of a read-out by its membrane no spike is named (``fires_in`` is empty): ``shift`` is that of
    its score, and ``step`` as ``Ladder.score`` says.
    """

    population: str
    neuron: int
    fires_in: Literal["float", "fixed", ""]
    alone: bool
    together: int
    ladder: Ladder
    shift: Shift
    trace: NeuronTrace

    @property
    def step(self) -> int:
        """The step of the integers."""
        return self.shift.step

    @property
    def rounding(self) -> str:
        """The rung of the ladder that moved it most."""
        return self.shift.rounding

    def as_dict(self) -> dict[str, Any]:
        """Return the neuron as JSON types."""
        return {
            "population": self.population,
            "neuron": self.neuron,
            "step": self.step,
            "step_float": self.shift.step_float,
            "fires_in": self.fires_in,
            "alone": self.alone,
            "together": self.together,
            "rounding": self.rounding,
            "margin_float": self.shift.before,
            "margin_fixed": self.shift.after,
            "contributions": {rung: self.shift.contributions[rung] for rung in RUNGS},
            "trace": self.trace.as_dict(),
        }


def spike_culprit(
    runs: HybridRuns, own: Traces, where: tuple[int, str, int], *, alone: bool, together: int
) -> Culprit:
    """Return the neuron that parts at ``where`` (step, population, neuron).

    ``own`` is the integers' run on float spikes.
    """
    step, name, neuron = where
    exact, rounded = _sides(runs, name, neuron)
    trace = _trace(runs, own, name, neuron, "v_pre", exact.distance)
    limit = rounded.distance if np.isfinite(rounded.distance) else 0.0
    # Up to the step that is looked at both have the same resets.
    fired = (trace.spikes_fixed, trace.spikes_fixed)
    sent = (runs.sent(runs.float_run), runs.sent(own))
    curve = trace.membrane_fixed - limit
    ladder = climb((exact, rounded), sent, fired, curve, NeuronSide.margin)
    fires: Literal["float", "fixed"] = "float" if trace.spikes_float[step] else "fixed"
    return Culprit(name, neuron, fires, alone, together, ladder, ladder.at(step), trace)


def score_culprit(
    runs: HybridRuns, own: Traces, neuron: int, *, alone: bool, together: int
) -> Culprit:
    """Return class ``neuron`` of a read-out by its membrane, with the shift of its score."""
    name = runs.net.readout.population
    exact, rounded = _sides(runs, name, neuron)
    trace = _trace(runs, own, name, neuron, "v", exact.distance)
    fired = (trace.spikes_float, trace.spikes_fixed)
    sent = (runs.sent(runs.float_run), runs.sent(own))
    sides = (exact, rounded)
    ladder = climb(sides, sent, fired, trace.membrane_fixed, NeuronSide.after_reset)
    origin = float(reset_origin(runs.network.population(name))[neuron])
    shift = ladder.score(runs.net.readout, origin)
    return Culprit(name, neuron, "", alone, together, ladder, shift, trace)


def _sides(runs: HybridRuns, name: str, neuron: int) -> tuple[NeuronSide, NeuronSide]:
    return float_side(runs.network, runs.net, name, neuron), fixed_side(runs.net, name, neuron)


def _trace(
    runs: HybridRuns, own: Traces, name: str, neuron: int, quantity: str, distance: float
) -> NeuronTrace:
    key = f"{name}/{quantity}"
    origin = float(reset_origin(runs.network.population(name))[neuron])
    return NeuronTrace(
        membrane_float=runs.float_run.records[key][:, 0, neuron] - origin,
        membrane_fixed=own.records[key][:, 0, neuron] / runs.net.population(name).scales[neuron],
        spikes_float=_fired(runs.float_run, name, neuron, runs.steps),
        spikes_fixed=_fired(own, name, neuron, runs.steps),
        threshold=distance if np.isfinite(distance) else None,
    )


def _fired(run: Traces, name: str, neuron: int, steps: int) -> NDArray[np.bool_]:
    spikes = run.records.get(f"{name}/spikes")
    return np.zeros(steps, np.bool_) if spikes is None else spikes[:, 0, neuron] > 0
