"""Random networks that the quantiser takes, and the float network in exact fractions."""

from fractions import Fraction

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Dense,
    Network,
    Population,
    Readout,
    Sparse,
    Synapse,
)
from neurodeploy.quantization import QuantizeConfig, quantize_network
from neurodeploy.robustness.certificates.deviation_budget import BudgetRun
from neurodeploy.robustness.certificates.deviation_pairs import pair_networks, real_matrix
from neurodeploy.robustness.certificates.deviation_real import RealRun
from neurodeploy.simulate import run_fixed

CHIP = hardware_profiles.load("loihi2")


# Random networks that the quantiser takes --------------------------------------------------------


def neurons(rng, name, size, kind, grid):
    def between(low, high, n=size):
        drawn = rng.uniform(low, high, n)
        return np.round(drawn * 8) / 8 if grid else drawn

    options = {
        "decay_v": between(0.05, 0.9), "input_gain": between(0.3, 1.2), "v_leak": np.zeros(size),
        "v_threshold": between(0.8, 1.5), "v_reset": np.zeros(size), "v_init": np.zeros(size),
        "bias": between(-0.2, 0.3),
    }  # fmt: skip
    if kind == "moved":
        options |= {"v_reset": np.full(size, -0.25), "v_init": np.full(size, -0.25)}
        options |= {"v_leak": np.full(size, -0.25)}
    if kind == "cuba":
        options |= {"decay_u": between(0.2, 1.0), "w_in": between(0.5, 2.0)}
    if kind == "dlif":
        options |= {"gain": between(0.5, 2.0, 4)}
    if kind == "subtract":
        options |= {"reset": "subtract"}
    if kind == "li":
        options |= {"v_threshold": np.full(size, np.inf)}
    return Population(name, (name,), "li" if kind == "li" else "lif", **options)


def matrix(rng, n_out, n_in, grid, size=1.0):
    weight = rng.normal(0.15, size / np.sqrt(n_in), (n_out, n_in))
    weight[rng.random(weight.shape) < 0.2] = 0
    return np.round(weight * 16) / 16 if grid else weight


KINDS = ("lif", "moved", "cuba", "dlif", "subtract")


def random_network(rng, *, grid=False, hidden=None, read=None):
    kinds = [str(k) for k in rng.choice(KINDS, 2)] if hidden is None else hidden
    read = read or str(rng.choice(["sum", "mean_v", "max_v", "last_v", "count"]))
    n_in, sizes = 4, (5, 4)
    found = [
        neurons(rng, f"p{i}", n, k, grid) for i, (n, k) in enumerate(zip(sizes, kinds, strict=True))
    ]
    found.append(neurons(rng, "out", 3, "lif" if read == "count" else "li", grid))
    steps = 6
    window = (2, 5) if rng.random() < 0.25 else None
    low = -0.5 if rng.random() < 0.25 else 0.0
    synapses = [
        Synapse.dense("in", INPUT, "p0", matrix(rng, 5, n_in, grid, 2.0)),
        Synapse.dense("next", "p0", "p1", matrix(rng, 4, 5, grid)),
        Synapse.dense("last", "p1", "out", matrix(rng, 3, 4, grid)),
    ]
    if rng.random() < 0.4:
        loop = matrix(rng, 4, 4, grid, 0.4)
        synapses.append(Synapse("loop", "p1", "p1", (Dense("loop", loop),), 1))
    if rng.random() < 0.3:
        skip = Synapse("skip", "p0", "out", (sparse_operator(matrix(rng, 3, 5, grid)),))
        synapses.append(skip)
    if rng.random() < 0.3 and kinds[0] in ("lif", "subtract"):
        synapses.append(Synapse.dense("line", ALWAYS_ON, "p0", matrix(rng, 5, 1, grid, 0.2)))
    encoder = ConstantEncoder(low=low, high=1.0, bits=int(rng.choice([3, 8])))
    return Network(
        tuple(found), tuple(synapses), n_in, encoder, Readout("out", read, window), steps
    )


def sparse_operator(weight):
    rows, columns = np.nonzero(weight)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(weight)))])
    return Sparse("sparse", weight[rows, columns], indptr, columns, weight.shape[1])


def cases(count, seed=0, **options):
    """Networks, integers and codes that the quantiser accepts, whatever the draw."""
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        network = random_network(rng, **options)
        bits = int(rng.choice([2, 4, 6, 8]))
        try:
            net = quantize_network(network, CHIP, QuantizeConfig(bits)).value
        except RangeError:
            continue
        made += 1
        yield network, net, rng.integers(0, network.encoder.max_code + 1, (6, network.n_input))


# The oracle: Population's rule in fractions ------------------------------------------------------


