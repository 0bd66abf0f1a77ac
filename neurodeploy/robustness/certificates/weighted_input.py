"""Bounds of weighted sums of synaptic input over time, by what is known of the senders' trains.

``sum_s c[s] a[s]`` is what membranes are made of. ``a`` is a sum over senders, so that the order
can be changed: first each sender's messages are summed over time with ``c``, whose bounds know
which of them go together; then the weights add the senders. Sound while no slot wraps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurodeploy.network import ALWAYS_ON, INPUT
from neurodeploy.robustness.certificates import intervals
from neurodeploy.robustness.certificates.inputs import InputBounds
from neurodeploy.robustness.certificates.intervals import ALL, Integers
from neurodeploy.robustness.certificates.synapse_bounds import Slot
from neurodeploy.robustness.certificates.trains import FreeTrains, HeldTrains, Reals, Trains

_UNIT = 2.0**-52


class SlotSums(NamedTuple):
    """Bounds [K, B, in] of the weighted sums of the messages into one slot.

    ``weights`` [K, T] of the messages; ``largest``: the largest message.
    """

    slot: Slot
    least: Reals
    most: Reals
    weights: Reals
    largest: int

    @property
    def floors(self) -> tuple[Reals, Reals]:
        """How much the floors of a right shift may take from, and give to, each sum; [K, 1, 1]."""
        lost = 1 - 2.0 ** min(self.slot.exponent, 0)
        taken = np.maximum(self.weights, 0).sum(axis=1)
        given = np.maximum(-self.weights, 0).sum(axis=1)
        return lost * taken[:, None, None], lost * given[:, None, None]


def messages(slot: Slot, inputs: InputBounds, trains: Mapping[str, Trains]) -> Trains:
    """Return what is known of the messages that the weights of ``slot`` multiply."""
    if slot.source == ALWAYS_ON:
        one = intervals.exactly(np.ones((inputs.batch, 1), np.int64))
        return HeldTrains(one, inputs.steps)
    if slot.source != INPUT:
        return trains[slot.source]
    message = slot.message(inputs.codes)
    return HeldTrains(message, inputs.steps) if inputs.is_held else FreeTrains(message)


def earlier(weights: Reals, delay: int) -> Reals:
    """Return the weights [K, T] of messages by when they are sent, from when they are felt."""
    sent = np.zeros_like(weights)
    if delay < weights.shape[1]:
        sent[:, : weights.shape[1] - delay] = weights[:, delay:]
    return sent


def slot_sums(
    slot: Slot, weights: Reals, inputs: InputBounds, trains: Mapping[str, Trains]
) -> SlotSums:
    """Bound the messages' sums; ``weights`` [K, T] are of the steps in which they are felt."""
    sent = earlier(weights, slot.delay)
    known = messages(slot, inputs, trains)
    return SlotSums(slot, *known.sums(sent), sent, known.largest)


def mixed(
    sums: SlotSums, mixture: Integers | Reals, samples: slice | Integers = ALL
) -> tuple[Reals, Reals]:
    """Return bounds [K, B, rows] of the targets' sums, rounded outward; floors are not in them.

    ``mixture`` is an int64 array of targets, or a float64 matrix [rows, targets] that mixes them.
    """
    matrix: Any = sums.slot.weight
    if mixture.dtype == np.float64:
        matrix = mixture @ matrix if isinstance(matrix, np.ndarray) else (matrix.T @ mixture.T).T
    else:
        matrix = matrix[mixture]
    magnitude = abs(matrix)
    least, most = sums.least[:, samples], sums.most[:, samples]
    centre, width = _times(least + most, matrix), _times(most - least, magnitude)
    factor = 2.0**sums.slot.exponent
    # Products and sums of floats are each off by 2^-53 at most, relative to what they add up.
    operations = matrix.shape[1] + 8 * sums.weights.shape[1] + 64
    reach = np.abs(sums.weights).sum(axis=1) * sums.largest
    size = np.asarray(magnitude.sum(axis=1)).ravel()
    slack = (reach[:, None] * size)[:, None] * (operations * _UNIT)
    return factor * ((centre - width) / 2 - slack), factor * ((centre + width) / 2 + slack)


def _times(values: Reals, matrix: Any) -> Reals:
    """Return ``values @ matrix.T`` over the last axis."""
    if isinstance(matrix, np.ndarray):
        return np.asarray(values @ matrix.T)
    flat = values.reshape(-1, values.shape[-1])
    return np.asarray((matrix @ flat.T).T).reshape(*values.shape[:-1], -1)
