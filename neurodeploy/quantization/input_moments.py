"""What enters a population on calibration samples, as second moments: the measure of a rounding.

The membrane of a neuron without resets is a sum of weighted inputs, each decayed since it came. So
the expected squared error that a rounding ``E`` of its weights makes there is ``E C E^T``, with
``C`` the second moments of the decayed input. Adversarial input leaves the directions that clean
samples have: with ``C`` of clean samples alone a rounding pushes its errors where they are not
seen, and robustness is lost although spikes agree better (seven digit networks, 4 bits, 26 codes:
5.5 % of the images lost, with nearest rounding 3.1 %). ``RIDGE`` puts as much into every direction
as the samples have on average; then 1.9 % are lost. See ``studies/digits_quantizers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    INPUT,
    ConvLayout,
    Convolution,
    Network,
    Population,
    SparseLayout,
    Synapse,
)
from neurodeploy.quantization.exact_products import gram, product
from neurodeploy.quantization.incoming import Incoming, conv_layout, row_sums
from neurodeploy.simulate import run_float

#: Times the mean second moment that is added to every input's own.
RIDGE = 1.0
#: Inputs of one neuron up to which moments between inputs are kept; beyond, only their own.
MOST_INPUTS = 4608
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Second moments of the decayed input of one synapse, without ridge.

    Parameters
    ----------
    groups : tuple of float64 [k, k], or [k] where only the inputs' own are kept
        One for a matrix, over its sources; one per group of a convolution, over the places of its
        kernel [C_in / groups, h, w]; for a sparse matrix [n_source].
    means : tuple of float64 [k]
        Of every input, the constant that is nearest to it: decayed as the input is, and least
        squares. A bias per step of ``-E means`` takes the mean error of a rounding ``E`` away.
    constant : float
        Second moment of a decayed input that is 1 at every step.
    """

    groups: tuple[Floats, ...]
    means: tuple[Floats, ...]
    constant: float

    def centred(self) -> Moments:
        """Return what is left of the moments beside the best constants."""
        found = []
        for moments, mean in zip(self.groups, self.means, strict=True):
            taken = mean * mean if moments.ndim == 1 else np.outer(mean, mean)
            found.append(moments - self.constant * taken)
        nothing = tuple(np.zeros_like(mean) for mean in self.means)
        return Moments(tuple(found), nothing, self.constant)

    def ridged(self) -> Moments:
        """Return the moments with the ridge on their diagonals."""
        found = []
        for moments in self.groups:
            own = moments if moments.ndim == 1 else np.diag(moments)
            # Where nothing ever comes, any rounding is as good: then the nearest.
            ridge = RIDGE * float(own.mean()) or 1.0
            found.append(moments + (ridge if moments.ndim == 1 else ridge * np.eye(own.size)))
        return replace(self, groups=tuple(found))

    def diagonal(self) -> Moments:
        """Return each input's own moment alone: much cheaper to measure with."""
        own = tuple(m if m.ndim == 1 else np.diag(m).copy() for m in self.groups)
        return replace(self, groups=own)

    def loss(self, error: Floats, layout: SparseLayout | ConvLayout | None) -> float:
        """Return the expected squared error of the membrane, summed over rows.

        ``error``: rounded minus float weights in the layout of an ``Incoming``.
        """
        if isinstance(layout, SparseLayout):
            return float((error**2 * self.groups[0][layout.indices]).sum())
        rows = grouped(error, len(self.groups))
        total = 0.0
        for part, moments in zip(rows, self.groups, strict=True):
            seen = part * moments if moments.ndim == 1 else product(part, moments)
            total += float((seen * part).sum())
        return total

    def row_losses(self, error: Floats, layout: SparseLayout | ConvLayout | None) -> Floats:
        """Return ``loss`` of every row of a matrix [out], or channel of a convolution [C_out]."""
        if isinstance(layout, SparseLayout):
            return row_sums(error**2 * self.groups[0][layout.indices], layout)
        rows = grouped(error, len(self.groups))
        found = [
            ((part * moments if moments.ndim == 1 else product(part, moments)) * part).sum(axis=1)
            for part, moments in zip(rows, self.groups, strict=True)
        ]
        return np.concatenate(found)

    def mean_error(self, error: Floats, incoming: Incoming) -> Floats:
        """Return the constant input per step [N] that ``error`` of the weights comes nearest to."""
        layout = incoming.layout
        if isinstance(layout, SparseLayout):
            return incoming.row_sums(error * self.means[0][layout.indices])
        rows = grouped(error, len(self.groups))
        means = np.stack(self.means)
        per_row: Floats = (rows * means[:, None, :]).sum(axis=2).reshape(-1)
        if isinstance(layout, ConvLayout):
            return np.repeat(per_row, int(np.prod(layout.output_shape[1:])))
        return per_row


