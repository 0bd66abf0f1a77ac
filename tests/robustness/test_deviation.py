"""Integers against the float network in exact reals: an oracle of fractions, and mutants."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from oracles.literal_float import apply

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Population,
    Readout,
    Sparse,
    Synapse,
    decide,
)
from neurodeploy.quantization import QuantizeConfig, quantize_network
from neurodeploy.robustness.certificates import deviation_budget, deviation_enclosure
from neurodeploy.robustness.certificates.deviation import OPEN, certify_deviation
from neurodeploy.robustness.certificates.deviation_budget import BudgetRun, PopulationBudget
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure, ExactMatrix
from neurodeploy.robustness.certificates.deviation_pairs import pair_networks, real_matrix
from neurodeploy.robustness.certificates.deviation_real import RealRun
from neurodeploy.simulate import run_fixed, run_float

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
                    scale, origin = Fraction(p.fixed.scale), Fraction(p.fixed.origin[i])
                    apart = abs((true - origin) * scale - int(v[b, i]))
                    wrong["difference"] += apart > Fraction(bound.before_reset[b, i])
                    spikes = bound.spikes
                    wrong["guarantee"] += not spikes.sure[b, i] <= fired <= spikes.possible[b, i]
    return wrong


@pytest.mark.parametrize("grid", [False, True])
def test_every_state_and_spike_is_contained(grid):
    for network, net, codes in cases(8, seed=1 + grid, grid=grid):
        assert violations(network, net, codes) == {
            "membrane": 0, "spikes": 0, "difference": 0, "guarantee": 0,
        }  # fmt: skip


@pytest.mark.parametrize("grid", [False, True])
def test_decisions_against_the_oracle(grid):
    known = differs = by_budget = open_ones = 0
    for network, net, codes in cases(24, seed=5 + grid, grid=grid):
        result = certify_deviation(network, net, codes)
        assert (result.fixed == decide(run_fixed(net, codes).scores())).all()
        true = np.array([Exact(network, c).decision() for c in codes])
        decided = result.real != OPEN
        assert (result.real[decided] == true[decided]).all()
        assert (result.fixed[result.equal] == true[result.equal]).all()
        assert (result.fixed[result.different] != true[result.different]).all()
        assert (result.fixed[result.budget.equal] == true[result.budget.equal]).all()
        assert not (result.budget.equal & ~result.equal & decided).any()
        known, differs = known + decided.sum(), differs + result.different.sum()
        by_budget += result.budget.equal.sum()
        open_ones += (~decided).sum()
    # The test sees every kind of outcome; ties of membranes are rightly left open.
    assert known > 100
    assert differs >= 2
    assert by_budget >= 5
    assert open_ones < 40


def test_guaranteed_spikes_and_first_doubt_are_what_they_say():
    for network, net, codes in cases(10, seed=11):
        result = certify_deviation(network, net, codes)
        records = run_fixed(net, codes, record=("spikes", "v_pre")).records
        oracle = [Exact(network, c) for c in codes]
        order = [p for p in network.populations if p.fires]
        for b, exact in enumerate(oracle):
            differing = [
                (p.name, i, t + 1)
                for t in range(net.steps)
                for p in order
                for i in range(p.size)
                if records[f"{p.name}/spikes"][t, b, i] != exact.spikes[p.name][t][i]
            ]
            first = result.proven.first[b]
            if differing:
                # Nothing before the first difference is doubted, unless a threshold is hit.
                assert first is not None
                at = (first.step, [p.name for p in order].index(first.population), first.neuron)
                name, neuron, step = differing[0]
                assert at <= (step, [p.name for p in order].index(name), neuron)
            for p in order:
                equal = net.steps * p.size - sum(d[0] == p.name for d in differing)
                assert result.proven.spikes[p.name][b] <= equal
                assert result.budget.spikes[p.name][b] <= result.proven.spikes[p.name][b]
            doubt = result.budget.first[b]
            if doubt is not None and not result.overflow[b]:
                fixed = net.population(doubt.population)
                v = records[f"{doubt.population}/v_pre"][doubt.step - 1, b, doubt.neuron]
                edge = int(fixed.v_threshold[doubt.neuron]) * 64
                assert doubt.margin == abs(int(v) - edge) / fixed.scale
                near = doubt.bound + abs(
                    edge / fixed.scale
                    - network.population(doubt.population).v_threshold[doubt.neuron]
                    + fixed.origin[doubt.neuron]
                )
                assert doubt.margin <= near * (1 + 1e-9)


# Deliberate mistakes -----------------------------------------------------------------------------


def total_violations(**options):
    total = dict.fromkeys(("membrane", "spikes", "difference", "guarantee"), 0)
    for network, net, codes in cases(6, **options):
        for key, count in violations(network, net, codes[:3]).items():
            total[key] += count
    return total


def without(monkeypatch, **zeroed):
    """Compute budgets with some terms replaced."""
    plain = PopulationBudget.of

    def of(pair, network):
        budget = plain(pair, network)
        made = {name: change(budget) for name, change in zeroed.items()}
        return dataclasses.replace(budget, **made)

    monkeypatch.setattr(PopulationBudget, "of", of)


def synapses_without(field, value):
    def change(budget):
        return tuple(dataclasses.replace(s, **{field: value(s)}) for s in budget.synapses)

    return change


MUTANTS = {
    "weight rounding": ({"synapses": synapses_without("rounding", lambda s: s.rounding * 0)}, {}),
    "half the weight rounding": (
        {"synapses": synapses_without("rounding", lambda s: s.rounding * 0.5)},
        {},
    ),
    "spikes that may differ": (
        {"synapses": synapses_without("weight", lambda s: s.weight * 0)},
        {},
    ),
    "truncation": ({"truncates_v": lambda b: np.zeros_like(b.truncates_v)}, {"grid": True}),
    "truncation of the current": (
        {"truncates_u": lambda b: np.zeros_like(b.truncates_u)},
        {"grid": True, "hidden": ("cuba", "cuba")},
    ),
    "bias": ({"bias": lambda b: b.bias * 0, "sum_bias": lambda b: b.sum_bias * 0}, {}),
    "what was there": ({"kept_v": lambda b: b.kept_v * 0}, {}),
    "the current that was there": (
        {"kept_u": lambda b: b.kept_u * 0},
        {"hidden": ("cuba", "cuba")},
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_forgotten_term_is_seen(monkeypatch, name):
    changes, options = MUTANTS[name]
    assert total_violations(seed=3, **options)["difference"] == 0
    without(monkeypatch, **changes)
    found = total_violations(seed=3, **options)
    assert found["difference"] > 0


def test_a_forgotten_decay_error_is_seen(monkeypatch):
    """One neuron whose weight, bias and threshold are exact, and whose decay is not."""
    network = single(decay=0.3, weight=0.5, high=15.0)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["difference"] == 0
    without(monkeypatch, decay_v=lambda b: b.decay_v * 0, truncates_v=lambda b: b.truncates_v * 0.0)
    assert violations(network, net, codes)["difference"] > 0


def test_a_forgotten_floor_is_seen(monkeypatch):
    """Stored weights that are the real ones, and an exponent that floors every sum."""
    plain = quantize_network(single(decay=0.5, weight=0.5, high=15.0), CHIP).value
    floored = tuple(
        dataclasses.replace(s, weight=np.array([[6]]), weight_exp=-5) if s.name == "in" else s
        for s in plain.synapses
    )
    net = dataclasses.replace(plain, synapses=floored)
    weight = 6 * 64 / 32 / net.population("p").scale
    network = single(decay=0.5, weight=weight, high=15.0)
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["difference"] == 0
    without(monkeypatch, synapses=synapses_without("floors", lambda s: 0.0))
    assert violations(network, net, codes)["difference"] > 0


def test_a_forgotten_threshold_error_is_seen(monkeypatch):
    """The real threshold lies between two codes' membranes, the stored one above both."""
    network = single(decay=1.0, weight=1.0, threshold=np.nextafter(0.4, 0), steps=1)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["guarantee"] == 0
    stored = net.population("p").v_threshold * 64.0

    def coarse(budget):
        shift = 2.0 ** np.ceil(np.log2(stored)) / 4
        return budget.threshold + Enclosure.exactly(shift)

    without(monkeypatch, threshold=coarse)
    assert violations(network, net, codes)["guarantee"] > 0


