"""The rounding budget: how far the real network can be from the integers, by what was rounded.

Along an exact run of the integers, with V the real membrane in units of v and E a bound of
``|V - v|``, one step adds, per neuron (``D`` is the decay that truncates toward zero)::

    E <- |1 - decay| E                          what was there
       + |(1 - decay) - (4096 - decay_v)/4096| |v|  the decay's rounding
       + 1                                      its truncation, where there is one
       + sum |W - w| |s| over the inputs s that were active, + |bias - its integer|
       + 64 (1 - 2**e) per sum that a negative exponent e floors
       + |W| for each input spike that may differ

and likewise for a synaptic current and a DLIF gain. Signs are not looked at: the bound holds for
any rounding that is as coarse. A spike is guaranteed where the integer membrane is farther from
the real threshold than E. Where it is not, the real neuron may have fired or not, and E grows by
what that may change. Bounds are sums of magnitudes, inflated beyond their own rounding errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.network import ALIGN_BITS, ALWAYS_ON, INPUT, FixedSynapse
from neurodeploy.robustness.certificates.deviation_enclosure import (
    Enclosure,
    ExactMatrix,
    Floats,
    down,
    product,
    up,
)
from neurodeploy.robustness.certificates.deviation_pairs import (
    NetworkPair,
    PopulationPair,
    SynapsePair,
    fixed_matrix,
)
from neurodeploy.robustness.certificates.deviation_real import Spikes

_UNIT = float(2**ALIGN_BITS)
_DECAY = 4096.0


def inflated(values: Floats) -> Floats:
    """Return an upper bound of a sum of up to 2**20 magnitudes, whatever its rounding errors."""
    return np.asarray(values * (1 + 2.0**-30) + 1e-300)


@dataclass(frozen=True, slots=True, eq=False)
class SynapseBudget:
    """Per unit of what is sent, in units of v: ``rounding`` = |W - w|, ``weight`` = |W|.

    ``mantissas`` and ``exponent``: the stored integers; ``floors``: what the floors of its sums
    may cost per step.
    """

    pair: SynapsePair
    rounding: sparse.csr_array
    weight: sparse.csr_array
    mantissas: sparse.csr_array
    exponent: int
    floors: float


@dataclass(frozen=True, slots=True, eq=False)
class PopulationBudget:
    """What is rounded in one population, in units of v.

    ``sum_bias`` and ``bias``: errors of what enters with the synaptic sum and straight into v [N].
    ``threshold``: the real threshold. ``kept_*``, ``decay_*``: share kept per step, and the error
    of its register; ``truncates_*`` where a decay truncates at all.
    """

    pair: PopulationPair
    synapses: tuple[SynapseBudget, ...]
    sum_bias: Floats
    bias: Floats
    start: Floats
    threshold: Enclosure
    kept_v: Floats
    decay_v: Floats
    truncates_v: NDArray[np.bool_]
    kept_u: Floats
    decay_u: Floats
    truncates_u: NDArray[np.bool_]

    @staticmethod
    def of(pair: PopulationPair, network: NetworkPair) -> PopulationBudget:
        """Compare the registers of a population with its real parameters."""
        p, fixed = pair.real, pair.fixed
        scale, one = Enclosure.exactly(fixed.scale), Enclosure.exactly(1.0)
        factor = scale * Enclosure.exactly(p.input_gain)
        if p.decay_u is not None and p.w_in is not None:
            factor = factor * Enclosure.exactly(p.decay_u) * Enclosure.exactly(p.w_in)
        origin = Enclosure.exactly(fixed.origin)
        decay = Enclosure.exactly(p.decay_v)
        drift = scale * decay * (Enclosure.exactly(p.v_leak) - origin)
        into_sum = factor * _constant_input(pair, network)
        lines = Enclosure.exactly(sum((_line(s) for s in pair.lines), np.zeros(p.size)))
        register = Enclosure.exactly(fixed.bias_shifted)
        if p.gain is not None:
            register = register * Enclosure.exactly(_UNIT)
            sum_error, error = into_sum - register - lines, drift
        elif p.decay_u is not None:
            sum_error, error = into_sum - lines, drift - register
        else:
            sum_error = Enclosure.exactly(np.zeros(p.size))
            error = into_sum + drift - register - lines
        stored_v = (_DECAY - fixed.decay_v) / _DECAY
        stored_u = (_DECAY - 1 - fixed.decay_u) / _DECAY
        kept_v = one - decay
        kept_u = one - Enclosure.exactly(np.ones(p.size) if p.decay_u is None else p.decay_u)
        start = scale * (Enclosure.exactly(p.v_init) - origin) - Enclosure.exactly(fixed.v_init)
        return PopulationBudget(
            pair=pair,
            synapses=tuple(_synapse(s, factor, network) for s in pair.synapses if s.fixed),
            sum_bias=sum_error.magnitude,
            bias=error.magnitude,
            start=start.magnitude,
            threshold=scale * (Enclosure.exactly(p.v_threshold) - origin),
            kept_v=kept_v.magnitude,
            decay_v=(kept_v - Enclosure.exactly(stored_v)).magnitude,
            truncates_v=(fixed.decay_v != 0) & (fixed.decay_v != 4096),
            kept_u=kept_u.magnitude,
            decay_u=(kept_u - Enclosure.exactly(stored_u)).magnitude,
            truncates_u=fixed.decay_u != 4095,
        )


def _constant_input(pair: PopulationPair, network: NetworkPair) -> Enclosure:
    """Return the real bias [N] per step: its own, the lines', and what code 0 stands for."""
    total = Enclosure.exactly(pair.real.bias)
    for s in pair.synapses:
        if s.source not in (ALWAYS_ON, INPUT):
            continue
        value = 1.0 if s.source == ALWAYS_ON else network.real.encoder.low
        if value != 0:
            rows = ExactMatrix.of(s.real).times(
                Enclosure.exactly(np.full((1, s.real.shape[1]), value))
            )
            total = total + Enclosure(rows.low[0], rows.high[0])
    return total


