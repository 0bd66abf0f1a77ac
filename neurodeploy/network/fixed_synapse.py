"""Integer connections: a dense matrix, a sparse one, or a convolution, with delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network.arrays import IntArray, int_array, whole
from neurodeploy.network.registers import SignMode

SynapseKind = Literal["dense", "sparse", "conv"]
Pair: TypeAlias = tuple[int, int]
Shape3: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class SparseLayout:
    """Where the weights of a sparse matrix stand: compressed rows, one row per target.

    ``indptr`` int32 [out + 1]; ``indices`` int32 [nnz], the sources, ascending within a row.
    """

    indptr: IntArray
    indices: IntArray
    n_source: int

    def __post_init__(self) -> None:
        """Check that the rows are ascending and within the matrix; freeze the arrays."""
        object.__setattr__(self, "n_source", whole("sparse layout: n_source", self.n_source))
        for name in ("indptr", "indices"):
            array = np.asarray(getattr(self, name))
            object.__setattr__(self, name, int_array(f"sparse {name}", array, (array.size,)))
        steps = np.diff(self.indptr)
        complete = (
            self.indptr.size > 0
            and self.indptr[0] == 0
            and (steps >= 0).all()
            and self.indptr[-1] == self.indices.size
        )
        if not complete:
            raise ShapeError(
                f"sparse layout: indptr must ascend from 0 to {self.indices.size}, the number of "
                "indices"
            )
        inside = (self.indices >= 0) & (self.indices < self.n_source)
        rows = np.repeat(np.arange(steps.size), steps)
        ascending = (np.diff(self.indices) > 0) | (np.diff(rows) > 0)
        if not (inside.all() and ascending.all()):
            raise ShapeError(
                f"sparse layout: indices must lie in 0..{self.n_source - 1} and ascend in each row"
            )


@dataclass(frozen=True, slots=True)
class ConvLayout:
    """Geometry of a cross-correlation over two axes, as PyTorch's ``conv2d``.

    Shapes are (C, H, W); pairs are (y, x). Padding is the same before and after.
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    input_shape: Shape3
    output_shape: Shape3

    def __post_init__(self) -> None:
        """Make every number a Python int and check how many there are."""
        pairs = {"stride": 2, "padding": 2, "dilation": 2, "input_shape": 3, "output_shape": 3}
        for name, count in pairs.items():
            values = tuple(whole(f"conv layout: {name}", n) for n in getattr(self, name))
            if len(values) != count:
                raise ShapeError(f"conv layout: {name} is {values}, needs {count} numbers")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "groups", whole("conv layout: groups", self.groups))

    def check(self, where: str, weight_shape: tuple[int, ...]) -> None:
        """Raise ShapeError unless a kernel [C_out, C_in / groups, h, w] fits this geometry."""
        if len(weight_shape) != 4 or 0 in weight_shape:
            raise ShapeError(
                f"{where}: a convolution's weight is [C_out, C_in / groups, h, w], none of them 0, "
                f"not {weight_shape}"
            )
        (c_in, *extent_in), (c_out, *extent_out) = self.input_shape, self.output_shape
        groups = self.groups
        channels_fit = groups > 0 and c_in % groups == 0 and c_out % groups == 0
        if not channels_fit or weight_shape[:2] != (c_out, c_in // groups):
            raise ShapeError(
                f"{where}: weight {weight_shape} does not fit {c_in} -> {c_out} channels in "
                f"{groups} groups"
            )
        if min(*self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise ShapeError(
                f"{where}: stride {self.stride} and dilation {self.dilation} are at least 1, "
                f"padding {self.padding} at least 0"
            )
        for axis in (0, 1):
            reach = self.dilation[axis] * (weight_shape[2 + axis] - 1) + 1
            room = extent_in[axis] + 2 * self.padding[axis] - reach
            fits = room // self.stride[axis] + 1 if room >= 0 else 0
            if fits != extent_out[axis] or fits < 1:
                raise ShapeError(
                    f"{where}: kernel {weight_shape[2:]}, stride {self.stride}, padding "
                    f"{self.padding} and dilation {self.dilation} make {fits} values of "
                    f"{extent_in[axis]} on axis {axis}, not {extent_out[axis]}"
                )


class Connections(NamedTuple):
    """Every weight that is not zero, one entry each, by source and then by target."""

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    weight: NDArray[np.int64]
    delay: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FixedSynapse:
    """Integer connection: ``a += shift(sum_j weight[i, j] * s_j, weight_exp)``.

    ``shift(x, e)`` is ``x << e`` for e > 0, else ``x >> -e`` (floor, on the sum); all in int32
    with wrap-around. ``s`` is 1 per spike, or the payload where ``message_bits`` > 0. A sum is
    felt one hardware step after it was sent, plus the delay.

    * dense (``layout`` None; Lava Dense, DelayDense): ``weight`` [out, in].
    * sparse (SparseLayout; Lava Sparse, DelaySparse): ``weight`` [nnz] in the order of the layout.
    * conv (ConvLayout; Lava Conv): ``weight`` [C_out, C_in / groups, h, w], torch's order. No
      exponent, no delay, nothing clipped; its sum wraps into 24 bits, ``((x + 2^23) mod 2^24) -
      2^23``, before it is added.

    With delays, the weights of one delay make one sum with a shift (and floor) of its own.

    Parameters
    ----------
    weight : int32
        Prepared mantissas: already clipped and rounded to what ``sign_mode`` can hold.
    weight_exp : int
        -8..7; 0 for a convolution.
    sign_mode : {"mixed", "excitatory", "inhibitory"}
        Of dense and sparse weights, never detected; of a convolution for its legality alone.
    weight_bits : int
        Declared width, 1..8; mixed sign spends one bit, so its step is ``2**(9 - bits)``.
    message_bits : int
        0 for spikes, else the width of the graded payload.
    delay : int, or int32 of the weight's shape
        Hardware steps beyond the one that every synapse costs, 0..62.
    """

    name: str
    source: str
    target: str
    weight: IntArray
    weight_exp: int
    sign_mode: SignMode
    weight_bits: int = 8
    message_bits: int = 0
    delay: int | IntArray = 0
    layout: SparseLayout | ConvLayout | None = None

    def __post_init__(self) -> None:
        """Freeze the arrays; check shapes and delays against the layout."""
        where = f"synapse {self.name}"
        shape = np.asarray(self.weight).shape
        weight = int_array(f"{where}: weight", self.weight, shape)
        object.__setattr__(self, "weight", weight)
        for name in ("weight_exp", "weight_bits", "message_bits"):
            object.__setattr__(self, name, whole(f"{where}: {name}", getattr(self, name)))
        if self.sign_mode not in get_args(SignMode):
            raise RangeError(f"{where}: no sign_mode is {self.sign_mode!r}")
        self._check_layout(where, shape)
        if isinstance(self.delay, (int, np.integer)):
            object.__setattr__(self, "delay", int(self.delay))
        else:
            delay = int_array(f"{where}: delay", self.delay, shape)
            # One delay for all is said in one way only.
            same = delay.size > 0 and (delay == delay.flat[0]).all()
            object.__setattr__(self, "delay", int(delay.flat[0]) if same else delay)
        if np.min(self.delay, initial=0) < 0:
            raise RangeError(f"{where}: delay {np.min(self.delay)}; a delay cannot be negative")

    def _check_layout(self, where: str, shape: tuple[int, ...]) -> None:
        if isinstance(self.layout, ConvLayout):
            self.layout.check(where, shape)
            if self.weight_exp != 0 or np.any(np.asarray(self.delay) != 0):
                raise RangeError(
                    f"{where}: weight_exp {self.weight_exp} and delay {self.delay}; Lava's Conv "
                    "has neither: use a sparse synapse"
                )
        elif isinstance(self.layout, SparseLayout):
            if shape != self.layout.indices.shape:
                raise ShapeError(
                    f"{where}: {shape} weights for {self.layout.indices.size} places in the layout"
                )
        elif len(shape) != 2 or 0 in shape:
            raise ShapeError(f"{where}: a dense weight is [out, in], not {shape}")

    @property
    def kind(self) -> SynapseKind:
        """What connects: "dense", "sparse" or "conv"."""
        if self.layout is None:
            return "dense"
        return "conv" if isinstance(self.layout, ConvLayout) else "sparse"

    @property
    def size_out(self) -> int:
        """Number of values given."""
        if isinstance(self.layout, ConvLayout):
            return int(np.prod(self.layout.output_shape))
        if isinstance(self.layout, SparseLayout):
            return int(self.layout.indptr.size) - 1
        return int(self.weight.shape[0])

    @property
    def size_in(self) -> int:
        """Number of values taken."""
        if isinstance(self.layout, ConvLayout):
            return int(np.prod(self.layout.input_shape))
        if isinstance(self.layout, SparseLayout):
            return self.layout.n_source
        return int(self.weight.shape[1])

    @property
    def delays(self) -> tuple[int, ...]:
        """The delays that occur, ascending."""
        return tuple(int(d) for d in np.unique(self.delay))

    def shape_between(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Return (values given, values taken)."""
        del sizes
        return self.size_out, self.size_in

    def connections(self) -> Connections:
        """Return every weight that is not zero with its ends and delay, by source, then target."""
        delay = np.broadcast_to(np.asarray(self.delay, np.int64), self.weight.shape)
        if isinstance(self.layout, ConvLayout):
            target, source, weight = _conv_connections(self.weight, self.layout)
            delays = np.zeros(weight.size, np.int64)
        elif isinstance(self.layout, SparseLayout):
            rows = np.repeat(np.arange(self.size_out), np.diff(self.layout.indptr))
            target, source = rows, self.layout.indices.astype(np.int64)
            weight, delays = self.weight.astype(np.int64), delay.reshape(-1)
        else:
            target, source = np.nonzero(self.weight)
            weight, delays = self.weight[target, source].astype(np.int64), delay[target, source]
        used = weight != 0
        target, source, weight, delays = (x[used] for x in (target, source, weight, delays))
        order = np.lexsort((target, source))
        return Connections(target[order], source[order], weight[order], delays[order])

    @property
    def fan_out(self) -> NDArray[np.int64]:
        """Weights other than zero that an event of each source meets, int64 [in]."""
        if self.layout is None:
            return np.asarray((self.weight != 0).sum(axis=0), np.int64)
        return np.bincount(self.connections().source, minlength=self.size_in).astype(np.int64)

    @property
    def fan_in(self) -> NDArray[np.int64]:
        """Weights other than zero of each target, int64 [out]."""
        if self.layout is None:
            return np.asarray((self.weight != 0).sum(axis=1), np.int64)
        return np.bincount(self.connections().target, minlength=self.size_out).astype(np.int64)


def as_sparse(
    layout: ConvLayout, kernel: tuple[int, ...]
) -> tuple[SparseLayout, NDArray[np.int64]]:
    """Return a convolution as the sparse matrix that it is, whatever its weights.

    Parameters
    ----------
    layout : ConvLayout
    kernel : tuple of int
        Shape of the kernel, [C_out, C_in / groups, h, w].

    Returns
    -------
    layout : SparseLayout
        Every connection that does not fall on padding; those whose weight is zero as well.
    element : int64 [nnz]
        Which element of the flattened kernel each of them has.
    """
    numbers = np.arange(np.prod(kernel)).reshape(kernel)
    target, source, element = _conv_connections(numbers, layout)
    order = np.lexsort((source, target))
    size_in, size_out = int(np.prod(layout.input_shape)), int(np.prod(layout.output_shape))
    counts = np.bincount(target, minlength=size_out)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return SparseLayout(indptr, source[order].astype(np.int32), size_in), element[order]


def _conv_connections(
    weight: NDArray[Any], layout: ConvLayout
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Write a convolution out, kernel element by kernel element."""
    (_, height, width), (c_out, rows, columns) = layout.input_shape, layout.output_shape
    in_group, out_group = weight.shape[1], c_out // layout.groups
    o, i = (x.ravel() for x in np.meshgrid(np.arange(c_out), np.arange(in_group), indexing="ij"))
    channel = i + (o // out_group) * in_group
    targets, sources, weights = [], [], []
    for ky in range(weight.shape[2]):
        y = np.arange(rows) * layout.stride[0] + ky * layout.dilation[0] - layout.padding[0]
        row = np.flatnonzero((y >= 0) & (y < height))
        for kx in range(weight.shape[3]):
            x = np.arange(columns) * layout.stride[1] + kx * layout.dilation[1] - layout.padding[1]
            column = np.flatnonzero((x >= 0) & (x < width))
            out = (row[:, None] * columns + column).ravel()
            taken = (y[row][:, None] * width + x[column]).ravel()
            targets.append((o[:, None] * rows * columns + out).ravel())
            sources.append((channel[:, None] * height * width + taken).ravel())
            weights.append(np.repeat(weight[o, i, ky, kx], out.size))
    parts = (np.concatenate(p).astype(np.int64) for p in (targets, sources, weights))
    target, source, values = parts
    return target, source, values
