"""Which source reaches which target, and when: the connections of any synapse, weights apart.

A float synapse and an integer one of any layout become one pattern, so that what is counted of them
is counted in one way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurodeploy.cost.schedule import AnyNetwork, AnySynapse, latencies
from neurodeploy.errors import ShapeError
from neurodeploy.network import (
    INPUT,
    ConvLayout,
    Convolution,
    Dense,
    FixedPointNetwork,
    FixedSynapse,
    Network,
    Sparse,
    SparseLayout,
    Synapse,
)


def pattern_of(synapse: AnySynapse) -> FixedSynapse:
    """Return ``synapse`` with 1 for every weight that is not zero, in its own layout.

    Raises
    ------
    ShapeError
        For a float synapse that is a chain of operators.
    """
    if isinstance(synapse, FixedSynapse):
        weight, layout = synapse.weight, synapse.layout
    else:
        weight, layout = _float_weights(synapse)
    ones = (np.asarray(weight) != 0).astype(np.int32)
    ends = synapse.name, synapse.source, synapse.target
    return FixedSynapse(*ends, ones, 0, "excitatory", layout=layout)


def _float_weights(synapse: Synapse) -> tuple[NDArray[Any], SparseLayout | ConvLayout | None]:
    operator = synapse.operators[0] if len(synapse.operators) == 1 else None
    if isinstance(operator, Sparse):
        layout = SparseLayout(operator.indptr, operator.indices, operator.size_in)
        return operator.weight, layout
    if isinstance(operator, Convolution) and _is_plain(operator):
        return operator.weight, ConvLayout(
            stride=(operator.stride[0], operator.stride[1]),
            padding=(operator.padding[0][0], operator.padding[1][0]),
            dilation=(operator.dilation[0], operator.dilation[1]),
            groups=operator.groups,
            input_shape=(operator.input_shape[0], *_pair(operator.input_shape)),
            output_shape=(operator.output_shape[0], *_pair(operator.output_shape)),
        )
    if isinstance(operator, Dense) and operator.weight.ndim == 2:
        return operator.weight, None
    kinds = ", ".join(type(o).__name__ for o in synapse.operators) or "identity"
    raise ShapeError(
        f"synapse {synapse.name}: is no single matrix or convolution ({kinds}); compose the "
        "network first"
    )


def _is_plain(convolution: Convolution) -> bool:
    same = all(before == after for before, after in convolution.padding)
    return convolution.weight.ndim == 4 and same


def _pair(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[1], shape[2]


def fan_out(pattern: FixedSynapse) -> NDArray[np.int64]:
    """Return the connections of each source, int64 [in]."""
    if not isinstance(pattern.layout, ConvLayout):
        return pattern.fan_out
    layout, kernel = pattern.layout, pattern.weight
    per_group = kernel.shape[0] // layout.groups
    # Non-zero weights of each input channel at each place of the kernel.
    met = kernel.reshape(layout.groups, per_group, *kernel.shape[1:]).sum(axis=1)
    met = met.reshape(layout.input_shape[0], *kernel.shape[2:])
    y, x = (_served(layout, kernel.shape, axis) for axis in (0, 1))
    return np.asarray(np.einsum("ckl,ky,lx->cyx", met, y, x, optimize=True), np.int64).reshape(-1)


def fan_in(pattern: FixedSynapse) -> NDArray[np.int64]:
    """Return the connections of each target, int64 [out]."""
    if not isinstance(pattern.layout, ConvLayout):
        return pattern.fan_in
    layout, kernel = pattern.layout, pattern.weight
    taps = [_taken(layout, kernel.shape, axis) for axis in (0, 1)]
    y, x = (inside.astype(np.int64) for _, inside in taps)
    sums = np.einsum("okl,ky,lx->oyx", kernel.sum(axis=1), y, x, optimize=True)
    return np.asarray(sums, np.int64).reshape(-1)


def shift_of(net: AnyNetwork, synapse: AnySynapse, *, hardware: bool) -> NDArray[np.int64]:
    """Return how many steps after it was sent a sum is felt, () or of the weight's shape.

    ``hardware``: on the hardware axis, else on the logical one.
    """
    if isinstance(net, FixedPointNetwork) and isinstance(synapse, FixedSynapse):
        if hardware:
            return np.asarray(synapse.delay, np.int64) + 1
        return net.logical_delay(synapse)
    if isinstance(net, Network) and isinstance(synapse, Synapse):
        if not hardware:
            return np.asarray(synapse.delay_steps, np.int64)
        at = {INPUT: 0, **latencies(net)}
        return np.asarray(at[synapse.target] - at[synapse.source] + synapse.delay_steps, np.int64)
    raise TypeError(f"{type(synapse).__name__} of a {type(net).__name__}")


def reached(
    pattern: FixedSynapse, shift: NDArray[np.int64], sent: NDArray[Any], rows: int
) -> NDArray[np.bool_]:
    """Return where [rows, B, out] a message arrives.

    Parameters
    ----------
    shift : int array
        Steps that each connection takes, () or of the weight's shape.
    sent : array [steps, B, in]
        Anything but 0 is a message.
    """
    events = np.asarray(sent) != 0
    found = np.zeros((rows, events.shape[1], pattern.size_out), dtype=np.bool_)
    for steps in np.unique(shift):
        alike = np.broadcast_to(shift == steps, pattern.weight.shape)
        arrived = _arrived(pattern, pattern.weight * alike, events)
        kept = max(0, min(len(arrived), rows - int(steps)))
        found[int(steps) : int(steps) + kept] |= arrived[:kept]
    return found


def _arrived(
    pattern: FixedSynapse, weight: NDArray[np.int32], events: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which targets [T, B, out] some event reaches through ``weight``."""
    flat = events.reshape(-1, events.shape[-1])
    if isinstance(pattern.layout, ConvLayout):
        hit = _arrived_conv(pattern.layout, weight, flat)
    elif isinstance(pattern.layout, SparseLayout):
        used = weight != 0
        ends = (pattern.layout.indices, pattern.layout.indptr)
        shape = (pattern.size_out, pattern.size_in)
        matrix = scipy.sparse.csr_array((used.astype(np.float32), *ends), shape=shape)
        hit = (matrix @ flat.T.astype(np.float32)).T > 0
    else:
        hit = flat.astype(np.float32) @ weight.T.astype(np.float32) > 0
    return np.asarray(hit, np.bool_).reshape(*events.shape[:2], pattern.size_out)


