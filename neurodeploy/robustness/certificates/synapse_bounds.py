"""What a synapse may bring: bounds of its sums, one per delay, shifted and wrapped as on chip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neurodeploy.errors import RangeError
from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, FixedSynapse
from neurodeploy.robustness.certificates import intervals
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval

#: Sums below this are exact in float64, sums below the other in int64.
_EXACT_FLOAT, _EXACT_INT = 2**53, 2**62
#: Weights of a matrix that is held with its zeros.
_DENSE_WEIGHTS = 2**22


@dataclass(frozen=True, eq=False)
class Slot:
    """The weights of one synapse that have one delay: they make one sum, with a shift of its own.

    ``weight`` is float64 [out, in] where float64 sums are exact, else a sparse int64 matrix.
    ``delay`` is logical: what is felt at step t was sent at step t - delay.
    """

    source: str
    delay: int
    exponent: int
    is_conv: bool
    is_graded: bool
    weight: Any

    @cached_property
    def magnitude(self) -> Any:
        """The weights without their signs."""
        return abs(self.weight)

    def message(self, sent: Interval) -> Interval:
        """Return what the weights multiply: the payload if graded, else 1 for all but zero."""
        if self.is_graded:
            return sent
        never_zero = (sent.lo > 0) | (sent.hi < 0)
        always_zero = (sent.lo == 0) & (sent.hi == 0)
        return Interval(never_zero.astype(np.int64), (~always_zero).astype(np.int64))

    def bounds(self, message: Interval) -> tuple[Interval, Flags]:
        """Return bounds of the shifted sum [B, out], and where it may leave its width."""
        total = weighted_sum(self, message)
        if self.is_conv:
            return intervals.wrap_convolution(total)
        kept, left = intervals.wrap32(total)
        shifted, left_again = intervals.wrap32(intervals.shift(kept, self.exponent))
        return shifted, left | left_again


def weighted_sum(slot: Slot, message: Interval) -> Interval:
    """Return bounds of ``sum_j w_ij m_j`` [B, out], each end attained: exact integers."""
    # With m = (centre +- width) / 2 the ends are (W centre -+ |W| width) / 2.
    centre = times(message.lo + message.hi, slot.weight)
    if message.lo is message.hi:
        return Interval(centre >> 1, centre >> 1)
    width = times(message.hi - message.lo, slot.magnitude)
    return Interval((centre - width) >> 1, (centre + width) >> 1)


def times(values: Integers, weight: Any) -> Integers:
    """Return ``values @ weight.T`` in integers: exact for the messages that the slot may meet."""
    if isinstance(weight, np.ndarray):
        product: NDArray[np.float64] = values.astype(np.float64) @ weight.T
        return product.astype(np.int64)
    return np.ascontiguousarray((weight @ values.T).T)


@lru_cache(maxsize=64)
def slots_into(net: FixedPointNetwork, population: str) -> tuple[Slot, ...]:
    """Return every slot of the synapses into ``population``, in the order in which they add up.

    Raises
    ------
    RangeError
        If a sum of products can leave 64 bits.
    """
    return tuple(s for synapse in net.synapses_into(population) for s in _slots(net, synapse))


def _slots(net: FixedPointNetwork, synapse: FixedSynapse) -> list[Slot]:
    largest = 1
    if synapse.source == INPUT and synapse.message_bits:
        largest = net.encoder.max_code
    later = 0
    if synapse.source != ALWAYS_ON:
        # The same for every weight of the synapse.
        shifts = np.ravel(net.logical_delay(synapse) - synapse.delay)
        later = int(shifts[0]) if shifts.size else 0
    target, source, weight, delay = synapse.connections()
    made = []
    for d in np.unique(delay).tolist():
        here = delay == d
        places = (target[here], source[here])
        shape = (synapse.size_out, synapse.size_in)
        matrix = csr_array((weight[here], places), shape=shape, dtype=np.int64)
        reach = 4 * largest * int(abs(matrix).sum(axis=1).max(initial=0))
        if reach >= _EXACT_INT:
            raise RangeError(
                f"synapse {synapse.name}: its sums may reach {reach // 4}, beyond the 60 bits in "
                "which they are bounded; lower the weights or the width of the codes"
            )
        dense = reach < _EXACT_FLOAT and shape[0] * shape[1] <= _DENSE_WEIGHTS
        made.append(
            Slot(
                source=synapse.source,
                delay=0 if synapse.source == ALWAYS_ON else d + later,
                exponent=synapse.weight_exp,
                is_conv=synapse.kind == "conv",
                is_graded=synapse.message_bits > 0,
                weight=matrix.toarray().astype(np.float64) if dense else matrix,
            )
        )
    return made