def _line(line: FixedSynapse) -> Floats:
    """Return what an integer always-on line adds per step, in units of v: exact."""
    sums = line.weight.astype(np.int64).sum(axis=1)
    e = line.weight_exp
    shifted = sums << e if e > 0 else sums >> -e
    return np.asarray(shifted * _UNIT)


def _synapse(s: SynapsePair, factor: Enclosure, network: NetworkPair) -> SynapseBudget:
    """Compare real weights, in units of v per spike or code, with the stored ones."""
    fixed = s.fixed
    assert fixed is not None  # noqa: S101 - the caller leaves the others out
    real = s.real.tocsr()
    rows = np.repeat(np.arange(real.shape[0]), np.diff(real.indptr))
    scaled = Enclosure(factor.low[rows], factor.high[rows]) * Enclosure.exactly(real.data)
    if s.source == INPUT:
        scaled = scaled * network.code_step
    mantissas, step = fixed_matrix(fixed), 2.0**fixed.weight_exp
    stored = mantissas * (_UNIT * step)  # a power of two: exact in float64
    low, high = (_with_data(real, data) for data in (scaled.low, scaled.high))
    apart = abs(low - stored).maximum(abs(high - stored)).tocsr()
    apart.data = up(apart.data)
    floored = fixed.weight_exp < 0 and bool((fixed.weight % (1 << -fixed.weight_exp)).any())
    slots = max(1, len(fixed.delays))
    return SynapseBudget(
        pair=s,
        rounding=apart,
        weight=_with_data(real, scaled.magnitude),
        mantissas=mantissas,
        exponent=fixed.weight_exp,
        floors=_UNIT * (1 - step) * slots if floored else 0.0,
    )


def _with_data(matrix: sparse.csr_array, data: Floats) -> sparse.csr_array:
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


@dataclass(frozen=True, slots=True, eq=False)
class BudgetStep:
    """One population after one step [B, N], in units of v: bounds of ``|V - v|``."""

    before_reset: Floats
    spikes: Spikes
    after: Floats