def _arrived_conv(
    layout: ConvLayout, weight: NDArray[np.int32], flat: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Gather the events of each place of the kernel, channel group by channel group."""
    groups, (c_out, height, width) = layout.groups, layout.output_shape
    images = flat.reshape(-1, groups, layout.input_shape[0] // groups, *layout.input_shape[1:])
    kernel = weight.reshape(groups, c_out // groups, *weight.shape[1:]).astype(np.float32)
    (at_y, in_y), (at_x, in_x) = (_taken(layout, weight.shape, axis) for axis in (0, 1))
    hit = np.zeros((len(flat), groups, c_out // groups, height, width), dtype=np.bool_)
    for ky, kx in np.ndindex(*weight.shape[2:]):
        rows, columns = np.flatnonzero(in_y[ky]), np.flatnonzero(in_x[kx])
        taken = images[..., at_y[ky, rows][:, None], at_x[kx, columns]].astype(np.float32)
        sums = np.einsum("goi,rgiyx->rgoyx", kernel[..., ky, kx], taken, optimize=True)
        hit[..., rows[:, None], columns] |= sums > 0
    return hit.reshape(len(flat), -1)


def _taken(
    layout: ConvLayout, kernel: tuple[int, ...], axis: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return per kernel element and output place the input place, and whether it is no padding."""
    out = np.arange(layout.output_shape[1 + axis], dtype=np.int64) * layout.stride[axis]
    tap = np.arange(kernel[2 + axis], dtype=np.int64)[:, None] * layout.dilation[axis]
    taken = out + tap - layout.padding[axis]
    return taken, (taken >= 0) & (taken < layout.input_shape[1 + axis])


def _served(layout: ConvLayout, kernel: tuple[int, ...], axis: int) -> NDArray[np.int64]:
    """Return how many outputs each kernel element serves from each input place."""
    taken, inside = _taken(layout, kernel, axis)
    served = np.zeros((kernel[2 + axis], layout.input_shape[1 + axis]), np.int64)
    taps = np.broadcast_to(np.arange(kernel[2 + axis])[:, None], taken.shape)
    np.add.at(served, (taps[inside], taken[inside]), 1)
    return served
