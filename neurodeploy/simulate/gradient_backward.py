"""Compiled neurons on their way back through time. Arrays are sample-major, [B, T, N].

What is known of each neuron-step is its mark, see ``gradient_neurons``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled
from neurodeploy.simulate.gradient_lanes import (
    RECTANGLE,
    SUPERSPIKE,
    TRIANGLE,
    WIDE,
    back_given,
    back_rectangle,
    back_superspike,
    back_triangle,
)


def _columns_signature(real: str) -> str:
    flat = f"{real}[::1]"
    return (
        f"void(int64, Tuple((int32[::1], {flat}, {flat}, {flat}, {flat})), UniTuple(int64, 5),"
        f"UniTuple(int64, 5), UniTuple({flat}, 5), int32[::1], int64, UniTuple({flat}, 2), int64,"
        f"Tuple(({flat}, boolean[::1])), int64, int64, int64, int64)"
    )


@compiled(_columns_signature("float32"), _columns_signature("float64"))
def back_columns(
    shape: Any, arrays: Any, at: Any, apart: Any, own: Any, limits: Any, here: Any, carried: Any,
    at_carried: Any, over: Any, first: Any, steps: Any, subtracts: Any, size: Any,
) -> None:  # fmt: skip
    """Take ``size`` neurons of one sample back; arguments as in ``gradient_lanes``."""
    if shape == TRIANGLE:
        back_triangle(
            arrays, at, apart, own, limits, here, carried, at_carried, over, first, steps,
            subtracts, size,
        )  # fmt: skip
    elif shape == RECTANGLE:
        back_rectangle(
            arrays, at, apart, own, limits, here, carried, at_carried, over, first, steps,
            subtracts, size,
        )  # fmt: skip
    elif shape == SUPERSPIKE:
        back_superspike(
            arrays, at, apart, own, limits, here, carried, at_carried, over, first, steps,
            subtracts, size,
        )  # fmt: skip
    else:
        back_given(
            arrays, at, apart, own, limits, here, carried, at_carried, over, first, steps,
            subtracts, size,
        )  # fmt: skip


def _back_signature(real: str) -> str:
    cube = f"{real}[:,:,::1]"
    return (
        f"void(int32[:,:,::1], {cube}, {cube}, {cube}, UniTuple({real}[::1], 5), int32[::1],"
        f"int64, int64, {real}[::1], boolean[::1], {cube})"
    )


@compiled(_back_signature("float32"), _back_signature("float64"))
def back_through_neurons(
    marks: Any, by_spikes: Any, by_v: Any, slopes: Any, own: Any, limits: Any, shape: Any,
    subtracts: Any, factor: Any, resets: Any, by_a: Any,
) -> None:  # fmt: skip
    """Go back through all steps of a population.

    With g the gradient by what is added to v: ``g = slope * by_spikes + alive * (by_v + carried)``
    and zero where v was clipped; ``alive`` is zero where a spike set v to zero. A held neuron
    passes its gradient on and takes none.

    Parameters
    ----------
    marks : int32 [B, T, N]
    by_spikes, by_v : real [B, T or 1, N], or empty
        Gradient by the spikes, and by v after reset; one row where it is the same at every step.
    slopes : real [B, T, N], or empty
        Slopes of the spikes, for GIVEN.
    own : (threshold, reach, peak, keep_u, keep_v), real [N]
        ``reach`` is the width in units of v. With d the distance from the threshold the slope is
        ``peak * max(0, reach - d)``, ``peak`` where d < reach, or ``peak / (reach + d)^2``. Decays
        are slopes, 0..1.
    limits : int32 [N]
        Thresholds within the range of v.
    shape : int
        TRIANGLE, RECTANGLE, SUPERSPIKE or GIVEN.
    subtracts : int
        Whether v goes on after a spike.
    factor : real [T]
        d(added to v) / d(synaptic sum).
    resets : bool [T]
        Before which steps u and v were set to zero.
    by_a : real [B, T, N]
        Receives the gradient by the synaptic sum.
    """
    batch, steps, size = marks.shape
    nothing = np.zeros(size, factor.dtype)
    carried = (np.zeros_like(nothing), np.zeros_like(nothing))
    spike_rows, v_rows = by_spikes.shape[1], by_v.shape[1]
    arrays = (
        marks.reshape(-1),
        by_spikes.reshape(-1) if spike_rows else nothing,
        by_v.reshape(-1) if v_rows else nothing,
        slopes.reshape(-1) if slopes.size else nothing,
        by_a.reshape(-1),
    )
    apart = (
        size, size if spike_rows > 1 else 0, size if v_rows > 1 else 0,
        size if slopes.size else 0, size,
    )  # fmt: skip
    row = steps * size
    for b in range(batch):
        carried[0][:] = 0
        carried[1][:] = 0
        at = (b * row, b * spike_rows * size, b * v_rows * size, b * apart[3] * steps, b * row)
        if size <= WIDE:
            back_columns(
                shape, arrays, at, apart, own, limits, 0, carried, 0, (factor, resets), 0, steps,
                subtracts, size,
            )  # fmt: skip
            continue
        for t in range(steps - 1, -1, -1):
            here = (
                at[0] + t * apart[0], at[1] + t * apart[1], at[2] + t * apart[2],
                at[3] + t * apart[3], at[4] + t * apart[4],
            )  # fmt: skip
            back_columns(
                shape, arrays, here, apart, own, limits, 0, carried, 0, (factor, resets), t, 1,
                subtracts, size,
            )  # fmt: skip