class Exact:
    """The float network in exact rational numbers, one sample."""

    def __init__(self, network, codes):
        e = network.encoder
        step = (Fraction(e.high) - Fraction(e.low)) / e.max_code
        self.network = network
        self.input = [Fraction(e.low) + int(c) * step for c in codes]
        self.rows = {s.name: self._rows(s) for s in network.synapses}
        self.v = {p.name: [Fraction(x) for x in p.v_init] for p in network.populations}
        self.u = {p.name: [Fraction(0)] * p.size for p in network.populations}
        self.pre, self.spikes, self.after = (
            {p.name: [] for p in network.populations} for _ in "abc"
        )
        for t in range(network.steps):
            for p in network.populations:
                self.step(p, t)

    @staticmethod
    def _rows(synapse):
        weight = real_matrix(synapse).toarray()
        return [[(j, Fraction(w)) for j, w in enumerate(row) if w] for row in weight]

    def sent(self, s, t):
        if s.source == INPUT:
            return self.input
        if s.source == ALWAYS_ON:
            return [Fraction(1)]
        return self.spikes[s.source][t - s.delay_steps]

    def step(self, p, t):
        x = [Fraction(b) for b in p.bias]
        for s in self.network.synapses_into(p.name):
            if t >= s.delay_steps:
                sent = self.sent(s, t)
                for i, row in enumerate(self.rows[s.name]):
                    x[i] += sum(w * sent[j] for j, w in row)
        pre, spikes = [], []
        for i in range(p.size):
            drive = x[i] if p.gain is None else x[i] * Fraction(p.gain[min(t, len(p.gain) - 1)])
            if p.decay_u is not None:
                u = self.u[p.name][i]
                drive = u + Fraction(p.decay_u[i]) * (Fraction(p.w_in[i]) * drive - u)
                self.u[p.name][i] = drive
            v = self.v[p.name][i]
            v += Fraction(p.decay_v[i]) * (Fraction(p.v_leak[i]) - v)
            v += Fraction(p.input_gain[i]) * drive
            fired = p.kind == "lif" and v > Fraction(p.v_threshold[i])
            pre.append(v)
            spikes.append(int(fired))
            if fired:
                v = (
                    v - Fraction(p.v_threshold[i])
                    if p.reset == "subtract"
                    else Fraction(p.v_reset[i])
                )
            self.v[p.name][i] = v
        self.pre[p.name].append(pre)
        self.spikes[p.name].append(spikes)
        self.after[p.name].append(list(self.v[p.name]))

    def decision(self):
        read = self.network.readout
        start, stop = read.window or (0, self.network.steps)
        rows = (self.spikes if read.kind == "count" else self.after)[read.population]
        part = list(zip(*rows[start:stop], strict=True))
        if read.kind in ("sum", "last_v"):
            scores = [column[-1] for column in part]
            if read.kind == "sum" and start:
                scores = [a - b for a, b in zip(scores, rows[start - 1], strict=True)]
        elif read.kind == "max_v":
            scores = [max(column) for column in part]
        else:
            scores = [sum(column) for column in part]
        best = max(scores)
        return scores.index(best) if scores.count(best) == 1 else -1


def violations(network, net, codes):
    """Count what breaks a promise of enclosure or budget, step by step, against the oracle."""
    pair = pair_networks(network, net)
    traces = run_fixed(net, codes, record=("spikes", "u", "v", "v_pre"))
    clean = sum(n for k, n in traces.counts.items() if k.endswith(("wraps", "clamps"))) == 0
    real, budget = RealRun(pair, codes), BudgetRun(pair, codes, dict(traces.records))
    exact = [Exact(network, c) for c in codes]
    wrong = {"membrane": 0, "spikes": 0, "difference": 0, "guarantee": 0}
    for t in range(net.steps):
        for p in pair.populations:
            step, bound = real.step(p, t), budget.step(p, t)
            v = traces.records[f"{p.name}/v_pre"][t]
            for b, i in np.ndindex(v.shape):
                true, fired = exact[b].pre[p.name][t][i], exact[b].spikes[p.name][t][i]
                low, high = (
                    Fraction(x[b, i]) for x in (step.before_reset.low, step.before_reset.high)
                )
                wrong["membrane"] += not low <= true <= high
                wrong["spikes"] += not step.spikes.sure[b, i] <= fired <= step.spikes.possible[b, i]
                if clean[b]:
                    scale, origin = Fraction(p.fixed.scales[i]), Fraction(p.fixed.origin[i])
                    apart = abs((true - origin) * scale - int(v[b, i]))
                    wrong["difference"] += apart > Fraction(bound.before_reset[b, i])
                    spikes = bound.spikes
                    wrong["guarantee"] += not spikes.sure[b, i] <= fired <= spikes.possible[b, i]
    return wrong


def single(decay, weight, threshold=0.75, steps=5, high=1.0):
    """One input, one neuron that fires, two that read it."""
    p = Population(
        "p", ("p",), "lif", decay_v=np.array([decay]), input_gain=1.0, v_leak=0.0,
        v_threshold=threshold, v_reset=0.0, v_init=0.0, bias=0.0,
    )  # fmt: skip
    out = Population(
        "out", ("out",), "li", decay_v=np.zeros(2), input_gain=1.0, v_leak=0.0,
        v_threshold=np.inf, v_reset=0.0, v_init=0.0, bias=np.array([0.25, 0.0]),
    )  # fmt: skip
    return Network(
        (p, out),
        (
            Synapse.dense("in", INPUT, "p", [[weight]]),
            Synapse.dense("next", "p", "out", [[0.0], [0.5]]),
        ),
        1,
        ConstantEncoder(high=high, bits=4),
        Readout("out", "last_v"),
        steps,
    )
