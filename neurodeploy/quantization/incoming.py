"""What enters a population: float weights per spike or input code, and biases, in membrane units.

Membrane units here are steps of ``v - origin``; with a synaptic current, of the current times its
gain on the membrane, so that both kinds of neuron enter the same integer rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConvLayout,
    Convolution,
    Dense,
    Network,
    Population,
    Sparse,
    SparseLayout,
    Synapse,
)
from neurodeploy.network.fixed_synapse import as_sparse
from neurodeploy.quantization.plain import reset_origin

Layout: TypeAlias = SparseLayout | ConvLayout | None
#: Ends of the names of a matrix's halves, where its signs are split (``sign_split.py``).
SIGNS = ("+", "-")


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """Float weights of one synapse in membrane units per spike or code.

    ``values``: dense [out, in], sparse [nnz], or a kernel [C_out, C_in / groups, h, w], as the
    layout says. ``payload``: the largest message of the source, 1 for spikes.
    """

    synapse: Synapse
    values: NDArray[np.float64]
    layout: Layout
    payload: float

    def row_sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum over the connections of each target [out], for values in this layout."""
        return row_sums(values, self.layout)


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What enters at every step [N]: with the synaptic sum, and straight into v."""

    into_sum: NDArray[np.float64]
    into_v: NDArray[np.float64]


def input_factor(population: Population) -> NDArray[np.float64]:
    """Return what one unit of synaptic input adds per step [N], in membrane units."""
    if population.decay_u is None or population.w_in is None:
        return population.input_gain
    return population.decay_u * population.w_in * population.input_gain


def shares_kernels(population: Population, convolution: Convolution) -> bool:
    """Whether all neurons of a channel take a convolution with one factor."""
    factor = input_factor(population).reshape(convolution.output_shape[0], -1)
    return bool((factor == factor[:, :1]).all())


def incoming_of(
    network: Network, population: Population, synapse: Synapse, *, written_out: bool = False
) -> Incoming:
    """Return the weights of ``synapse`` in membrane units.

    ``written_out``: a convolution as the sparse matrix that it is.
    """
    factor = input_factor(population)
    unit = network.encoder.step if synapse.source == INPUT else 1.0
    payload = float(network.encoder.max_code) if synapse.source == INPUT else 1.0
    operator = synapse.operators[0]
    layout: Layout = None
    if isinstance(operator, Dense):
        values = factor[:, None] * operator.weight
    elif isinstance(operator, Sparse):
        rows = np.repeat(factor, np.diff(operator.indptr))
        values = rows * operator.weight
        layout = SparseLayout(operator.indptr, operator.indices, operator.size_in)
    elif isinstance(operator, Convolution) and not written_out:
        per_channel = factor.reshape(operator.output_shape[0], -1)[:, 0]
        values = per_channel[:, None, None, None] * operator.weight
        layout = conv_layout(operator)
    elif isinstance(operator, Convolution):
        values, layout = _written_out(operator, factor)
    else:
        raise TypeError(type(operator).__name__)  # require_plain has refused it by name
    return Incoming(synapse, values * unit, layout, payload)


def drive_of(network: Network, population: Population) -> Drive:
    """Return the biases of ``population``: its own, the range's, the leak's and those of lines.

    Without a current or a gain all enters v; else what came through synapses joins their sum.
    """
    factor = input_factor(population)
    bias = factor * population.bias
    for synapse in network.synapses_into(population.name):
        if synapse.source == ALWAYS_ON:
            rows = incoming_of(network, population, synapse)
            bias = bias + rows.row_sums(rows.values)
        elif synapse.source == INPUT and network.encoder.low != 0:
            rows = incoming_of(
                network, population, synapse, written_out=not _shared(population, synapse)
            )
            low = network.encoder.low / network.encoder.step
            bias = bias + rows.row_sums(rows.values) * low
    drift = population.decay_v * (population.v_leak - reset_origin(population))
    if population.decay_u is None and population.gain is None:
        return Drive(np.zeros(population.size), bias + drift)
    return Drive(bias, drift)


def _shared(population: Population, synapse: Synapse) -> bool:
    operator = synapse.operators[0]
    return not isinstance(operator, Convolution) or shares_kernels(population, operator)


def conv_layout(convolution: Convolution) -> ConvLayout:
    """Return the geometry of a convolution over two axes with symmetric padding."""
    (stride_y, stride_x), (dilation_y, dilation_x) = convolution.stride, convolution.dilation
    (pad_y, _), (pad_x, _) = convolution.padding
    c_in, height_in, width_in = convolution.input_shape
    c_out, height_out, width_out = convolution.output_shape
    return ConvLayout(
        stride=(stride_y, stride_x),
        padding=(pad_y, pad_x),
        dilation=(dilation_y, dilation_x),
        groups=convolution.groups,
        input_shape=(c_in, height_in, width_in),
        output_shape=(c_out, height_out, width_out),
    )


def connection_count(convolution: Convolution) -> int:
    """Return how many connections a convolution has, padding left out."""
    per_position = int(np.prod(convolution.weight.shape[:2]))
    y, x = _inside(conv_layout(convolution), convolution.weight.shape)
    return per_position * int(y.sum()) * int(x.sum())


def row_sums(values: NDArray[Any], layout: Layout) -> NDArray[np.float64]:
    """Return the sum over the connections of each target, float64 [out]."""
    values = np.asarray(values, dtype=np.float64)
    if isinstance(layout, SparseLayout):
        n_out = layout.indptr.size - 1
        rows = np.repeat(np.arange(n_out), np.diff(layout.indptr))
        return np.asarray(np.bincount(rows, weights=values, minlength=n_out), np.float64)
    if isinstance(layout, ConvLayout):
        y, x = _inside(layout, values.shape)
        # Two plain sums: an optimised one may order its terms by the number of threads.
        sums = np.einsum("oyl,xl->oyx", np.einsum("okl,yk->oyl", values.sum(axis=1), y), x)
        return np.asarray(sums.reshape(-1), dtype=np.float64)
    return np.asarray(values.sum(axis=1), dtype=np.float64)


def whole_name(name: str) -> str:
    """Return the name of the matrix that a synapse is half of; its own where it is whole."""
    return name.removesuffix(SIGNS[0]).removesuffix(SIGNS[1])


def per_weight(values: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    """Return values per neuron [N] so that they broadcast over weights in ``layout``.

    The neurons of a convolution's channel share theirs.
    """
    if isinstance(layout, SparseLayout):
        return np.repeat(values, np.diff(layout.indptr))
    if isinstance(layout, ConvLayout):
        return values.reshape(layout.output_shape[0], -1)[:, :1, None, None]
    return values[:, None]


def _inside(
    layout: ConvLayout, kernel: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, per axis, which kernel elements of each output position do not fall on padding."""
    found = []
    for axis in (0, 1):
        out = np.arange(layout.output_shape[1 + axis])[:, None] * layout.stride[axis]
        taken = out + np.arange(kernel[2 + axis]) * layout.dilation[axis] - layout.padding[axis]
        inside = (taken >= 0) & (taken < layout.input_shape[1 + axis])
        found.append(inside.astype(np.float64))
    return found[0], found[1]


def _written_out(
    convolution: Convolution, factor: NDArray[np.float64]
) -> tuple[NDArray[np.float64], SparseLayout]:
    """Return the sparse matrix of a convolution, each row times its neuron's factor."""
    kernel = convolution.weight
    layout, element = as_sparse(conv_layout(convolution), kernel.shape)
    return kernel.reshape(-1)[element] * per_weight(factor, layout), layout