def grouped(values: Floats, groups: int) -> Floats:
    """Return a matrix or kernel as [groups, rows of a group, inputs of a row]."""
    return values.reshape(groups, values.shape[0] // groups, -1)


def plain_moments(incoming: Incoming) -> Moments:
    """Return moments that know nothing: all inputs alike, of the size of the largest payload."""
    layout, values = incoming.layout, incoming.values
    own = incoming.payload**2
    size = int(np.prod(values.shape[1:]))
    groups = layout.groups if isinstance(layout, ConvLayout) else 1
    if isinstance(layout, SparseLayout):
        size = layout.n_source
    return Moments((np.full(size, own),) * groups, (np.zeros(size),) * groups, 1.0)


def input_moments(network: Network, blocks: Iterator[NDArray[np.int32]]) -> Mapping[str, Moments]:
    """Return the moments of every synapse over the samples of ``blocks``, by name.

    Parameters
    ----------
    blocks : iterator of int32 [B, n_input] (held) or [T, B, n_input]
        Calibration samples as input codes.
    """
    sums: dict[str, _Sums] = {}
    for block in blocks:
        records = run_float(network, block, record=("spikes",)).records
        steps = len(block) if block.ndim == 3 else network.steps or 1
        held = block if block.ndim == 3 else np.broadcast_to(block, (steps, *block.shape))
        trains = {INPUT: held} | {
            key.removesuffix("/spikes"): np.asarray(train) for key, train in records.items()
        }
        for population in network.populations:
            for synapse in network.synapses_into(population.name):
                if synapse.source in trains:
                    known = sums.setdefault(synapse.name, _Sums())
                    known.add(trains[synapse.source], population, synapse)
    return {name: known.moments() for name, known in sums.items()}


class _Sums:
    """Sums over samples, steps and positions, per group."""

    def __init__(self) -> None:
        self._products: list[Floats] = []
        self._with_constant: list[Floats] = []
        self._constant, self._count = 0.0, 0

    def add(self, train: NDArray[np.generic], population: Population, synapse: Synapse) -> None:
        """Add what arrived in ``train`` [T, B, n_source], decayed as the population does it."""
        kernel = _kernel(synapse)
        keep = 1.0 - float(population.decay_v.mean())
        keep_u = 0.0 if population.decay_u is None else 1.0 - float(population.decay_u.mean())
        gain = np.ones(1) if population.gain is None else population.gain
        u = v = np.zeros(train.shape[1:])
        one_u = one_v = 0.0
        for t, sent in enumerate(train):
            now = gain[min(t, gain.size - 1)]
            u, one_u = keep_u * u + now * sent.astype(np.float64), keep_u * one_u + now
            v, one_v = keep * v + u, keep * one_v + one_u
            rows = [v] if kernel is None else _patches(v, *kernel)
            self._products = _added(self._products, [_products(part) for part in rows])
            means = [one_v * part.sum(axis=0) for part in rows]
            self._with_constant = _added(self._with_constant, means)
            self._constant += one_v * one_v * rows[0].shape[0]
            self._count += rows[0].shape[0]

    def moments(self) -> Moments:
        """Return means of the sums."""
        return Moments(
            tuple(part / self._count for part in self._products),
            tuple(part / self._constant for part in self._with_constant),
            self._constant / self._count,
        )


def _added(total: list[Floats], more: list[Floats]) -> list[Floats]:
    return more if not total else [a + b for a, b in zip(total, more, strict=True)]


def _products(rows: Floats) -> Floats:
    if rows.shape[1] > MOST_INPUTS:
        return np.asarray((rows**2).sum(axis=0))
    return gram(rows)


def _kernel(synapse: Synapse) -> tuple[ConvLayout, tuple[int, int]] | None:
    """Return layout and extent of a convolution, None for a matrix."""
    operator = synapse.operators[0]
    if not isinstance(operator, Convolution):
        return None
    height, width = operator.weight.shape[2:]
    return conv_layout(operator), (height, width)


def _patches(values: Floats, layout: ConvLayout, extent: tuple[int, int]) -> list[Floats]:
    """Return, per group, what each output position sees, [B * positions, C_in / groups * h * w]."""
    batch = values.shape[0]
    (pad_y, pad_x), (height, width) = layout.padding, extent
    image = values.reshape(batch, *layout.input_shape)
    image = np.pad(image, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    _, rows, columns = layout.output_shape
    y = np.arange(rows)[:, None] * layout.stride[0] + np.arange(height) * layout.dilation[0]
    x = np.arange(columns)[:, None] * layout.stride[1] + np.arange(width) * layout.dilation[1]
    seen = image[:, :, y[:, None, :, None], x[None, :, None, :]]  # B, C, rows, columns, h, w
    seen = seen.transpose(0, 2, 3, 1, 4, 5)
    per_group = layout.input_shape[0] // layout.groups
    return [
        seen[:, :, :, g * per_group : (g + 1) * per_group].reshape(
            batch * rows * columns, per_group * height * width
        )
        for g in range(layout.groups)
    ]