def test_a_forgotten_gain_error_is_seen(monkeypatch):
    options = {"seed": 3, "hidden": ("dlif", "dlif")}
    assert total_violations(**options)["difference"] == 0
    monkeypatch.setattr(BudgetRun, "_after_gain", lambda self, b, arriving, t: arriving)
    assert total_violations(**options)["difference"] > 0


def test_a_forgotten_reset_branch_is_seen(monkeypatch):
    def hopeful(b, v_pre, fired, error, spikes):
        return np.where(fired, 0.0, error)

    monkeypatch.setattr(deviation_budget, "_after", hopeful)
    found = total_violations(seed=3)
    assert found["difference"] > 0


def test_rounding_to_nearest_is_seen(monkeypatch):
    for name in ("up", "down"):
        monkeypatch.setattr(deviation_enclosure, name, np.asarray)
    found = total_violations(seed=3)
    assert found["membrane"] > 0


def test_an_unknown_spike_taken_for_silence_is_seen(monkeypatch):
    """A real membrane above the threshold by less than any enclosure can tell."""
    network = single(decay=0.5, weight=0.5, threshold=np.nextafter(2.0, 0), steps=4, high=15.0)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert any(d is not None for d in certify_deviation(network, net, codes).proven.first)
    assert violations(network, net, codes)["spikes"] == 0
    plain = RealRun._fired

    def silent(self, p, v):
        spikes = plain(self, p, v)
        return dataclasses.replace(spikes, possible=spikes.sure)

    monkeypatch.setattr(RealRun, "_fired", silent)
    assert violations(network, net, codes)["spikes"] > 0


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


# Arithmetic and refusals -------------------------------------------------------------------------


