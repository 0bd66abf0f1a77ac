"""The networks of the speed benchmarks: dense, recurrent, N-MNIST-like convolutions, and a VGG.

Weights are even integers in -254..254, u and v leak. Thresholds are calibrated so that every layer
fires at about 8 % on the benchmark's own input, 10 % of whose entries are spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    SparseLayout,
)
from neurodeploy.simulate import run_fixed

DENSITY = 0.1
RATE = 0.08
SEED = 1
_DECAY_U, _DECAY_V = 2000, 400
_HIGHEST_THRESHOLD = 131071


@dataclass(frozen=True, eq=False)
class BenchmarkNetwork:
    """A network with what its input and its float counterpart need.

    ``codes`` (generator, steps, samples) draws an input; ``float_layers`` describes the layers for
    a float simulator: ("conv", weight, stride, padding), ("pool",), ("flatten",), ("dense",
    weight) or ("recurrent", weight, recurrent weight), each but the pools followed by neurons.
    """

    key: str
    title: str
    net: FixedPointNetwork
    codes: Callable[[np.random.Generator, int, int], NDArray[np.uint8]]
    float_layers: tuple[tuple[Any, ...], ...]


def _population(name: str, shape: tuple[int, ...], latency: int) -> FixedPopulation:
    size = int(np.prod(shape))
    zeros = np.zeros(size, np.int32)
    return FixedPopulation(
        name=name,
        nir_nodes=(name,),
        kind="lif",
        decay_u=np.full(size, _DECAY_U, np.int32),
        decay_v=np.full(size, _DECAY_V, np.int32),
        bias=zeros,
        bias_exp=0,
        v_threshold=np.full(size, _HIGHEST_THRESHOLD, np.int32),
        u_init=zeros,
        v_init=zeros,
        latency=latency,
        scale=1.0,
        shape=shape,
    )


def _weights(rng: np.random.Generator, *shape: int) -> NDArray[np.int32]:
    return (rng.integers(-127, 128, shape) * 2).astype(np.int32)


def _network(
    populations: list[FixedPopulation],
    synapses: list[FixedSynapse],
    shape: tuple[int, ...],
    steps: int,
    bits: int = 1,
) -> FixedPointNetwork:
    return FixedPointNetwork(
        populations=tuple(populations),
        synapses=tuple(synapses),
        n_input=int(np.prod(shape)),
        encoder=ConstantEncoder(bits=bits),
        readout=Readout(populations[-1].name, "count"),
        steps=steps,
        input_shape=shape,
    )


def _spikes(n_input: int) -> Callable[[np.random.Generator, int, int], NDArray[np.uint8]]:
    def draw(rng: np.random.Generator, steps: int, samples: int) -> NDArray[np.uint8]:
        codes = np.empty((steps, samples, n_input), np.uint8)
        for t in range(steps):
            codes[t] = rng.random((samples, n_input), np.float32) < DENSITY
        return codes

    return draw


def dense_network(steps: int = 2000) -> BenchmarkNetwork:
    """64-128-10."""
    rng = np.random.default_rng(SEED)
    first, second = _weights(rng, 128, 64), _weights(rng, 10, 128)
    net = _network(
        [_population("hidden", (128,), 1), _population("output", (10,), 2)],
        [
            FixedSynapse("input_hidden", INPUT, "hidden", first, 0, "mixed"),
            FixedSynapse("hidden_output", "hidden", "output", second, 0, "mixed"),
        ],
        (64,),
        steps,
    )
    layers = (("dense", first), ("dense", second))
    return _calibrated("a", "64-128-10 dense", net, _spikes(64), layers)


def recurrent_network(steps: int = 2000) -> BenchmarkNetwork:
    """700-256-20; the hidden layer is connected to itself."""
    rng = np.random.default_rng(SEED)
    first, back, second = _weights(rng, 256, 700), _weights(rng, 256, 256), _weights(rng, 20, 256)
    net = _network(
        [_population("hidden", (256,), 1), _population("output", (20,), 2)],
        [
            FixedSynapse("input_hidden", INPUT, "hidden", first, 0, "mixed"),
            FixedSynapse("hidden_hidden", "hidden", "hidden", back, 0, "mixed"),
            FixedSynapse("hidden_output", "hidden", "output", second, 0, "mixed"),
        ],
        (700,),
        steps,
    )
    layers = (("recurrent", first, back), ("dense", second))
    return _calibrated("c", "700-256 recurrent-20", net, _spikes(700), layers)


def event_image_network(steps: int = 2000) -> BenchmarkNetwork:
    """2x34x34, 16c5 stride 2, 16c3, pool, 8c3, pool, 256, 10: the shape of N-MNIST.

    A sum pool and what follows it are one synapse. The map of 17 x 17 is odd, so that the first
    pool drops its last row and column: together with its convolution it is a sparse matrix.
    """
    rng = np.random.default_rng(SEED)
    conv1, conv2, conv3 = (
        _weights(rng, 16, 2, 5, 5),
        _weights(rng, 16, 16, 3, 3),
        _weights(rng, 8, 16, 3, 3),
    )
    dense1, dense2 = _weights(rng, 256, 128), _weights(rng, 10, 256)
    layout1 = ConvLayout((2, 2), (2, 2), (1, 1), 1, (2, 34, 34), (16, 17, 17))
    layout2 = ConvLayout((1, 1), (1, 1), (1, 1), 1, (16, 17, 17), (16, 17, 17))
    layout3 = ConvLayout((1, 1), (1, 1), (1, 1), 1, (16, 8, 8), (8, 8, 8))
    pooled_conv = _matrix(conv3, layout3) @ _pool((16, 17, 17))
    names = ("conv1", "conv2", "conv3", "dense1", "output")
    shapes = ((16, 17, 17), (16, 17, 17), (8, 8, 8), (256,), (10,))
    net = _network(
        [_population(n, s, i + 1) for i, (n, s) in enumerate(zip(names, shapes, strict=True))],
        [
            FixedSynapse("input_conv1", INPUT, "conv1", conv1, 0, "mixed", layout=layout1),
            FixedSynapse("conv1_conv2", "conv1", "conv2", conv2, 0, "mixed", layout=layout2),
            _sparse("conv2_conv3", "conv2", "conv3", pooled_conv),
            FixedSynapse("conv3_dense1", "conv3", "dense1", dense1 @ _pool((8, 8, 8)), 0, "mixed"),
            FixedSynapse("dense1_output", "dense1", "output", dense2, 0, "mixed"),
        ],
        (2, 34, 34),
        steps,
    )
    layers = (
        ("conv", conv1, 2, 2), ("conv", conv2, 1, 1), ("pool",), ("conv", conv3, 1, 1), ("pool",),
        ("flatten",), ("dense", dense1), ("dense", dense2),
    )  # fmt: skip
    return _calibrated("b", "2x34x34 conv, 256, 10", net, _spikes(2 * 34 * 34), layers)


def image_network(steps: int = 8) -> BenchmarkNetwork:
    """3x32x32, 64c3, pool, 128c3, 256c3, pool, 512c3, pool, 10; a graded image held for all steps.

    On even maps a sum pool and a convolution are one convolution of twice the stride.
    """
    rng = np.random.default_rng(SEED)
    shapes = ((64, 32, 32), (128, 16, 16), (256, 16, 16), (512, 8, 8))
    sources = ((3, 32, 32), *shapes[:-1])
    pooled = (False, True, False, True)
    names = [f"conv{i}" for i in range(1, 5)]
    populations: list[FixedPopulation] = []
    synapses: list[FixedSynapse] = []
    layers: list[tuple[Any, ...]] = []
    before = INPUT
    for i, (name, shape, source, pool) in enumerate(
        zip(names, shapes, sources, pooled, strict=True)
    ):
        weight = _weights(rng, shape[0], source[0], 3, 3)
        if pool:
            layers.append(("pool",))
        layers.append(("conv", weight, 1, 1))
        wide = weight.repeat(2, 2).repeat(2, 3) if pool else weight
        stride = (2, 2) if pool else (1, 1)
        layout = ConvLayout(stride, stride, (1, 1), 1, source, shape)
        populations.append(_population(name, shape, i + 1))
        synapses.append(
            FixedSynapse(
                f"{before}_{name}",
                before,
                name,
                wide,
                0,
                "mixed",
                message_bits=0 if i else 8,
                layout=layout,
            )
        )
        before = name
    last = _weights(rng, 10, 512 * 16)
    populations.append(_population("output", (10,), 5))
    synapses.append(
        FixedSynapse("conv4_output", before, "output", _after_pool(last, (512, 8, 8)), 0, "mixed")
    )
    layers += [("pool",), ("flatten",), ("dense", last)]
    net = _network(populations, synapses, (3, 32, 32), steps, bits=4)

    def draw(rng: np.random.Generator, steps: int, samples: int) -> NDArray[np.uint8]:
        del steps  # held
        return rng.integers(0, 16, (samples, 3 * 32 * 32)).astype(np.uint8)

    return _calibrated("d", "VGG, 3x32x32, T = 8", net, draw, tuple(layers))


NETWORKS: dict[str, Callable[[], BenchmarkNetwork]] = {
    "a": dense_network,
    "b": event_image_network,
    "c": recurrent_network,
    "d": image_network,
}


def one_layer(
    rng: np.random.Generator, shape: tuple[int, ...], layout: ConvLayout | None, bits: int
) -> FixedPointNetwork:
    """Return a layer of weights ``shape`` behind codes of ``bits`` bits, and ten outputs.

    Its threshold is the highest there is.
    """
    weight = _weights(rng, *shape)
    n_in = (shape[1],) if layout is None else layout.input_shape
    n_out = (shape[0],) if layout is None else layout.output_shape
    synapse = FixedSynapse(
        "input_layer", INPUT, "layer", weight, 0, "mixed", layout=layout,
        message_bits=0 if bits == 1 else bits,
    )  # fmt: skip
    last = _weights(rng, 10, int(np.prod(n_out)))
    output = FixedSynapse("layer_output", "layer", "output", last, 0, "mixed")
    populations = [_population("layer", n_out, 1), _population("output", (10,), 2)]
    return _network(populations, [synapse, output], n_in, 1, bits)


def _matrix(weight: NDArray[np.int32], layout: ConvLayout) -> NDArray[np.int32]:
    """Return a convolution as a matrix [out, in]."""
    synapse = FixedSynapse("s", INPUT, "t", weight, 0, "mixed", layout=layout)
    entries = synapse.connections()
    matrix = np.zeros((synapse.size_out, synapse.size_in), np.int32)
    matrix[entries.target, entries.source] = entries.weight
    return matrix


def _pool(shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Return the sum over windows of 2 x 2 as a matrix; a last odd row or column is dropped."""
    channels, height, width = shape
    kernel = np.ones((1, 1, 2, 2), np.int32)
    half = (1, height // 2, width // 2)
    layout = ConvLayout((2, 2), (0, 0), (1, 1), 1, (1, height, width), half)
    return np.kron(np.eye(channels, dtype=np.int32), _matrix(kernel, layout))


def _after_pool(weight: NDArray[np.int32], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Return a dense matrix that takes the values before a pool over an even map."""
    channels, height, width = shape
    maps = weight.reshape(weight.shape[0], channels, height // 2, width // 2)
    return maps.repeat(2, 2).repeat(2, 3).reshape(weight.shape[0], -1)


def _sparse(name: str, source: str, target: str, matrix: NDArray[np.int32]) -> FixedSynapse:
    rows, columns = np.nonzero(matrix)
    indptr = np.searchsorted(rows, np.arange(matrix.shape[0] + 1))
    layout = SparseLayout(indptr.astype(np.int32), columns.astype(np.int32), matrix.shape[1])
    return FixedSynapse(name, source, target, matrix[rows, columns], 0, "mixed", layout=layout)


def _calibrated(
    key: str,
    title: str,
    net: FixedPointNetwork,
    draw: Callable[[np.random.Generator, int, int], NDArray[np.uint8]],
    layers: tuple[tuple[Any, ...], ...],
) -> BenchmarkNetwork:
    """Set each layer's threshold, first to last, by bisection."""
    steps = min(net.steps, 60)
    codes = draw(np.random.default_rng(SEED + 1), steps, max(1, 4000 // net.n_input))
    populations = list(net.populations)
    for i, p in enumerate(populations):
        names = {q.name for q in populations[: i + 1]}
        low, high = 0, _HIGHEST_THRESHOLD
        while high - low > max(1, low // 50):
            middle = (low + high) // 2
            populations[i] = replace(p, v_threshold=np.full(p.size, middle))
            part = replace(
                net,
                populations=tuple(populations[: i + 1]),
                synapses=tuple(s for s in net.synapses if s.target in names),
                readout=Readout(p.name, "count"),
            )
            fired = run_fixed(part, codes, steps=steps).counts[f"{p.name}/spikes"]
            if float(fired.mean()) / (steps * p.size) > RATE:
                low = middle
            else:
                high = middle
        populations[i] = replace(p, v_threshold=np.full(p.size, high))
    net = replace(net, populations=tuple(populations))
    return BenchmarkNetwork(key, title, net, draw, layers)
