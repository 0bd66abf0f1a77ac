"""Weights as segments: for each source, stretches of neighbouring targets and their weights.

An event then adds a few stretches of a weight pool to a few stretches of the synaptic input. A
dense matrix is one stretch per source. A convolution with its targets held channels-last is one
stretch per kernel row and source; sources of one channel share their weights, and sources at one
place share their list of stretches. Any other matrix is cut where targets lie far apart; sources
whose weights are alike share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.fixed_synapse import ConvLayout
from neurodeploy.simulate.aligned import aligned
from neurodeploy.simulate.lanes import LANES, MASK_ALIGNMENT

Int64 = NDArray[np.int64]

#: Weights that the second cache level holds beside the rest.
_CACHED_WEIGHTS = 2**18


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """What events of each source add, and where.

    Parameters
    ----------
    first : int32 [lists + 1]
        List i is ``table[first[i] : first[i + 1]]``.
    table : int32 [segments, 4]
        First target; whole vectors of LANES; offset into the pool; number of weights.
    lists, offsets : int32 [sources padded to MASK_ALIGNMENT]
        Of each source: its list, and what is added to the list's pool offsets.
    pool : int16 or int32
        Weights, shifted left by ``left``; each segment is followed by zeros up to a whole vector,
        or by what no whole vector reaches. From ``zero`` on there are zeros, enough for any list.
    zero, left : int
    period : int
        Words of MASK_ALIGNMENT sources after which the same channels come again. Channels are
        visited one word at a time, at all places, where all weights together fill no cache.
    shares : float
        Mean number of sources with one list.
    """

    first: NDArray[np.int32]
    table: NDArray[np.int32]
    lists: NDArray[np.int32]
    offsets: NDArray[np.int32]
    pool: NDArray[np.int16 | np.int32]
    zero: int
    left: int
    period: int
    shares: float

    @property
    def arrays(self) -> tuple[NDArray[np.int32], ...]:
        """The four tables, as the kernels take them."""
        return self.first, self.table, self.lists, self.offsets

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        return sum(x.nbytes for x in (*self.arrays, self.pool))


def dense_segments(weight: Int64, left: int) -> Segments:
    """Return the segments of ``weight`` [targets, sources]: a row for each source."""
    n_out, n_in = weight.shape
    row = _whole(n_out)
    pool = np.zeros((n_in + 1, row), np.int64)
    pool[:-1, :n_out] = weight.T
    return _finish(
        first=np.array([0, 1]),
        table=np.array([[0, row // LANES, 0, n_out]]),
        lists=np.zeros(n_in, np.int64),
        offsets=np.arange(n_in) * row,
        pool=pool.ravel(),
        extent=row,
        left=left,
    )


def listed_segments(
    target: Int64, source: Int64, weight: Int64, n_source: int, left: int
) -> Segments:
    """Return the segments of weights given one by one, by source and then by target.

    Targets less than a vector apart share a segment, with zeros between them.
    """
    if weight.size == 0:
        return _finish(
            first=np.array([0, 0]), table=np.zeros((0, 4), np.int64),
            lists=np.zeros(n_source, np.int64), offsets=np.zeros(n_source, np.int64),
            pool=np.zeros(0, np.int64), extent=0, left=left,
        )  # fmt: skip
    begins = np.ones(weight.size, np.bool_)
    begins[1:] = (np.diff(source) != 0) | (np.diff(target) > LANES)
    at = np.flatnonzero(begins)
    segment = np.cumsum(begins) - 1
    start, owner = target[at], source[at]
    length = np.append(target[at[1:] - 1], target[-1]) - start + 1
    room = -(-length // LANES) * LANES
    place = np.cumsum(room) - room
    values = np.zeros(int(room.sum()), np.int64)
    values[place[segment] + target - start[segment]] = weight

    bounds = np.searchsorted(owner, np.arange(n_source + 1))
    every = np.stack([start, room // LANES, place, length], 1)
    blocks: dict[bytes, int] = {}
    patterns: dict[bytes, int] = {}
    parts: list[Int64] = []
    tables: list[Int64] = []
    first = [0]
    lists, offsets = np.zeros(n_source, np.int64), np.zeros(n_source, np.int64)
    used = extent = 0
    for j in range(n_source):
        low, high = bounds[j], bounds[j + 1]
        base = place[low] if low < high else 0
        size = int(room[low:high].sum())
        block = values[base : base + size]
        key = block.tobytes()
        if key not in blocks:
            blocks[key] = used
            parts.append(block)
            used += size
            extent = max(extent, size)
        offsets[j] = blocks[key]
        table = every[low:high].copy()
        table[:, 2] -= base
        pattern = table.tobytes()
        if pattern not in patterns:
            patterns[pattern] = len(tables)
            tables.append(table)
            first.append(first[-1] + len(table))
        lists[j] = patterns[pattern]
    return _finish(
        first=np.array(first), table=np.concatenate(tables), lists=lists, offsets=offsets,
        pool=np.concatenate([*parts, np.zeros(extent, np.int64)]), extent=extent, left=left,
    )  # fmt: skip


def conv_segments(weight: NDArray[np.int32], layout: ConvLayout, order: Int64) -> Segments:
    """Return the segments of a convolution whose targets are held (H, W, C).

    Parameters
    ----------
    weight : int32 [C_out, C_in / groups, h, w]
    layout : ConvLayout
    order : int64 [sources]
        Which value in C order each source of the engine is.
    """
    (c_in, height, width), (c_out, rows, columns) = layout.input_shape, layout.output_shape
    groups, per_group = layout.groups, c_out // layout.groups
    kernel = weight.shape[2:]
    y_hits = [_hits(y, 0, layout, kernel[0], rows) for y in range(height)]
    x_hits = [_hits(x, 1, layout, kernel[1], columns) for x in range(width)]

    # Every stretch of kernel columns that some source needs.
    runs: set[tuple[int, ...]] = set()
    x_runs: list[list[tuple[int, tuple[int, ...]]]] = []
    for hits in x_hits:
        found: list[tuple[int, tuple[int, ...]]] = []
        for ox, kx in hits:
            if groups == 1 and found and found[-1][0] + len(found[-1][1]) == ox:
                found[-1] = (found[-1][0], (*found[-1][1], kx))
            else:
                found.append((ox, (kx,)))
        x_runs.append(found)
        runs.update(columns_used for _, columns_used in found)
    grouped = weight.reshape(groups, per_group, *weight.shape[1:])
    by_source = grouped.transpose(0, 2, 3, 4, 1).reshape(c_in, *kernel, per_group)
    places, size, parts = _placed_runs(by_source, sorted(runs, key=len, reverse=True))
    pool = np.zeros((c_in + 1, size), np.int64)
    for place, part in parts:
        pool[:-1, place : place + part.shape[1]] = part

    first, table = [0], []
    for y in range(height):
        for x in range(width):
            for group in range(groups):
                for oy, ky in y_hits[y]:
                    for ox, run in x_runs[x]:
                        start = (oy * columns + ox) * c_out + group * per_group
                        length = len(run) * per_group
                        table.append((start, _whole(length) // LANES, places[ky, run], length))
                first.append(len(table))
    channel, place_in_map = np.divmod(order, height * width)
    return _finish(
        first=np.array(first),
        table=np.array(table).reshape(-1, 4),
        lists=place_in_map * groups + channel // (c_in // groups),
        offsets=channel * size,
        pool=pool.ravel(),
        extent=size,
        left=0,
        period=_period(order, height * width, pool.size),
    )


def _placed_runs(
    by_source: NDArray[np.int32], runs: list[tuple[int, ...]]
) -> tuple[dict[tuple[int, tuple[int, ...]], int], int, list[tuple[int, NDArray[np.int32]]]]:
    """Lay out every channel's weights, [C_in, h, w, per group], alike.

    Returns the place of each (kernel row, run), the size of a channel, and what stands where.
    Equal weights have one place: a sum pool before a convolution repeats them. Where vectors end
    with a kernel element, a run that is part of a longer one lies in it.
    """
    c_in, rows, _, per_group = by_source.shape
    places: dict[tuple[int, tuple[int, ...]], int] = {}
    known: dict[bytes, int] = {}
    parts: list[tuple[int, NDArray[np.int32]]] = []
    size = 0
    for row in range(rows):
        for run in runs:
            values = np.ascontiguousarray(by_source[:, row, list(run)].reshape(c_in, -1))
            key = values.tobytes()
            if key not in known:
                known[key] = size
                parts.append((size, values))
                if per_group % LANES == 0:
                    for length in range(1, len(run)):
                        for begin in range(len(run) - length + 1):
                            inner = values[:, begin * per_group : (begin + length) * per_group]
                            known.setdefault(inner.tobytes(), size + begin * per_group)
                size += _whole(values.shape[1])
            places[row, run] = known[key]
    return places, size, parts


def _period(order: Int64, pixels: int, weights: int) -> int:
    """Return the words from one place of a channels-last map to the next, or 1."""
    channels = order.size // pixels
    if channels % MASK_ALIGNMENT or weights <= _CACHED_WEIGHTS:
        return 1
    last = (order[:channels] == np.arange(channels) * pixels).all()
    return channels // MASK_ALIGNMENT if last else 1


def conv_fan_out(weight: NDArray[np.int32], layout: ConvLayout) -> Int64:
    """Return how many weights other than zero an event of each source meets, in C order."""
    (c_in, height, width), (c_out, rows, columns) = layout.input_shape, layout.output_shape
    grouped = weight.reshape(layout.groups, c_out // layout.groups, *weight.shape[1:])
    used = (grouped != 0).sum(axis=1).reshape(c_in, *weight.shape[2:])
    reached = []
    for axis, extent, made in ((0, height, rows), (1, width, columns)):
        kernel = weight.shape[2 + axis]
        hit = np.zeros((kernel, extent), np.int64)
        for place in range(extent):
            for _, k in _hits(place, axis, layout, kernel, made):
                hit[k, place] += 1
        reached.append(hit)
    fan: Int64 = np.einsum("cij,iy,jx->cyx", used, *reached).astype(np.int64).ravel()
    return fan


def _hits(
    place: int, axis: int, layout: ConvLayout, kernel: int, made: int
) -> list[tuple[int, int]]:
    """Return (output, kernel element) pairs that meet an input, by output."""
    pairs = []
    for k in range(kernel):
        output, rest = divmod(
            place + layout.padding[axis] - k * layout.dilation[axis], layout.stride[axis]
        )
        if rest == 0 and 0 <= output < made:
            pairs.append((output, k))
    return sorted(pairs)


def _whole(length: int) -> int:
    """Round up to whole vectors."""
    return -(-length // LANES) * LANES


def _finish(
    *, first: NDArray[np.int64], table: NDArray[np.int64], lists: NDArray[np.int64],
    offsets: NDArray[np.int64], pool: NDArray[np.int64], extent: int, left: int, period: int = 1,
) -> Segments:  # fmt: skip
    """Shift, narrow and pad; ``pool`` ends with ``extent`` zeros."""
    shifted = pool.astype(np.int64) << left
    if shifted.size and max(-int(shifted.min()), int(shifted.max())) > np.iinfo(np.int32).max:
        shifted, left = pool, 0  # only the int64 kernels can run it
    limits = np.iinfo(np.int16)
    narrow = shifted.size == 0 or (shifted.min() >= limits.min and shifted.max() <= limits.max)
    sources = np.zeros((2, -(-max(lists.size, 1) // MASK_ALIGNMENT) * MASK_ALIGNMENT), np.int32)
    sources[0, : lists.size], sources[1, : lists.size] = lists, offsets
    # One vector more: what follows the last zeros is read by nobody, but must be there.
    padded = np.append(shifted, np.zeros(LANES, np.int64))
    return Segments(
        first=np.ascontiguousarray(first, np.int32),
        table=np.ascontiguousarray(table, np.int32),
        lists=sources[0].copy(),
        offsets=sources[1].copy(),
        pool=aligned(padded.astype(np.int16 if narrow else np.int32)),
        zero=int(pool.size) - int(extent),
        left=left,
        period=period,
        shares=lists.size / max(1, np.unique(lists).size),
    )
