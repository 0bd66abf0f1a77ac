"""Convolutions as one: pools, scales and a second convolution taken into the weights.

Each function returns an operator that is equal as a linear map, or None where there is no such
convolution. Zeros that padding adds are never mistaken for values: a pool of an odd map, or a
second convolution with padding, is taken in only where every place it reads is the same.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import Convolution, Pool

Weights = NDArray[np.float64]


def pool_as_convolution(pool: Pool) -> Convolution:
    """Return a pool as a convolution of each channel by itself."""
    *channels, height, width = pool.input_shape
    n = int(np.prod(channels, dtype=np.int64))
    share = 1.0 if pool.kind == "sum" else 1.0 / float(np.prod(pool.kernel))
    return Convolution(
        pool.node,
        np.full((n, 1, *pool.kernel), share),
        None,
        stride=tuple(pool.stride),
        padding=tuple((int(p), int(p)) for p in pool.padding),
        dilation=(1, 1),
        groups=n,
        input_shape=(n, height, width),
        output_shape=(n, *pool.output_shape[-2:]),
    )


def two_axes(c: Convolution) -> Convolution:
    """Return a convolution over one axis as one over two, with height 1."""
    if len(c.stride) == 2:
        return c
    return Convolution(
        c.node,
        c.weight[:, :, None],
        c.bias,
        stride=(1, *c.stride),
        padding=((0, 0), *c.padding),
        dilation=(1, *c.dilation),
        groups=c.groups,
        input_shape=(c.input_shape[0], 1, *c.input_shape[1:]),
        output_shape=(c.output_shape[0], 1, *c.output_shape[1:]),
    )


def even_padding(c: Convolution) -> Convolution | None:
    """Return a convolution with as many zeros before as after each axis, or None.

    Where the sides differ, kernel places of weight zero make up for it.
    """
    if all(before == after for before, after in c.padding):
        return c
    weight, padding = c.weight, []
    for axis in range(len(c.stride)):
        found = _even_axis(c, axis)
        if found is None:
            return None
        zeros, both = found
        shape = [(0, 0)] * weight.ndim
        shape[2 + axis] = zeros
        weight = np.pad(weight, shape)
        padding.append((both, both))
    return _changed(c, weight=weight, padding=tuple(padding))


def _even_axis(c: Convolution, axis: int) -> tuple[tuple[int, int], int] | None:
    """Return zero places before and after the kernel, and the padding of both sides."""
    before, after = c.padding[axis]
    stride, dilation = c.stride[axis], c.dilation[axis]
    reach = (c.weight.shape[2 + axis] - 1) * dilation + 1
    for more in range(abs(before - after) // dilation + 2):
        for zeros in ((more, 0), (0, more)):
            both = before + zeros[0] * dilation
            room = c.input_shape[1 + axis] + 2 * both - reach - more * dilation
            if room >= 0 and room // stride + 1 == c.output_shape[1 + axis]:
                return zeros, both
    return None


def scaled_after(c: Convolution, factor: Weights) -> Convolution | None:
    """Return a convolution followed by a factor on each output; None if channels hold several."""
    per_channel = _uniform(factor.reshape(c.output_shape[0], -1))
    if per_channel is None:
        return None
    return _changed(c, weight=c.weight * per_channel.reshape(-1, *[1] * (c.weight.ndim - 1)))


def scaled_before(c: Convolution, factor: Weights) -> Convolution | None:
    """Return a convolution of inputs times a factor each; None if channels hold several."""
    per_channel = _uniform(factor.reshape(c.input_shape[0], -1))
    if per_channel is None:
        return None
    grouped = c.weight.reshape(c.groups, -1, *c.weight.shape[1:])
    factors = per_channel.reshape(c.groups, 1, -1, *[1] * (c.weight.ndim - 2))
    return _changed(c, weight=(grouped * factors).reshape(c.weight.shape))


def _uniform(factors: Weights) -> Weights | None:
    first = factors[:, 0]
    return first if (factors == first[:, None]).all() else None


def chained(a: Convolution, b: Convolution) -> Convolution | None:
    """Return ``b`` of ``a`` as one convolution over two axes, or None where there is none."""
    if a.output_shape != b.input_shape or len(a.stride) != 2 or len(b.stride) != 2:
        return None
    if not all(_joins(a, b, axis) for axis in (0, 1)):
        return None
    steps_a, steps_b, dilation = _places(a, b)
    groups = math.gcd(a.groups, b.groups)
    kernel = tuple(
        (ka - 1) * sa + (kb - 1) * sb + 1
        for ka, kb, sa, sb in zip(
            a.weight.shape[2:], b.weight.shape[2:], steps_a, steps_b, strict=True
        )
    )
    per_group_in = a.input_shape[0] // groups
    weight = np.zeros((b.output_shape[0], per_group_in, *kernel))
    for tap_b in itertools.product(*(range(k) for k in b.weight.shape[2:])):
        for tap_a in itertools.product(*(range(k) for k in a.weight.shape[2:])):
            place = tuple(
                i * si + j * sj for i, si, j, sj in zip(tap_a, steps_a, tap_b, steps_b, strict=True)
            )
            weight[:, :, place[0], place[1]] += _mixed(a, b, tap_a, tap_b, groups)
    padding = tuple(_padding(a, b, axis, kernel[axis], dilation[axis]) for axis in (0, 1))
    both = Convolution(
        f"{a.node}, {b.node}",
        weight,
        None,
        stride=tuple(x * y for x, y in zip(a.stride, b.stride, strict=True)),
        padding=padding,
        dilation=dilation,
        groups=groups,
        input_shape=a.input_shape,
        output_shape=b.output_shape,
    )
    return both if _fits(both) else None


def _joins(a: Convolution, b: Convolution, axis: int) -> bool:
    """Whether no place beyond the map between the two, zero for ``b``, would hold values of ``a``.

    What lies beyond is read where ``b`` has padding.
    """
    reach_a = (a.weight.shape[2 + axis] - 1) * a.dilation[axis] + 1
    reach_b = (b.weight.shape[2 + axis] - 1) * b.dilation[axis] + 1
    between = a.output_shape[1 + axis]
    before = b.padding[axis][0]
    last = (b.output_shape[1 + axis] - 1) * b.stride[axis] + reach_b - 1 - before
    left = before == 0 or reach_a <= a.stride[axis] + a.padding[axis][0]
    first_beyond = between * a.stride[axis] - a.padding[axis][0]
    return left and (last < between or first_beyond >= a.input_shape[1 + axis])


def _places(
    a: Convolution, b: Convolution
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return how far apart places of ``a`` and ``b`` are in the joint kernel, and its dilation."""
    steps_a, steps_b, dilations = [], [], []
    for axis in (0, 1):
        of_a = a.dilation[axis] if a.weight.shape[2 + axis] > 1 else 0
        of_b = b.dilation[axis] * a.stride[axis] if b.weight.shape[2 + axis] > 1 else 0
        dilation = math.gcd(of_a, of_b) or 1
        steps_a.append(of_a // dilation)
        steps_b.append(of_b // dilation)
        dilations.append(dilation)
    return tuple(steps_a), tuple(steps_b), tuple(dilations)


def _mixed(
    a: Convolution, b: Convolution, tap_a: tuple[int, ...], tap_b: tuple[int, ...], groups: int
) -> Weights:
    """Return the weights [out, in per group] from inputs through ``a`` at one place and ``b``."""
    first = a.weight[:, :, tap_a[0], tap_a[1]]
    second = b.weight[:, :, tap_b[0], tap_b[1]]
    between = a.output_shape[0]
    if a.groups == between == a.input_shape[0]:  # each channel by itself, as in a pool
        own = first.reshape(b.groups, 1, -1)
        return np.asarray((second.reshape(b.groups, -1, own.shape[-1]) * own).reshape(second.shape))
    if b.groups == between == b.output_shape[0]:
        return np.asarray(second * first)
    product = _spread(second, b.groups, groups) @ _spread(first, a.groups, groups)
    return np.asarray(product.reshape(-1, product.shape[-1]))


def _spread(weight: Weights, groups: int, wanted: int) -> Weights:
    """Return [out, in per group] as fewer, larger groups: [wanted, out, in], zeros between."""
    n_out, n_in = weight.shape[0] // groups, weight.shape[1]
    inside = groups // wanted
    spread = np.zeros((wanted, inside, n_out, inside, n_in))
    blocks = weight.reshape(wanted, inside, n_out, n_in)
    for k in range(inside):
        spread[:, k, :, k] = blocks[:, k]
    return spread.reshape(wanted, inside * n_out, inside * n_in)


def _padding(
    a: Convolution, b: Convolution, axis: int, kernel: int, dilation: int
) -> tuple[int, int]:
    """Return zeros before and after, as few as the outputs need."""
    before = b.padding[axis][0] * a.stride[axis] + a.padding[axis][0]
    stride = a.stride[axis] * b.stride[axis]
    last = (b.output_shape[1 + axis] - 1) * stride + (kernel - 1) * dilation - before
    return before, max(0, last - a.input_shape[1 + axis] + 1)


def _fits(c: Convolution) -> bool:
    """Whether the shapes follow from each other by the rule of convolutions."""
    for axis, (before, after) in enumerate(c.padding):
        reach = (c.weight.shape[2 + axis] - 1) * c.dilation[axis] + 1
        room = c.input_shape[1 + axis] + before + after - reach
        if room < 0 or room // c.stride[axis] + 1 != c.output_shape[1 + axis]:
            return False
    return True


def _changed(
    c: Convolution, weight: Weights, padding: tuple[tuple[int, int], ...] | None = None
) -> Convolution:
    return Convolution(
        c.node,
        weight,
        c.bias,
        c.stride,
        c.padding if padding is None else padding,
        c.dilation,
        c.groups,
        c.input_shape,
        c.output_shape,
    )
