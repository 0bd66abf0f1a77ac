"""Random float networks of every kind of population, operator and connection, for tests."""

import numpy as np

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Pool,
    Population,
    Readout,
    Scale,
    Sparse,
    Synapse,
    stateless,
)

SHAPES = ((6,), (2, 3, 4), (1, 4, 6), (3, 8), (1,))
KINDS = ("lif", "lif", "lif", "li", "threshold", "relay", "delay")


class Numbers:
    """Random parameters: real ones, or (``exact``) ones with which nothing is ever rounded."""

    def __init__(self, rng, exact):
        self.rng, self.exact = rng, exact

    def weights(self, shape):
        if self.exact:
            return self.rng.choice([-1, -0.5, 0, 0.5, 1], shape)
        weights = self.rng.normal(0.1, 0.5, shape)
        return np.where(self.rng.random(shape) < 0.2, 0, weights)

    def between(self, low, high, shape):
        """Numbers of a range; exact ones are halves."""
        x = self.rng.uniform(low, high, shape)
        return np.round(2 * x) / 2 if self.exact else x


def random_network(rng, *, exact=False, populations=4, readout=None, feedback=True):
    """Return a network of some populations and about twice as many synapses."""
    numbers = Numbers(rng, exact)
    shapes = [SHAPES[i] for i in rng.integers(0, len(SHAPES), populations)]
    kinds = [str(k) for k in rng.choice(KINDS, populations)]
    if readout is not None:
        kinds[-1] = "lif" if readout == "count" else "li"
    found = [population(numbers, f"p{i}", kinds[i], shapes[i]) for i in range(populations)]
    last = found[-1]
    kind = readout or ("count" if last.fires else str(rng.choice(["sum", "mean_v", "max_v"])))
    ends = {INPUT: (1, 3, 4), ALWAYS_ON: (1,), **{p.name: p.shape for p in found}}
    synapses = []

    def connect(source, target, *, delay_steps=0):
        operators = chain(numbers, f"n{len(synapses)}", ends[source], ends[target])
        silent = bool(rng.random() < (0.5 if delay_steps else 0.15))
        name = f"s{len(synapses)}"
        synapses.append(Synapse(name, source, target, operators, delay_steps, silent))

    for i, p in enumerate(found):
        earlier = [INPUT, *(q.name for q in found[:i])]
        connect(str(rng.choice(earlier[-2:])), p.name)
        while rng.random() < 0.5:
            connect(str(rng.choice([*earlier, ALWAYS_ON])), p.name)
        waits = p.kind == "delay" and (p.delay_steps >= 1).all()
        if feedback and rng.random() < 0.5:
            # A delay needs no late synapse to send back.
            connect(
                p.name,
                str(rng.choice([q.name for q in found[: i + 1]])),
                delay_steps=int(not waits) * int(rng.choice([1, 1, 2, 3, 9])),
            )
        if feedback and rng.random() < 0.2:
            delay = int(rng.integers(1, 4))
            connect(str(rng.choice([*earlier, p.name, ALWAYS_ON])), p.name, delay_steps=delay)
    order = rng.permutation(len(synapses))
    steps = None if rng.random() < 0.3 else int(rng.integers(1, 7))
    encoder = ConstantEncoder(low=-0.5, high=1.0, bits=2)  # a code is half a unit: exact
    return Network(
        tuple(found), tuple(synapses[i] for i in order), 12, encoder,
        Readout(last.name, kind), steps, input_shape=(1, 3, 4),
    )  # fmt: skip


def population(numbers, name, kind, shape):
    rng, size = numbers.rng, int(np.prod(shape))
    bias = numbers.between(-0.5, 0.5, size)
    if kind == "delay":
        delays = rng.integers(0 if rng.random() < 0.5 else 1, 4, size)
        if rng.random() < 0.3:
            delays[:] = delays[0]
        return stateless(name, "delay", bias, delay_steps=delays, shape=shape)
    if kind in ("relay", "threshold"):
        return stateless(name, kind, bias, v_threshold=numbers.between(-0.5, 1, size), shape=shape)
    current = rng.random() < 0.4
    spikes = "multiple" if rng.random() < 0.3 else "single"
    resets = ["value", "subtract", "subtract-late", "subtract-once"][
        : 3 if spikes != "single" else 4
    ]
    return Population(
        name=name, nir_nodes=(name,), kind=kind,
        decay_v=numbers.between(0, 1, size), input_gain=numbers.between(0.3, 1.3, size),
        v_leak=numbers.between(-0.6, 0.6, size),
        v_threshold=numbers.between(0.3, 1.2, size).clip(0.3 if not numbers.exact else 0.5),
        v_reset=numbers.between(-1, 0.6, size), v_init=numbers.between(-0.5, 1.2, size), bias=bias,
        gain=numbers.between(0.4, 1.6, int(rng.integers(1, 4))) if rng.random() < 0.4 else None,
        decay_u=numbers.between(0, 1, size) if current else None,
        w_in=numbers.between(0.3, 1.3, size) if current else None,
        reset=str(rng.choice(resets)), spikes=spikes,
        v_min=float(numbers.between(-1, 0, ())) if rng.random() < 0.3 else None, shape=shape,
    )  # fmt: skip


