"""How many non-zero weights each value meets that enters a linear operator."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.operators import Convolution, Dense, Operator, Pool, Scale, Sparse


def fan_out(operator: Operator) -> NDArray[np.int64]:
    """Return, for each input value [size_in], the number of non-zero weights that it meets.

    A pool's weights are the places of its windows; what falls on padding meets nothing.
    """
    if isinstance(operator, Dense):
        counts = (operator.weight != 0).sum(axis=-2).reshape(-1)
    elif isinstance(operator, Sparse):
        met = operator.indices[operator.weight != 0]
        counts = np.bincount(met, minlength=operator.size_in)
    elif isinstance(operator, Scale):
        counts = operator.factor != 0
    elif isinstance(operator, Convolution):
        counts = _convolution(operator)
    else:
        counts = _pool(operator)
    return np.asarray(counts, np.int64)


def _convolution(operator: Convolution) -> NDArray[np.int64]:
    channels, *extent = operator.input_shape
    out_extent = operator.output_shape[1:]
    per_group = operator.weight.shape[0] // operator.groups
    grouped = (operator.weight != 0).reshape(operator.groups, per_group, *operator.weight.shape[1:])
    # Non-zero weights of each input channel at each place of the kernel.
    met = grouped.sum(axis=1).reshape(channels, *operator.weight.shape[2:])
    padded = [e + sum(p) for e, p in zip(extent, operator.padding, strict=True)]
    counts = np.zeros((channels, *padded), np.int64)
    for place in product(*(range(k) for k in met.shape[1:])):
        steps = zip(place, operator.dilation, operator.stride, out_extent, strict=True)
        window = tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in steps)
        counts[(slice(None), *window)] += met[(slice(None), *place)].reshape(-1, *[1] * len(extent))
    inner = tuple(slice(p[0], p[0] + e) for p, e in zip(operator.padding, extent, strict=True))
    return counts[(slice(None), *inner)].reshape(-1)


def _pool(operator: Pool) -> NDArray[np.int64]:
    """Return in how many windows each value lies."""
    extent, out_extent = operator.input_shape[-2:], operator.output_shape[-2:]
    padded = [e + 2 * p for e, p in zip(extent, operator.padding, strict=True)]
    counts = np.zeros(padded, np.int64)
    for place in product(*(range(k) for k in operator.kernel)):
        steps = zip(place, operator.stride, out_extent, strict=True)
        counts[tuple(slice(k, k + (n - 1) * s + 1, s) for k, s, n in steps)] += 1
    inner = tuple(slice(p, p + e) for p, e in zip(operator.padding, extent, strict=True))
    return np.broadcast_to(counts[inner], operator.input_shape).reshape(-1)
