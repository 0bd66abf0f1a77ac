"""A DLIF gain on graded messages: its lines, and what keeps its sums within their widths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed import ConvLayout, FixedPointNetwork, FixedPopulation, FixedSynapse

#: |x| that a LIF without current takes without a wrap of its 24 bits, ``x << 6``: less than this.
DRIVE_LIMIT = 2**17
#: Width of the messages that a gain needs: x is signed and has 18 bits, a bias payload 17.
MESSAGE_BITS = 18
_DIGIT_BITS = 8
_DIGITS = 3
#: Largest |bias| that the lines carry: three digits of -128..127.
BIAS_MAX = 127 * (1 + 2**_DIGIT_BITS + 2 ** (2 * _DIGIT_BITS))


def bias_lines(bias: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return mixed weights [N, K] and payloads [K] of lines that carry ``bias`` exactly.

    ``bias == (weights @ payloads) >> 1``: a mixed matrix holds even numbers alone, so the digits
    (-128..127, of base 256) are doubled, and the synapse's exponent is -1. K is 0 to 3.

    Parameters
    ----------
    bias : int32 [N]
        Within +-``BIAS_MAX``.
    """
    rest, columns = bias.astype(np.int64), []
    while rest.any():
        digit = ((rest + 128) & 255) - 128
        columns.append(2 * digit)
        rest = (rest - digit) >> _DIGIT_BITS
    weights = np.array(columns, np.int32).reshape(len(columns), bias.size).T
    return weights, 2 ** (_DIGIT_BITS * np.arange(len(columns), dtype=np.int32))


def largest_drive(net: FixedPointNetwork, population: FixedPopulation) -> int:
    """Return a bound on |x| of a dlif over all input: what its ProdNeuron may send."""
    if population.gain is None:
        return 0
    size = population.size
    low, high = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for synapse in net.synapses_into(population.name):
        graded = synapse.message_bits > 0 and synapse.source == INPUT
        least, most = _sums(synapse, net.encoder.max_code if graded else 1)
        low, high = low + least, high + most
    bias = population.bias.astype(np.int64)
    a = np.maximum(high + bias, -(low + bias)).clip(0)
    largest = int(a.max(initial=0)) * int(population.gain.max())
    # Python's integers: no product of these is too large, whatever the network holds.
    return -(-largest >> population.gain_shift)


def _sums(synapse: FixedSynapse, payload: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the largest shifted sum of each target, int64 [out]."""
    if synapse.layout is None:
        weight = synapse.weight.astype(np.int64)
        negative, positive = (part.sum(axis=1) for part in (weight.clip(max=0), weight.clip(0)))
    else:
        ends = synapse.connections()
        negative, positive = (
            np.bincount(ends.target, part, synapse.size_out).astype(np.int64)
            for part in (ends.weight.clip(max=0), ends.weight.clip(0))
        )
    exponent = 0 if isinstance(synapse.layout, ConvLayout) else synapse.weight_exp
    if exponent >= 0:
        return negative * payload << exponent, positive * payload << exponent
    # Every delay has a floor of its own.
    floors = len(synapse.delays) - 1
    return (negative * payload >> -exponent) - floors, positive * payload >> -exponent