def chain(numbers, node, given, taken):
    """Return operators from values of one shape to values of another; sometimes none."""
    rng, found, shape = numbers.rng, [], given
    while rng.random() < 0.4:
        operator, shape = _shaped(numbers, f"{node}.{len(found)}", shape)
        found.append(operator)
    size, wanted = int(np.prod(shape)), int(np.prod(taken))
    if size != wanted or (not found and rng.random() < 0.7):
        bias = numbers.between(-0.5, 0.5, wanted) if rng.random() < 0.3 else None
        if bias is None and rng.random() < 0.3:
            found.append(sparse(f"{node}.{len(found)}", numbers.weights((wanted, size)), rng))
            return tuple(found)
        both = [g for g in (2, 3) if size % g == 0 and wanted % g == 0]
        if both and rng.random() < 0.5:
            g = int(rng.choice(both))
            weight = numbers.weights((g, wanted // g, size // g))
        else:
            weight = numbers.weights((wanted, size))
        found.append(Dense(f"{node}.{len(found)}", weight, bias))
    return tuple(found)


def sparse(node, weight, rng):
    """Return a Sparse of part of a matrix; some of the weights it holds are zero."""
    held = rng.random(weight.shape) < 0.6
    indptr = np.concatenate([[0], held.sum(axis=1).cumsum()])
    return Sparse(node, weight[held], indptr, held.nonzero()[1], weight.shape[1])


def _shaped(numbers, node, shape):
    rng = numbers.rng
    kind = rng.choice(["scale", "conv", "pool"])
    if kind == "pool" and len(shape) == 3:
        return _pool(numbers, node, shape)
    if kind == "conv" and len(shape) > 1:
        return _convolution(numbers, node, shape)
    return Scale(node, numbers.weights(int(np.prod(shape)))), shape


def _pool(numbers, node, shape):
    rng = numbers.rng
    kernel = tuple(int(min(k, e)) for k, e in zip(rng.choice([1, 2, 4], 2), shape[1:], strict=True))
    kernel = tuple(2 if k == 3 and numbers.exact else k for k in kernel)
    stride = tuple(int(s) for s in rng.integers(1, 3, 2))
    padding = tuple(int(p) for p in rng.integers(0, 3, 2))
    out = tuple(
        (e + 2 * p - k) // s + 1
        for e, p, k, s in zip(shape[1:], padding, kernel, stride, strict=True)
    )
    kind = str(rng.choice(["sum", "average"]))
    out_shape = (shape[0], *out)
    return Pool(node, kind, kernel, stride, padding, shape, out_shape), out_shape


def _convolution(numbers, node, shape):
    rng, axes = numbers.rng, len(shape) - 1
    groups = int(rng.choice([g for g in (1, 2, 3) if shape[0] % g == 0]))
    n_out = groups * int(rng.integers(1, 3))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    stride = tuple(int(s) for s in rng.integers(1, 3, axes))
    dilation = tuple(int(d) for d in rng.integers(1, 3, axes))
    padding = []
    for e, k, d in zip(shape[1:], kernel, dilation, strict=True):
        before, after = (int(p) for p in rng.integers(0, 3, 2))
        missing = max(0, d * (k - 1) + 1 - e - before - after)
        padding.append((before, after + missing))
    extent = tuple(
        (e + sum(p) - d * (k - 1) - 1) // s + 1
        for e, p, d, k, s in zip(shape[1:], padding, dilation, kernel, stride, strict=True)
    )
    weight = numbers.weights((n_out, shape[0] // groups, *kernel))
    bias = numbers.between(-0.5, 0.5, n_out) if rng.random() < 0.5 else None
    out_shape = (n_out, *extent)
    operator = Convolution(
        node, weight, bias, stride, tuple(padding), dilation, groups, shape, out_shape
    )
    return operator, out_shape
