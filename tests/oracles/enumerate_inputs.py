"""Small networks of every kind whose inputs can all be enumerated, and what enumeration proves.

Thresholds are membranes that are reached: where those are multiples of 64, they are hit exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from oracles.literal_fixed import LiteralRun, run_aligned
from oracles.random_neurons import random_decays
from oracles.random_synapses import random_layout, random_weights

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    V_THRESHOLD_MAX,
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    decide,
    read_out,
    readout_quantity,
)

NEURONS = ("lif", "if", "cuba", "dlif", "subtract", "refractory", "periodic")
MOST_NEURONS = 8


def all_points(lowest, highest) -> np.ndarray:
    """Return every integer point from ``lowest`` to ``highest`` [n], int64 [points, n]."""
    axes = [np.arange(lo, hi + 1) for lo, hi in zip(lowest, highest, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def decisions(net: FixedPointNetwork, codes) -> np.ndarray:
    """Return the literal interpreter's decision on each sample, -1 for a tie."""
    return decide(scores(net, run_aligned(net, codes)))


def scores(net: FixedPointNetwork, run: LiteralRun) -> np.ndarray:
    """Return the read-out of a literal run, [samples, classes]."""
    output = run.records[f"{net.readout.population}/{readout_quantity(net.readout)}"]
    return read_out(output, net.readout.kind, net.readout.window)


def leads(score, label: int) -> np.ndarray:
    """Return by how much ``label`` leads every other class, [samples]."""
    return score[:, label] - np.delete(score, label, axis=1).max(axis=1)


def robust_on_grid(points, decided, radius: int) -> np.ndarray:
    """Return [points, classes + 1]: whether all points within ``radius`` are decided for a class.

    ``points`` [P, n] is the whole grid, so that the ball is cut where the grid ends. The last
    column stands for -1 and is never true.
    """
    classes = int(decided.max(initial=0)) + 1
    near = (np.abs(points[:, None] - points[None]) <= radius).all(axis=2)
    robust = np.zeros((len(points), classes + 1), bool)
    for c in range(classes):
        robust[:, c] = ~(near & (decided != c)).any(axis=1)
    return robust


def small_network(rng: np.random.Generator) -> FixedPointNetwork:
    """Draw a network of at most 8 neurons in 1 to 3 layers: any neuron, synapse and read-out."""
    sizes = [int(rng.integers(2, 4)) for _ in range(int(rng.integers(1, 4)))]
    while sum(sizes) > MOST_NEURONS:
        sizes.pop()
    n_input, bits = (int(x) for x in rng.choice([(1, 4), (2, 2), (2, 3), (3, 2)]))
    steps = int(rng.integers(3, 7))
    extreme = bool(rng.random() < 0.3)
    populations, synapses = [], []
    source, n_source = INPUT, n_input
    reads = bool(rng.random() < 0.5)
    for layer, size in enumerate(sizes, start=1):
        name, last = f"layer{layer}", layer == len(sizes)
        kind = "readout" if last and reads else str(rng.choice(NEURONS))
        into = _synapses(rng, name, size, source, n_source, extreme)
        if kind != "readout" and rng.random() < 0.3:
            into.append(_dense(rng, name, name, (size, size), extreme, least_delay=0))
        if layer > 1 and rng.random() < 0.2:
            into.append(_dense(rng, INPUT, name, (size, n_input), extreme, least_delay=layer - 1))
        population = _population(rng, name, kind, layer, size, steps, extreme)
        synapses += into
        populations.append(population)
        net = _network(populations, synapses, n_input, bits, steps, rng)
        populations[-1] = _fitted(rng, net, population)
        source, n_source = name, size
    return _network(populations, synapses, n_input, bits, steps, rng)


def _network(populations, synapses, n_input, bits, steps, rng):
    last = populations[-1]
    kind = "count"
    if last.kind == "readout":
        kind = str(rng.choice(["sum", "last_v", "max_v", "mean_v"]))
    window = None
    if rng.random() < 0.3:
        start = int(rng.integers(0, steps - 1))
        window = (start, int(rng.integers(start + 1, steps + 1)))
    return FixedPointNetwork(
        tuple(populations), tuple(synapses), n_input=n_input, encoder=ConstantEncoder(bits=bits),
        readout=Readout(last.name, kind, window), steps=steps,
    )  # fmt: skip


