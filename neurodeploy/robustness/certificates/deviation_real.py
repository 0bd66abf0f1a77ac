"""The float network in exact real numbers, enclosed: what it does where rounding cannot decide.

Every state is an interval that holds the real number. On one input the intervals are some units in
the last place wide, so that nearly every spike is known for certain. Where a threshold lies inside
an interval the spike may be or not be, and all that follows is enclosed for both cases.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import ALWAYS_ON, INPUT, Population
from neurodeploy.robustness.certificates.deviation_enclosure import (
    Enclosure,
    ExactMatrix,
    chosen,
)
from neurodeploy.robustness.certificates.deviation_pairs import NetworkPair, PopulationPair


@dataclass(frozen=True, slots=True, eq=False)
class Spikes:
    """Three-valued spikes: ``sure`` it fires, ``possible`` it may; bool of one shape."""

    sure: NDArray[np.bool_]
    possible: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is no doubt."""
        return np.asarray(self.sure == self.possible)

    def as_numbers(self) -> Enclosure:
        """Return 0, 1, or between."""
        return Enclosure(self.sure.astype(np.float64), self.possible.astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class RealStep:
    """One population after one step [B, N], in membrane units."""

    before_reset: Enclosure
    spikes: Spikes
    after: Enclosure


@dataclass(slots=True, eq=False)
class _State:
    """Membrane, current, and what was sent so far."""

    v: dict[str, Enclosure] = field(default_factory=dict)
    u: dict[str, Enclosure] = field(default_factory=dict)
    sent: dict[str, list[Enclosure]] = field(default_factory=dict)
    held: dict[int, Enclosure] = field(default_factory=dict)


class RealRun:
    """Steps the float network of ``pair`` on ``codes`` [B, n], held.

    The input is ``low + code * (high - low) / max_code`` as a real number.
    """

    def __init__(self, pair: NetworkPair, codes: NDArray[np.int32]) -> None:
        self._pair = pair
        self._matrices = {
            id(s): ExactMatrix.of(s.real) for p in pair.populations for s in p.synapses
        }
        batch = len(codes)
        self._state = _State()
        low = Enclosure.exactly(pair.real.encoder.low)
        exact_codes = Enclosure.exactly(codes)
        self._input = low + exact_codes * pair.code_step
        self._ones = Enclosure.exactly(np.ones((batch, 1)))
        for p in pair.real.populations:
            shape = (batch, p.size)
            self._state.v[p.name] = Enclosure.exactly(np.broadcast_to(p.v_init, shape))
            self._state.u[p.name] = Enclosure.exactly(np.zeros(shape))
            self._state.sent[p.name] = []

    def step(self, p: PopulationPair, t: int) -> RealStep:
        """Do the step ``t`` (from 0) of one population; populations in update order."""
        neurons = p.real
        v = self._membrane(neurons, self._arriving(p, t), t)
        spikes = self._fired(neurons, v)
        after = _reset(neurons, v, spikes)
        self._state.v[p.name] = after
        sends = spikes.as_numbers() if neurons.fires else after
        self._state.sent[p.name].append(sends)
        return RealStep(v, spikes, after)

    def _arriving(self, p: PopulationPair, t: int) -> Enclosure:
        total = Enclosure.exactly(p.real.bias)
        for s in p.synapses:
            if t < s.delay:
                continue
            matrix = self._matrices[id(s)]
            if s.source in (INPUT, ALWAYS_ON):
                if id(s) not in self._state.held:
                    sent = self._input if s.source == INPUT else self._ones
                    self._state.held[id(s)] = matrix.times(sent)
                total = total + self._state.held[id(s)]
            else:
                total = total + matrix.times(self._state.sent[s.source][t - s.delay])
        return total

    def _membrane(self, p: Population, x: Enclosure, t: int) -> Enclosure:
        """Return the membrane before the reset: Population's rule in exact reals."""
        one, decay = Enclosure.exactly(1.0), Enclosure.exactly(p.decay_v)
        if p.gain is not None:
            x = x * Enclosure.exactly(p.gain[min(t, p.gain.size - 1)])
        if p.decay_u is not None and p.w_in is not None:
            decay_u = Enclosure.exactly(p.decay_u)
            kept = (one - decay_u) * self._state.u[p.name]
            x = self._state.u[p.name] = kept + decay_u * Enclosure.exactly(p.w_in) * x
        kept = (one - decay) * self._state.v[p.name]
        return kept + decay * Enclosure.exactly(p.v_leak) + Enclosure.exactly(p.input_gain) * x

    def _fired(self, p: Population, v: Enclosure) -> Spikes:
        if not p.fires:
            never = np.zeros(v.low.shape, np.bool_)
            return Spikes(never, never)
        return Spikes(v.low > p.v_threshold, v.high > p.v_threshold)


def _reset(p: Population, v: Enclosure, spikes: Spikes) -> Enclosure:
    """Return the membrane after the reset, for both cases where the spike is not known."""
    if not p.fires:
        return v
    threshold = Enclosure.exactly(p.v_threshold)
    if p.reset == "subtract":
        fired = Enclosure(np.maximum(v.low, p.v_threshold), v.high) - threshold
    else:
        shape = v.low.shape
        fired = Enclosure.exactly(np.broadcast_to(p.v_reset, shape))
    silent = v.at_most(threshold)
    either = chosen(spikes.sure, fired, fired.joined(silent))
    return chosen(spikes.possible, either, v)