def test_enclosure_arithmetic_against_fractions():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=300) * 10.0 ** rng.integers(-12, 12, 300) for _ in "xy")
    a, b = (Enclosure(z, z + np.abs(z) * rng.random(300) * (i % 2)) for i, z in enumerate((x, y)))
    for result, rule in (
        (a + b, Fraction.__add__),
        (a - b, Fraction.__sub__),
        (a * b, Fraction.__mul__),
    ):
        for i in range(300):
            ends = [
                rule(Fraction(p), Fraction(q))
                for p in (a.low[i], a.high[i])
                for q in (b.low[i], b.high[i])
            ]
            assert Fraction(result.low[i]) < min(ends) <= max(ends) < Fraction(result.high[i])


def test_sums_against_fractions():
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(7, 90)) * 10.0 ** rng.integers(-9, 9, (7, 90))
    operator = sparse_operator(weight)
    low = rng.normal(size=(3, 90))
    x = Enclosure(low, low + rng.random((3, 90)) * (rng.random((3, 90)) < 0.5))
    found = ExactMatrix.of(real_matrix(Synapse("s", "a", "b", (operator,)))).times(x)
    for b, i in np.ndindex(3, 7):
        parts = [
            sorted(Fraction(w) * Fraction(end) for end in (x.low[b, j], x.high[b, j]))
            for j, w in enumerate(weight[i])
        ]
        exact = sum(p[0] for p in parts), sum(p[1] for p in parts)
        assert Fraction(found.low[b, i]) <= exact[0]
        assert exact[1] <= Fraction(found.high[b, i])
        room = 1e-12 * float(np.abs(weight[i]) @ np.abs(x.magnitude[b]))
        assert found.high[b, i] - found.low[b, i] <= float(exact[1] - exact[0]) + room


def test_a_convolution_is_its_matrix():
    rng = np.random.default_rng(2)
    operator = Convolution(
        "c", rng.normal(size=(4, 1, 3, 2)), None, (2, 1), ((1, 1), (0, 0)), (1, 2), 2,
        (2, 5, 6), (4, 3, 4),
    )  # fmt: skip
    x = rng.normal(size=60)
    expected, _ = apply(operator, x, np.float64)
    matrix = real_matrix(Synapse("s", "a", "b", (operator,)))
    np.testing.assert_allclose(matrix @ x, expected, rtol=1e-12, atol=1e-12)


def test_float64_decides_as_the_reals_here():
    for network, net, codes in cases(5, seed=21):
        result = certify_deviation(network, net, codes)
        known = result.real >= 0
        assert (decide(run_float(network, codes).scores())[known] == result.real[known]).all()


def test_blocks_do_not_matter_and_results_are_plain(monkeypatch):
    from neurodeploy.robustness.certificates import deviation

    network, net, codes = next(cases(1, seed=2))
    whole = certify_deviation(network, net, codes)
    monkeypatch.setattr(deviation, "_BLOCK_VALUES", 1)
    seen = []
    split = certify_deviation(network, net, codes, progress=lambda d, n: seen.append((d, n)))
    assert json.dumps(split.as_dict(), allow_nan=False) == json.dumps(whole.as_dict())
    assert split.proven.first == whole.proven.first
    assert seen[-1] == (len(codes), len(codes))


def test_an_overflow_leaves_no_budget():
    network, net, codes = next(cases(1, seed=2, hidden=("lif", "lif")))
    loud = tuple(
        dataclasses.replace(s, weight_exp=7) if s.name == "in" else s for s in net.synapses
    )
    result = certify_deviation(network, dataclasses.replace(net, synapses=loud), codes)
    assert result.overflow.any()
    assert not result.budget.equal[result.overflow].any()
    assert all((n[result.overflow] == 0).all() for n in result.budget.spikes.values())


def test_refusals():
    network, net, codes = next(cases(1, seed=2, hidden=("lif", "lif")))
    with pytest.raises(ShapeError, match="codes"):
        certify_deviation(network, net, codes[:, :2])
    with pytest.raises(RangeError, match="whole"):
        certify_deviation(network, net, codes + 1000)
    with pytest.raises(RangeError, match="whole"):
        certify_deviation(network, net, codes * 1.0)
    other = dataclasses.replace(network, steps=network.steps + 1)
    with pytest.raises(InputError, match="steps"):
        certify_deviation(other, net, codes)
    fewer = dataclasses.replace(net, synapses=net.synapses[1:])
    with pytest.raises(InputError, match="no such synapse"):
        certify_deviation(network, fewer, codes)
    renamed = tuple(
        dataclasses.replace(s, name="odd") if s.name == "next" else s for s in network.synapses
    )
    with pytest.raises(InputError, match="no such synapse"):
        certify_deviation(dataclasses.replace(network, synapses=renamed), net, codes)
    with pytest.raises(InputError, match="populations"):
        certify_deviation(single(0.5, 0.5), net, codes)
    limited = dataclasses.replace(network.populations[0], v_min=0.0)
    odd = dataclasses.replace(network, populations=(limited, *network.populations[1:]))
    with pytest.raises(UnsupportedNodeError):
        certify_deviation(odd, net, codes)