def _synapses(rng, target, size, source, n_source, extreme):
    """Draw the main input of a layer, sometimes with a convolution or the always-on line beside."""
    made = [_dense(rng, source, target, (size, n_source), extreme)]
    if rng.random() < 0.25:
        made.append(_convolution(rng, source, target, size, n_source, extreme))
    if rng.random() < 0.25:
        made.append(_dense(rng, ALWAYS_ON, target, (size, 1), extreme, delays=False))
    return made


def _dense(rng, source, target, shape, extreme, least_delay=0, delays=True):
    """Draw a dense or a sparse matrix."""
    sign = str(rng.choice(["mixed", "excitatory", "inhibitory"], p=[0.7, 0.2, 0.1]))
    layout = random_layout(rng, *shape) if rng.random() < 0.3 else None
    shape = shape if layout is None else layout.indices.shape
    weight = random_weights(rng, shape, sign, 8)
    delay = least_delay
    if delays and rng.random() < 0.3:
        delay = least_delay + rng.integers(0, 3, shape)
    exponent = int(rng.integers(12, 18) if extreme and rng.random() < 0.6 else rng.integers(-7, 4))
    graded = 16 if source == INPUT and rng.random() < 0.7 else 0
    name = f"{source}_{target}_{rng.integers(10**9)}"
    return FixedSynapse(
        name,
        source,
        target,
        weight,
        exponent,
        sign,
        message_bits=graded,
        delay=delay,
        layout=layout,
    )


def _convolution(rng, source, target, size, n_source, extreme):
    """Draw a kernel of height 1 from (1, 1, n_source) to (size, 1, 1)."""
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (1, 1, n_source), (size, 1, 1))
    weight = random_weights(rng, (size, 1, 1, n_source), "mixed", 8)
    if extreme:
        weight = weight * int(rng.integers(1000, 100_000))
    graded = 16 if rng.random() < 0.7 else 0
    name = f"conv_{source}_{target}"
    return FixedSynapse(
        name, source, target, weight, 0, "mixed", message_bits=graded, layout=layout
    )


def _population(rng, name, kind, latency, size, steps, extreme):
    dlif = kind == "dlif"
    spread = 2**20 if extreme else 2**11
    plain = rng.random() < 0.5  # decays that lose nothing: membranes then are multiples of 64
    memory = kind == "cuba" or (
        kind in ("subtract", "refractory", "readout") and rng.random() < 0.4
    )
    decay_v = (
        rng.choice([0, 4096], size) if plain or kind == "if" else random_decays(rng, size, 4096)
    )
    bias = rng.integers(-spread, spread + 1, size) * (rng.random() < 0.5)
    bias = bias // 64 if dlif else np.clip(bias // 64 * 64, -(2**15), 2**15 - 1)
    start = rng.random() < 0.3
    periodic = kind == "periodic" or (not dlif and rng.random() < 0.1)
    return FixedPopulation(
        name=name, nir_nodes=(name,), kind=kind if dlif or kind == "readout" else "lif",
        decay_u=random_decays(rng, size, 4095) if memory else np.full(size, 4095),
        decay_v=decay_v, bias=bias, bias_exp=0, v_threshold=np.full(size, V_THRESHOLD_MAX + 1),
        u_init=rng.integers(-spread, spread + 1, size) * start,
        v_init=rng.integers(-spread, spread + 1, size) * start, latency=latency, scale=1.0,
        gain=rng.integers(1, 256, int(rng.integers(1, steps + 2))) if dlif else None,
        gain_shift=int(rng.integers(0, 8)) if dlif else 0,
        reset="subtract" if kind == "subtract" else "zero",
        refractory_steps=int(rng.integers(1, 4)) if kind == "refractory" else 0,
        reset_interval=int(rng.integers(2, steps + 1)) if periodic else 0,
        reset_offset=int(rng.integers(0, steps)) if periodic else 0,
    )  # fmt: skip


def _fitted(rng, net, population):
    """Give each neuron a threshold that one of its membranes reaches, if it can fire at all."""
    if population.kind == "readout":
        return population
    points = all_points([0] * net.n_input, [net.encoder.max_code] * net.n_input)
    v = run_aligned(net, points).records[f"{population.name}/v_pre"]
    some = v[
        rng.integers(v.shape[0], size=population.size),
        rng.integers(v.shape[1], size=population.size),
        np.arange(population.size),
    ]
    return replace(population, v_threshold=np.clip(some >> 6, -(2**17), V_THRESHOLD_MAX))