class BudgetRun:
    """Steps the bounds of all populations along the records of an integer run.

    Parameters
    ----------
    pair : NetworkPair
    codes : int32 [B, n]
    records : mapping of "<population>/<quantity>" to array [T, B, N]
        spikes, v, v_pre, and u where there is a current.
    """

    def __init__(
        self, pair: NetworkPair, codes: NDArray[np.int32], records: dict[str, NDArray[np.int32]]
    ) -> None:
        self._records = records
        self._codes = codes.astype(np.float64)
        self.budgets = {p.name: PopulationBudget.of(p, pair) for p in pair.populations}
        self._v: dict[str, Floats] = {}
        self._u: dict[str, Floats] = {}
        self._doubt: dict[str, list[Floats]] = {}
        for p in pair.populations:
            shape = (len(codes), p.real.size)
            self._v[p.name] = np.broadcast_to(self.budgets[p.name].start, shape)
            self._u[p.name] = np.zeros(shape)
            self._doubt[p.name] = []

    def step(self, p: PopulationPair, t: int) -> BudgetStep:
        """Do the step ``t`` (from 0) of one population; populations in update order."""
        budget = self.budgets[p.name]
        v_pre = self._records[f"{p.name}/v_pre"][t].astype(np.float64)
        fired = self._records[f"{p.name}/spikes"][t] != 0
        error = self._before_reset(budget, t)
        spikes = self._fired(budget, v_pre, error)
        after = _after(budget, v_pre, fired, error, spikes)
        self._v[p.name] = after
        same = spikes.known & (spikes.sure == fired)
        self._doubt[p.name].append((~same).astype(np.float64))
        return BudgetStep(error, spikes, after)

    def _before_reset(self, b: PopulationBudget, t: int) -> Floats:
        p = b.pair
        arriving = self._arriving(b, t) + b.sum_bias
        if p.real.gain is not None and p.fixed.gain is not None:
            arriving = self._after_gain(b, arriving, t)
        if p.real.decay_u is not None:
            held = self._state_before(p, "u", t)
            self._u[p.name] = inflated(
                b.kept_u * self._u[p.name] + b.decay_u * held + b.truncates_u + arriving
            )
            arriving = self._u[p.name]
        held = self._state_before(p, "v", t)
        return inflated(
            b.kept_v * self._v[p.name] + b.decay_v * held + b.truncates_v + arriving + b.bias
        )

    def _arriving(self, b: PopulationBudget, t: int) -> Floats:
        total = np.zeros(self._v[b.pair.name].shape)
        for s in b.synapses:
            source = s.pair.source
            if t < s.pair.delay:
                continue
            if source != INPUT:
                total = total + product(s.weight, self._doubt[source][t - s.pair.delay])
            total = total + product(s.rounding, self._sent(s, t)) + s.floors
        return inflated(total)

    def _after_gain(self, b: PopulationBudget, arriving: Floats, t: int) -> Floats:
        """Add the gain's own rounding, times the sum that it multiplies, and the floor after it."""
        p = b.pair
        assert p.real.gain is not None  # noqa: S101 - the caller's condition
        assert p.fixed.gain is not None  # noqa: S101
        real = float(p.real.gain[min(t, p.real.gain.size - 1)])
        mantissa = int(p.fixed.gain[min(t, p.fixed.gain.size - 1)])
        off = abs(real - mantissa / 2.0**p.fixed.gain_shift) * (1 + 2.0**-50)
        total = np.zeros(arriving.shape)
        for s in b.synapses:
            if t >= s.pair.delay:
                # Whole numbers below 2**53: exact.
                total = total + np.floor(product(s.mantissas, self._sent(s, t)) * 2.0**s.exponent)
        total = total + p.fixed.bias + sum(_line(line) for line in p.lines) / _UNIT
        floor = _UNIT * (1 - 2.0**-p.fixed.gain_shift)
        return inflated(abs(real) * arriving + off * _UNIT * np.abs(total) + floor)

    def _sent(self, s: SynapseBudget, t: int) -> Floats:
        if s.pair.source == INPUT:
            return self._codes
        record = self._records[f"{s.pair.source}/spikes"]
        return np.asarray(record[t - s.pair.delay], dtype=np.float64)

    def _state_before(self, p: PopulationPair, quantity: str, t: int) -> Floats:
        """Return |state| of the integers before the step."""
        if t == 0:
            start = p.fixed.v_init if quantity == "v" else p.fixed.u_init
            return np.abs(start.astype(np.float64))
        return np.abs(np.asarray(self._records[f"{p.name}/{quantity}"][t - 1], np.float64))

    def _fired(self, b: PopulationBudget, v_pre: Floats, error: Floats) -> Spikes:
        if not b.pair.real.fires:
            never = np.zeros(v_pre.shape, np.bool_)
            return Spikes(never, never)
        sure = down(v_pre - error) > b.threshold.high
        return Spikes(sure, up(v_pre + error) > b.threshold.low)


def _after(
    b: PopulationBudget, v_pre: Floats, fired: NDArray[np.bool_], error: Floats, spikes: Spikes
) -> Floats:
    """Return the bound after the reset: of integers that did what they did, and of either case."""
    if not b.pair.real.fires:
        return error
    both, neither = fired & spikes.sure, ~fired & ~spikes.possible
    if b.pair.real.reset == "subtract":
        stored = b.pair.fixed.v_threshold * _UNIT
        together = error + (b.threshold - Enclosure.exactly(stored)).magnitude
        apart = error + np.maximum(b.threshold.magnitude, stored)
    else:
        together = np.zeros_like(error)
        # Integers at 0 and the real one not reset, or the other way round.
        apart = np.where(fired, np.abs(v_pre) + error, np.maximum(error, np.abs(v_pre)))
    return inflated(np.where(both, together, np.where(neither, error, apart)))
