"""Compiled components that feed back into themselves: all steps forward, and all steps back.

The neurons of a component's populations stand side by side; ``bounds`` [S + 1] says where each
population begins. Its inner weights are slots: int64 [slots, 8] with the columns SOURCE, TARGET
(populations), DELAY, EXPONENT, AT_24_BITS, DENSE, FIRST and PANELS. A dense slot is a block of rows
from FIRST on, one per source neuron, and for the way back panels from PANELS on; any other is
compressed rows by source, from FIRST on in ``indptr``. Arrays are sample-major, [B, T, N].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled, inlined
from neurodeploy.simulate.gradient_neurons import back_row, dlif_row, extended_lif_row, lif_row
from neurodeploy.simulate.gradient_sums import add_rows, list_events, shifted
from neurodeploy.simulate.vector_products import LANES, ROWS, product_tile

SOURCE, TARGET, DELAY, EXPONENT, AT_24_BITS, DENSE, FIRST, PANELS = range(8)
#: Kinds of rules: which function steps a population.
PLAIN, EXTENDED, DLIF = 0, 1, 2
#: Samples that go back through time together, so that a weight read once serves them all.
BLOCK = ROWS


@compiled(
    "void(int32[:,:,::1], UniTuple(int32[::1], 2), UniTuple(int32[::1], 5), int64[:,::1],"
    "int64[:,::1], boolean[:,::1], int64[::1], int64[:,::1], UniTuple(int32[::1], 4),"
    "int64[::1], int32[:,:,::1], uint8[:,:,::1])"
)
def step_component(
    a: Any, start: Any, rule: Any, kinds: Any, gain: Any, resets: Any, bounds: Any, slots: Any,
    weights: Any, indptr: Any, marks: Any, masks: Any,
) -> None:  # fmt: skip
    """Run a component over all steps.

    Parameters
    ----------
    a : int32 [B, T, N]
        Synaptic input from outside; the input from inside is added to it.
    start, rule
        As in ``step_lif``, for all populations side by side.
    kinds : int64 [S, 4]
        PLAIN, EXTENDED or DLIF; whether the reset subtracts; refractory steps; gain shift.
    gain : int64 [S, T], resets : bool [S, T]
    bounds, slots, weights, indptr
        See the module; ``weights`` is (dense rows, flat; targets and weights of the compressed
        rows; how many targets each population has).
    marks : int32 [B, T, N], masks : uint8 [B, T, N]
        Receive marks and spikes.
    """
    keep_u, keep_v, bias, threshold, taken = rule
    flat, indices, sparse, sizes = weights
    u0, v0 = start
    u, v, wait = np.empty_like(u0), np.empty_like(v0), np.zeros_like(v0)
    steps, n_populations = marks.shape[1], bounds.size - 1
    memory = min(steps, np.int64(1) + (slots[:, DELAY].max() if slots.shape[0] else 0))
    events = np.empty((memory, n_populations, sizes.max() + 1), np.int32)
    counts = np.zeros((memory, n_populations), np.int64)
    scratch = np.empty(sizes.max(), np.int32)
    for b in range(marks.shape[0]):
        u[:], v[:], wait[:] = u0, v0, 0
        for t in range(steps):
            for p in range(n_populations):
                low, high = bounds[p], bounds[p + 1]
                a_p = a[b, t, low:high]
                for s in range(slots.shape[0]):
                    sent = t - slots[s, DELAY]
                    if slots[s, TARGET] != p or sent < 0:
                        continue
                    source, first = slots[s, SOURCE], slots[s, FIRST]
                    here = events[sent % memory, source]
                    count = counts[sent % memory, source]
                    dense, exponent = slots[s, DENSE] != 0, slots[s, EXPONENT]
                    total = scratch[: high - low]
                    total[:] = 0
                    if dense:
                        block = flat[first : first + sizes[source] * (high - low)]
                        add_rows(here, count, block.reshape((-1, high - low)), 0, total)
                    else:
                        for k in range(count):
                            j = first + here[k]
                            for place in range(indptr[j], indptr[j + 1]):
                                i = indices[place]
                                total[i] = np.int32(total[i] + sparse[place])
                    for i in range(total.size):
                        a_p[i] = np.int32(
                            a_p[i] + shifted(total[i], exponent, slots[s, AT_24_BITS] != 0)
                        )
                u_p, v_p, wait_p = u[low:high], v[low:high], wait[low:high]
                if resets[p, t]:
                    u_p[:], v_p[:], wait_p[:] = 0, 0, 0
                mark, mask = marks[b, t, low:high], masks[b, t, low:high]
                own = (
                    keep_u[low:high], keep_v[low:high], bias[low:high], threshold[low:high],
                    taken[low:high],
                )  # fmt: skip
                if kinds[p, 0] == PLAIN:
                    lif_row(a_p, u_p, v_p, own, mark, mask)
                elif kinds[p, 0] == EXTENDED:
                    extended_lif_row(
                        a_p, u_p, v_p, wait_p, own, kinds[p, 1] != 0, np.int32(kinds[p, 2]),
                        mark, mask,
                    )  # fmt: skip
                else:
                    dlif_row(a_p, v_p, own, gain[p, t], kinds[p, 3], mark, mask)
                counts[t % memory, p] = list_events(mask, events[t % memory, p])


@inlined
def add_product(
    by_a: Any, first: Any, depth: Any, panels: Any, start: Any, tile: Any, total: Any
) -> None:
    """Add ``by_a[:, first : first + depth] @ W`` to ``total`` [BLOCK, n]; W in panels."""
    n, width = total.shape[1], by_a.shape[1]
    flat = by_a.reshape(-1)
    for begin in range(0, n, LANES):
        product_tile(flat, first, width, depth, panels, start + begin * depth, tile)
        columns = min(np.int64(LANES), n - begin)
        for r in range(BLOCK):
            for j in range(columns):
                total[r, begin + j] += tile[r * LANES + j]


def _back_signature(real: str) -> str:
    cube = f"{real}[:,:,::1]"
    return (
        f"void(int32[:,:,::1], {cube}, {cube}, int32[::1], UniTuple({real}[::1], 3),"
        f"UniTuple({real}[::1], 2), int64, int64[:,::1], {real}[:,::1], boolean[:,::1], int64[::1],"
        f"int64[:,::1], UniTuple({real}[::1], 2), int32[::1], int64[::1], {cube})"
    )


@compiled(_back_signature("float32"), _back_signature("float64"))
def back_through_component(
    marks: Any, by_spikes: Any, by_v: Any, limits: Any, surrogate: Any, keep: Any, shape: Any,
    kinds: Any, factor: Any, resets: Any, bounds: Any, slots: Any, weights: Any, indices: Any,
    indptr: Any, by_a: Any,
) -> None:  # fmt: skip
    """Go back through all steps of a component.

    Arguments as in ``back_through_neurons``, for all populations side by side, and as in
    ``step_component``: ``factor`` real [S, T]; ``weights`` (dense ones in panels;
    compressed ones by source), real and shifted already; ``by_spikes`` holds what comes from
    outside.
    """
    flat, sparse = weights
    steps, n, n_populations = marks.shape[1], marks.shape[2], bounds.size - 1
    nothing = np.zeros_like(keep[0])
    total = np.zeros((BLOCK, n), nothing.dtype)
    carried_u, carried_v = np.empty_like(total), np.empty_like(total)
    rows = np.zeros((BLOCK, n), nothing.dtype)
    tile = np.empty(BLOCK * LANES, nothing.dtype)
    sums = np.zeros(BLOCK * n, nothing.dtype)
    for begin in range(0, marks.shape[0], BLOCK):
        samples = min(BLOCK, marks.shape[0] - begin)
        carried_u[:] = 0
        carried_v[:] = 0
        for t in range(steps - 1, -1, -1):
            for p in range(n_populations - 1, -1, -1):
                low, high = bounds[p], bounds[p + 1]
                into = sums[: BLOCK * (high - low)].reshape((BLOCK, high - low))
                for r in range(samples):
                    for i in range(high - low):
                        into[r, i] = by_spikes[begin + r, t, low + i] if by_spikes.size else 0
                for s in range(slots.shape[0]):
                    felt = t + slots[s, DELAY]
                    if slots[s, SOURCE] != p or felt >= steps:
                        continue
                    target, first = slots[s, TARGET], slots[s, FIRST]
                    base, end = bounds[target], bounds[target + 1]
                    if slots[s, DENSE] != 0:
                        for r in range(samples):
                            rows[r, base:end] = by_a[begin + r, felt, base:end]
                        add_product(rows, base, end - base, flat, slots[s, PANELS], tile, into)
                        continue
                    for r in range(samples):
                        by_target = by_a[begin + r, felt]
                        for j in range(high - low):
                            at, last = indptr[first + j], indptr[first + j + 1]
                            for place in range(at, last):
                                into[r, j] += sparse[place] * by_target[base + indices[place]]
                own = (
                    surrogate[0][low:high], surrogate[1][low:high], surrogate[2][low:high]
                )  # fmt: skip
                own_keep = (keep[0][low:high], keep[1][low:high])
                for r in range(samples):
                    carried = (carried_u[r, low:high], carried_v[r, low:high])
                    v_row = by_v[begin + r, t, low:high] if by_v.size else nothing[low:high]
                    back_row(
                        marks[begin + r, t, low:high], into[r], v_row, limits[low:high], own,
                        own_keep, shape, kinds[p, 1] != 0, factor[p, t], carried,
                        by_a[begin + r, t, low:high],
                    )  # fmt: skip
                    if resets[p, t]:
                        carried[0][:] = 0
                        carried[1][:] = 0
