"""Random deployable float networks: every neuron, synapse and connection that integers can hold."""

import numpy as np

from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Population,
    Readout,
    Sparse,
    Synapse,
)

MAPS = ((2, 4, 4), (3, 3, 4), (4, 5, 2))
NEURONS = ("lif", "if", "current", "subtract", "subtract-current", "dlif")


class Numbers:
    """Random parameters; ``exact`` ones are short binary fractions, decays 0, 1/2 or 1."""

    def __init__(self, rng, exact):
        self.rng, self.exact = rng, exact

    def weights(self, shape):
        if self.exact:
            return self.rng.integers(-3, 5, shape) / 4
        return self.rng.normal(0.1, 0.5, shape)

    def between(self, low, high, shape):
        x = self.rng.uniform(low, high, shape)
        return np.round(4 * x) / 4 if self.exact else x

    def decay(self, shape, low=0.01):
        if self.exact:
            return self.rng.choice([0.5, 1.0] if low else [0.0, 0.5, 1.0], shape)
        return self.rng.uniform(low, 0.6, shape)


def random_deployable(rng, *, exact=False, layers=4, steps=6, neuron=None, operator=None):
    """Return a network of ``layers`` populations, the last one a read-out, and its update order.

    Some have feedback, delays, skip paths and several sources. ``neuron`` and ``operator`` name
    the kind of the first population and of the synapse into it.
    """
    numbers = Numbers(rng, exact)
    shapes = [MAPS[rng.integers(len(MAPS))] for _ in range(layers)]
    shapes[-1] = (3,)
    input_shape = MAPS[rng.integers(len(MAPS))]
    kinds = [str(k) for k in rng.choice(NEURONS, layers - 1)]
    kinds[0] = neuron or kinds[0]
    populations = [
        population(numbers, f"p{i}", kind, shape)
        for i, (kind, shape) in enumerate(zip(kinds, shapes, strict=False))
    ]
    populations.append(readout(numbers, shapes[-1], current=bool(rng.random() < 0.4)))
    ends = {INPUT: input_shape, **{p.name: p.shape for p in populations}}
    synapses = []

    def connect(source, target, delay_steps=0, kind=None):
        name = f"s{len(synapses)}"
        made = operator_between(numbers, name, ends[source], ends[target], kind)
        synapses.append(Synapse(name, source, target, (made,), delay_steps))

    for i, p in enumerate(populations):
        before = [INPUT, *(q.name for q in populations[:i])]
        connect(before[-1], p.name, kind=operator if i == 0 else None)
        if rng.random() < 0.4:
            connect(str(rng.choice(before)), p.name)
        if rng.random() < 0.3:
            connect(str(rng.choice(before)), p.name, int(rng.integers(1, 4)))
        if p.fires and rng.random() < 0.4:
            connect(p.name, p.name, int(rng.integers(1, 3)))
        if p.fires and i and rng.random() < 0.4:
            connect(p.name, str(rng.choice(before[1:])), int(rng.integers(1, 4)))
    encoder = ConstantEncoder(0.0, 3.0, 2) if exact else ConstantEncoder(0.0, 1.0, 8)
    kind = str(rng.choice(["sum", "last_v", "mean_v", "max_v"]))
    window = (1, steps) if steps > 2 and rng.random() < 0.3 else None
    return Network(
        tuple(populations), tuple(synapses), int(np.prod(input_shape)), encoder,
        Readout("read", kind, window), steps, input_shape=input_shape,
    )  # fmt: skip


def population(numbers, name, kind, shape):
    """Return neurons of one kind; those of a channel share what enters a convolution."""
    size = int(np.prod(shape))
    current = kind in ("current", "subtract-current")
    subtracts = kind.startswith("subtract")
    per_map = np.repeat(numbers.rng.choice([0.5, 1.0, 2.0], shape[0]), size // shape[0])
    reset = np.zeros(size) if kind == "if" else numbers.between(-0.4, 0.4, size)
    memoryless = numbers.exact and not subtracts
    decay_v = numbers.decay(size, low=0) if memoryless or kind == "if" else numbers.decay(size)
    gain = numbers.rng.integers(2, 13, 4) / 8 if kind == "dlif" else None
    return Population(
        name=name, nir_nodes=(name,), kind="lif",
        decay_v=np.zeros(size) if kind == "if" else decay_v, input_gain=per_map,
        v_leak=reset if kind == "dlif" else numbers.between(-0.3, 0.3, size),
        v_threshold=numbers.between(0.6, 1.6, size), v_reset=reset,
        v_init=reset if kind in ("lif", "dlif", "current") else np.zeros(size),
        bias=numbers.between(-0.2, 0.3, size), gain=gain,
        decay_u=np.repeat(numbers.decay(shape[0]), size // shape[0]) if current else None,
        w_in=np.ones(size) if current else None,
        reset="subtract" if subtracts else "value", shape=shape,
    )  # fmt: skip


def readout(numbers, shape, *, current):
    size = int(np.prod(shape))
    zeros = np.zeros(size)
    return Population(
        "read", ("read",), "li", numbers.decay(size, low=0), np.ones(size), zeros, zeros + np.inf,
        zeros, zeros, numbers.between(-0.3, 0.3, size),
        decay_u=numbers.decay(size) if current else None, w_in=zeros + 1 if current else None,
        shape=shape,
    )  # fmt: skip


def operator_between(numbers, node, taken, given, kind=None):
    """Return a dense, sparse or convolutional operator between two shapes."""
    size_in, size_out = int(np.prod(taken)), int(np.prod(given))
    if kind is None:
        kind = str(numbers.rng.choice(["dense", "sparse", "conv"]))
    if kind == "conv" and len(taken) == len(given) == 3:
        return convolution(numbers, node, taken, given)
    share = 4 / np.sqrt(size_in) / (1 if numbers.exact else 2)
    used = numbers.rng.random((size_out, size_in)) < (share if numbers.exact else 1)
    weight = numbers.weights((size_out, size_in)) * used
    if not numbers.exact:
        weight = weight * share
    if kind != "sparse":
        return Dense(node, weight)
    weight = weight * (numbers.rng.random(weight.shape) < 0.5)
    return as_sparse(node, weight)


def as_sparse(node, weight):
    rows, columns = np.nonzero(weight)
    indptr = np.concatenate(([0], np.cumsum((weight != 0).sum(axis=1))))
    return Sparse(node, weight[rows, columns], indptr, columns, weight.shape[1])


def convolution(numbers, node, taken, given):
    """Return a convolution that fits: the geometry of each axis is searched for."""
    rng = numbers.rng
    groups = int(rng.choice([g for g in (1, 2, 3, 4) if taken[0] % g == given[0] % g == 0]))
    axes = []
    for n_in, n_out in zip(taken[1:], given[1:], strict=True):
        fitting = [
            (k, s, p, d)
            for k in (1, 2, 3, 4, 5)
            for s in (1, 2, 3)
            for p in (0, 1, 2, 3)
            for d in (1, 2)
            if n_in + 2 * p - d * (k - 1) - 1 >= 0
            and (n_in + 2 * p - d * (k - 1) - 1) // s + 1 == n_out
        ]
        axes.append(fitting[rng.integers(len(fitting))])
    kernel, stride, padding, dilation = zip(*axes, strict=True)
    weight = numbers.weights((given[0], taken[0] // groups, *kernel))
    if not numbers.exact:
        weight = weight / np.sqrt(weight[0].size)
    return Convolution(
        node, weight, None, stride, tuple((p, p) for p in padding), dilation, groups, taken, given
    )
