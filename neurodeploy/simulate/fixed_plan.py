"""A fixed-point network made ready to run: weights by source row, factors, and bounds.

The bounds decide, before a run, which kernels are exact for a population: int32 where no input can
leave what their overflow counts cover, int64 otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network.arrays import IntArray
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import (
    ALIGN_BITS,
    V_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)

#: |a| up to which one wrap brings u back into 24 bits whatever it was before.
_ONE_WRAP_LIMIT = 2**18
#: |a| up to which ``a << 6`` and one more 24-bit number fit 32 bits.
_NO_MEMORY_LIMIT = 2**24
_LIMIT_32 = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class PlannedSynapse:
    """A synapse with its weights by source: row j is what an event of source j adds.

    ``rows`` [n_in + 1, n_out] are shifted left already where the exponent is positive (exact
    modulo 2^32) and end with a row of zeros; ``right_shift`` is minus a negative exponent.
    ``bound`` is the largest magnitude of the shifted sum per unit of payload, ``raw_bound`` that
    of the sum before the shift.
    """

    name: str
    source: str
    rows: NDArray[np.int16 | np.int32]
    wide_rows: NDArray[np.int64]
    exponent: int
    right_shift: np.int32
    graded: bool
    fan_out: NDArray[np.int64]
    bound: int
    raw_bound: int


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPopulation:
    """A population with its factors in the units that the kernels use.

    ``limit`` is the largest |a| for which the int32 kernel is exact in every count; -1 if none.
    """

    population: FixedPopulation
    synapses: tuple[PlannedSynapse, ...]
    keep_u: IntArray
    keep_v: IntArray
    bias: IntArray
    threshold: IntArray
    limit: int

    @property
    def name(self) -> str:
        """The population's name."""
        return self.population.name

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.population.size

    def gain(self, first: int, last: int) -> IntArray:
        """Return the ``dlif`` gains of logical steps ``first`` .. ``last - 1`` (from 0)."""
        values = self.population.gain
        if values is None:
            return np.empty(0, np.int32)
        return values[np.minimum(np.arange(first, last), values.size - 1)]


def plan_network(net: FixedPointNetwork) -> tuple[PlannedPopulation, ...]:
    """Prepare every population of ``net``, in update order.

    Raises
    ------
    RangeError
        If a decay, gain or shift lies outside what the rules define.
    """
    return tuple(
        _plan_population(p, tuple(_plan_synapse(s) for s in net.synapses_into(p.name)))
        for p in net.populations
    )


def require_layered(net: FixedPointNetwork) -> None:
    """Raise InputError unless every synapse bridges exactly one hardware step."""
    latency = {INPUT: 0, **{p.name: p.latency for p in net.populations}}
    for synapse in net.synapses:
        if synapse.source == ALWAYS_ON:
            continue
        if latency[synapse.target] != latency[synapse.source] + 1:
            raise InputError(
                f"synapse {synapse.name}: from latency {latency[synapse.source]} to latency "
                f"{latency[synapse.target]}; a synapse costs one hardware step, so Lava timing "
                "needs layers that follow each other: use timing='aligned'"
            )


def _plan_synapse(synapse: FixedSynapse) -> PlannedSynapse:
    weight = synapse.weight.astype(np.int64)
    e = synapse.weight_exp
    positive = np.where(weight > 0, weight, 0).sum(axis=1)
    negative = np.where(weight < 0, -weight, 0).sum(axis=1)
    raw_bound = int(np.maximum(positive, negative).max(initial=0))
    return PlannedSynapse(
        name=synapse.name,
        source=synapse.source,
        rows=_rows(weight, max(e, 0)),
        wide_rows=np.ascontiguousarray(weight.T),
        exponent=e,
        right_shift=np.int32(max(-e, 0)),
        graded=synapse.message_bits > 0,
        fan_out=(synapse.weight != 0).sum(axis=0).astype(np.int64),
        # A floor can add one to the magnitude of a negative sum.
        bound=raw_bound << e if e > 0 else (raw_bound >> -e) + 1,
        raw_bound=raw_bound,
    )


def _rows(weight: NDArray[np.int64], left_shift: int) -> NDArray[np.int16 | np.int32]:
    """Return the shifted weights by source and a row of zeros, in int16 if they fit it.

    Weights of 8 bits and an exponent of up to 7 do, and take half the room in the cache.
    """
    rows = np.zeros((weight.shape[1] + 1, weight.shape[0]), np.int64)
    rows[:-1] = weight.T << left_shift
    limits = np.iinfo(np.int16)
    if rows.min(initial=0) >= limits.min and rows.max(initial=0) <= limits.max:
        return rows.astype(np.int16)
    return rows.astype(np.int32)


def _plan_population(p: FixedPopulation, synapses: tuple[PlannedSynapse, ...]) -> PlannedPopulation:
    _check_rules(p)
    threshold = np.clip(p.v_threshold.astype(np.int64) << ALIGN_BITS, -V_MAX - 1, V_MAX)
    return PlannedPopulation(
        population=p,
        synapses=synapses,
        keep_u=4095 - p.decay_u,
        keep_v=4096 - p.decay_v,
        bias=p.bias_shifted,
        threshold=threshold.astype(np.int32),
        limit=_dlif_limit(p) if p.kind == "dlif" else _lif_limit(p),
    )


def _check_rules(p: FixedPopulation) -> None:
    """Refuse what has no defined result; chip-illegal values are the legality check's business."""
    checks: list[tuple[str, Any, int, int]] = [("decay_v", p.decay_v, 0, 4096)]
    if p.kind == "dlif":
        checks += [("gain", p.gain, 0, 2**16), ("gain_shift", p.gain_shift, 0, 31)]
    else:
        # Lava accepts -1: u then keeps everything.
        checks += [("decay_u", p.decay_u, -1, 4095)]
    checks += [("bias_exp", p.bias_exp, 0, 31)]
    for what, values, low, high in checks:
        array = np.asarray(values)
        if array.size and (array.min() < low or array.max() > high):
            raise RangeError(
                f"population {p.name}: {what} is {array.min()}..{array.max()}, "
                f"the rules are defined for {low}..{high}"
            )


def _lif_limit(p: FixedPopulation) -> int:
    if np.abs(p.u_init.astype(np.int64)).max(initial=0) >= 2**23:
        return -1
    if np.abs(p.v_init.astype(np.int64)).max(initial=0) > V_MAX:
        return -1
    return _NO_MEMORY_LIMIT if (p.decay_u == 4095).all() else _ONE_WRAP_LIMIT


def _dlif_limit(p: FixedPopulation) -> int:
    """Largest |a| for which the product and ``x << 6`` fit 32 bits."""
    if p.gain is None or np.abs(p.v_init.astype(np.int64)).max(initial=0) > V_MAX:
        return -1
    gain = max(1, int(p.gain.max()))
    product = min(_LIMIT_32, _NO_MEMORY_LIMIT << p.gain_shift)
    return product // gain - int(np.abs(p.bias.astype(np.int64)).max(initial=0))
